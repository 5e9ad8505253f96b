"""Provenance: all inputs of a result, stored by Snakemake and compared in every run.

Snakemake alone misses some changes:

- It compares the values of params without their names, so swapped values of two keys are missed.
- It compares files by time, so an older file that replaces another is missed.
- It stores the params of a failed job as those of its results, so later jobs look up to date.

Every rule therefore gets a param with its method version, signatures of the user's files, its params by name,
and a hash of the provenance of all earlier jobs.

Imported by the Snakefile: standard library only.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..core.reading import signature
from .hashes import of_settings
from .literal_paths import as_named
from .methods import METHOD_VERSIONS

PARAM = "provenance"
"""Name of the param: a dict of `own` and `earlier`."""


class Provenance:
    """Provenance of the jobs of a workflow.

    Parameters
    ----------
    workflow
        Snakemake's workflow.
    rules
        Function without arguments that returns those of its rules that have a provenance.
    made_by_rules
        Folders and files that rules make; all others belong to the user.
    waited_for
        Folder of files that only order jobs; they are not part of the provenance.
    """

    def __init__(
        self,
        workflow: Any,
        *,
        rules: Callable[[], Iterable[Any]],
        made_by_rules: tuple[str, ...],
        waited_for: str,
    ) -> None:
        self._workflow = workflow
        self._rules = rules
        self._made_by_rules = made_by_rules
        self._waited_for = waited_for
        self._jobs: dict[tuple, Any] = {}
        self._signature = functools.cache(signature)

    def record(self, rule: Any) -> None:
        """Add the param to a rule, after all its other params."""

        def provenance(wildcards: Any) -> dict[str, Any]:
            return {"own": self.own(rule, wildcards), "earlier": self._earlier(rule, wildcards)}

        rule.set_params(**{PARAM: provenance})

    def own(self, rule: Any, wildcards: Any) -> dict[str, Any]:
        """The part of a job's provenance without other jobs."""

        def value(item: Any) -> Any:
            return item(wildcards) if callable(item) else item

        files: list[str] = []
        for item in map(value, rule.input):
            files += map(as_named, [item] if isinstance(item, str) else item)
        params = {name: value(item) for name, item in rule.params.items() if _is_compared(name, item)}
        return {
            "method": METHOD_VERSIONS.get(rule.name, 1),
            "files": {str(file): self._signature(Path(file)) for file in files if self._is_the_users(file)},
            **params,
        }

    def of_shared_files(self) -> dict[str, str]:
        """Signatures of the user's files that do not depend on wildcards."""
        named = (item for rule in self._rules() for item in rule.input if not callable(item))
        files = map(as_named, named)
        return {file: self._signature(Path(file)) for file in files if self._is_the_users(file)}

    def _is_the_users(self, file: str) -> bool:
        return not any(Path(file).is_relative_to(made) for made in self._made_by_rules)

    def _earlier(self, rule: Any, wildcards: Any) -> str:
        """Hash of the provenance of all jobs that make a job's inputs.

        A job on a cluster plans only itself and gets another hash; only the main process stores hashes.
        """
        job = self._job(rule.name, wildcards)
        before = {} if job is None else self._workflow.dag.dependencies[job]
        made_from = [
            of_settings(dependency.params[PARAM])
            for dependency, files in before.items()
            # Files that rules of another workflow make are the user's to this one.
            if has_provenance(dependency)
            and not all(Path(file).is_relative_to(self._waited_for) for file in files)
        ]
        return of_settings(sorted(made_from))

    def _job(self, rule_name: str, wildcards: Any) -> Any:
        key = _key(rule_name, wildcards)
        if key not in self._jobs:
            self._jobs = {_key(job.rule.name, job.wildcards): job for job in self._workflow.dag.jobs}
        return self._jobs.get(key)


def has_provenance(job: Any) -> bool:
    """True for jobs of this workflow, not of one that uses it as a module."""
    return PARAM in job.params.keys()  # noqa: SIM118


def _key(rule_name: str, wildcards: Any) -> tuple:
    return (rule_name, *sorted(wildcards.items()))


def _is_compared(name: str, item: Any | Callable) -> bool:
    """True if a param is compared; params made from inputs or outputs need no comparison."""
    if name == PARAM:
        return False
    return not callable(item) or list(inspect.signature(item).parameters) == ["wildcards"]
