"""The start of a run, beside the records of earlier runs and of what their jobs left.

Imported by the Snakefile alone, since it imports snakemake, which the environments of the rules lack.
"""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake.io import IOFile
from snakemake.persistence.file import FilePersistence

from .runs import other_runs, register_run


def supersede_other_runs(workflow: Any, name: str, made_from: str) -> None:
    """Register a run to which Snakemake has granted its locks, and end all runs that would write its files.

    Parameters
    ----------
    workflow
        Snakemake's workflow, with its DAG.
    name, made_from
        Of the new run, see `Run`.
    """
    persistence, dag = workflow.persistence, workflow.dag
    outputs = set(map(str, persistence.all_outputfiles()))
    concerned = outputs.union(map(str, persistence.all_inputfiles()))
    for run in other_runs():
        if run.outputs.isdisjoint(concerned):
            continue
        unrecorded = set(_unrecorded(run.outputs, persistence))
        for job in dag.jobs:
            if not dag.needrun(job) and not unrecorded.isdisjoint(job.output):
                # Made from the same configuration and files, or it would be marked incomplete.
                workflow.async_run(persistence.finished(job))
                unrecorded.difference_update(job.output)
        _mark_incomplete(unrecorded - outputs, persistence)
        run.record.unlink(missing_ok=True)
    register_run(name, made_from, outputs)


def invalidate_unrecorded(made_from: str) -> None:
    """Mark results as incomplete that other runs left without a record of what they were made from.

    On a cluster, a job that outlives its snakemake leaves such a result, of which no change would be noticed.
    Results of a run with the same configuration, methods and files are kept.
    """
    runs = [run for run in other_runs() if run.made_from != made_from]
    if runs:
        persistence = FilePersistence()
        for run in runs:
            _mark_incomplete(_unrecorded(run.outputs, persistence), persistence)


def _unrecorded(outputs: Iterable[str], persistence: Any) -> list[str]:
    """Outputs that exist without a record of Snakemake's."""
    return [path for path in outputs if Path(path).exists() and persistence.metadata(IOFile(path)) is None]


def _mark_incomplete(outputs: Iterable[str], persistence: Any) -> None:
    persistence.started(SimpleNamespace(output=list(map(IOFile, outputs))))
