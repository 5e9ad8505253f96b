"""All that a result was made from, recorded with it by Snakemake: what differs makes it again.

By itself Snakemake compares the values of params without their names, and misses two keys that swap their
values. It goes by the time of files, and misses an older one in the place of another. It records the
params of a job that failed as those of its results, and misses what was to be made after that job. So
every rule gets a param that holds the version of its method, signatures of the user's files, its params
by name, and a hash of the same of all jobs before it.

Read by the Snakefile, so it imports nothing that a login node with Snakemake alone lacks.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import signature
from .fingerprints import of_settings
from .methods import METHODS

PARAM = "provenance"
"""Name of the param, a dict of `own` and `earlier`."""


class Provenance:
    """Provenance of the jobs of a workflow.

    Parameters
    ----------
    workflow
        Snakemake's.
    made_by_rules
        Folders whose files are made by rules; all others are the user's.
    waited_for
        Folder of files that jobs only wait for.
    """

    def __init__(self, workflow: Any, *, made_by_rules: tuple[str, ...], waited_for: str) -> None:
        self._workflow = workflow
        self._made_by_rules = tuple(f"{folder}/" for folder in made_by_rules)
        self._waited_for = f"{waited_for}/"
        self._jobs: dict[tuple, Any] = {}

    def record(self, rule: Any) -> None:
        """Give a rule the param, after all others."""

        def provenance(wildcards: Any) -> dict[str, Any]:
            return {"own": self.own(rule, wildcards), "earlier": self._earlier(rule, wildcards)}

        rule.set_params(**{PARAM: provenance})

    def own(self, rule: Any, wildcards: Any) -> dict[str, Any]:
        """What a job's result depends on besides the results of other jobs."""

        def value(item: Any) -> Any:
            return item(wildcards) if callable(item) else item

        files: list[str] = []
        for item in map(value, rule.input):
            files += [item] if isinstance(item, str) else item
        params = {name: value(item) for name, item in rule.params.items() if _is_compared(name, item)}
        return {
            "method": METHODS[rule.name],
            "files": {str(file): signature(Path(file)) for file in files if self._is_the_users(file)},
            **params,
        }

    def _is_the_users(self, file: str) -> bool:
        return not file.startswith(self._made_by_rules)

    def _earlier(self, rule: Any, wildcards: Any) -> str:
        """Hash of the provenance of all jobs that make a job's inputs.

        A job on a cluster knows itself alone; what it finds is not recorded.
        """
        job = self._job(rule.name, wildcards)
        before = {} if job is None else self._workflow.dag.dependencies[job]
        made_from = [
            of_settings(dependency.params[PARAM])
            for dependency, files in before.items()
            if not all(file.startswith(self._waited_for) for file in files)
        ]
        return of_settings(sorted(made_from))

    def _job(self, rule_name: str, wildcards: Any) -> Any:
        key = _key(rule_name, wildcards)
        if key not in self._jobs:
            self._jobs = {_key(job.rule.name, job.wildcards): job for job in self._workflow.dag.jobs}
        return self._jobs.get(key)


def _key(rule_name: str, wildcards: Any) -> tuple:
    return (rule_name, *sorted(wildcards.items()))


def _is_compared(name: str, item: Any | Callable) -> bool:
    """Whether a param counts by itself; one that is made of inputs or outputs differs only where these do."""
    if name == PARAM:
        return False
    return not callable(item) or list(inspect.signature(item).parameters) == ["wildcards"]
