"""Predict memory, disk and time per rule, and list what does not fit, before any job is submitted."""

import shutil
from pathlib import Path

from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from cellferry.core.job import job
from cellferry.resources.expected_jobs import expected_jobs
from cellferry.resources.plan import Asked, plan
from cellferry.resources.plan_table import as_table

NOTE = """
memory: request of the first attempt. predicted: the largest job, with 250 MB for snakemake.
longest, all jobs: time of the longest job and of all jobs, on one core of benchmarks/scale.md;
a GPU trains many times faster."""


def print_plan(
    inspected: list[str], config: dict, requested: dict[str, dict], *, trained_labels: str | None
) -> None:
    """Print the plan.

    Parameters
    ----------
    inspected
        JSON files as `inspect_dataset` writes them.
    config
        The configuration, with defaults.
    requested
        Per rule `mem_mb` and `runtime`, a list of one number per attempt.
    trained_labels
        Labels of the earlier run that trained the reference; None without one.
    """
    trained = read_artifact(ReferenceLabels, trained_labels) if trained_labels else None
    inspections = [read_artifact(Inspection, path) for path in inspected]
    jobs = expected_jobs(config, inspections, trained)
    lines = plan(jobs, {rule: Asked(**amounts) for rule, amounts in requested.items()})
    free_mb = shutil.disk_usage(Path.cwd()).free / 2**20
    print(as_table(lines, datasets=inspections, free_mb=free_mb, note=NOTE))


if __name__ == "__main__":
    with job(snakemake):
        print_plan(
            list(snakemake.input.inspected),
            snakemake.params.config,
            snakemake.params.requested,
            trained_labels=snakemake.input.trained or None,
        )
