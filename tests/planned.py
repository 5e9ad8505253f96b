"""Plans of the workflow, made in this process: .2 s each, instead of 2 s for a dry run."""

import os
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import yaml
from cellferry.runs.hashes import of_settings
from running import ROOT
from snakemake.api import SnakemakeApi
from snakemake.io import is_flagged
from snakemake.settings.enums import Quietness, RerunTrigger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

PROFILE = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text(encoding="utf-8"))
TRIGGERS = frozenset(RerunTrigger.parse_choice(name) for name in PROFILE["rerun-triggers"])

LONG_AGO = 1_700_000_000
"""When finished results were made (seconds); inputs must be older."""


@contextmanager
def planned(folder, config, *targets):
    """Snakemake's DAG for a configuration in `folder`."""
    path = Path(folder) / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    here = os.getcwd()
    try:
        # A run sets a variable of the environment.
        with patch.dict(os.environ), SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[path]),
                snakefile=ROOT / "Snakefile",
                workdir=Path(folder),
            )
            dag = workflow.dag(
                DAGSettings(targets=frozenset(targets), rerun_triggers=TRIGGERS, force_incomplete=True)
            )
            dag.execute_workflow("dryrun")
            yield workflow._workflow.dag
    finally:
        os.chdir(here)


def named(job):
    """A job's rule and wildcards."""
    return (job.rule.name, *(job.wildcards_dict[name] for name in sorted(job.wildcards_dict)))


def jobs_to_run(folder, config, *targets):
    """The jobs that a run would do, each as rule and wildcards; `all` is not among them."""
    with planned(folder, config, *targets) as dag:
        return {named(job) for job in dag.needrun_jobs(exclude_finished=False)} - {("all",)}


def finish(folder, config):
    """Make the outputs of a finished run as empty files, with Snakemake's records of them."""
    with planned(folder, config) as dag:
        made_from = {
            job.wildcards.dataset: of_settings(job.params.provenance["own"])
            for job in dag.jobs
            if job.rule.name == "inspect_dataset"
        }
        for level, jobs in enumerate(dag.toposorted()):
            for job in jobs:
                for output in job.output:
                    path = Path(folder, output)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if is_flagged(output, "directory"):
                        path.mkdir(exist_ok=True)
                    elif path.parent.name == "checked":
                        path.write_text(made_from[path.name])
                    else:
                        path.touch()
                    os.utime(path, (LONG_AGO + level, LONG_AGO + level))
        for job in dag.jobs:
            dag.workflow.async_run(dag.workflow.persistence.finished(job))
