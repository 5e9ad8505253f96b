"""The start of a run, beside the records of earlier runs and the results that their jobs left.

Snakemake stores what a result was made from when it learns that the job has ended. A snakemake that was
killed never learns it: what its jobs finish on a cluster has no record, or that of an earlier result. And it
stores the same of jobs that failed before they wrote anything. So a record holds only for what was written
since the run began, and only with the time that it names.

Imported by the Snakefile alone, since it imports snakemake, which the environments of the rules lack.
"""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake.io import IOFile
from snakemake.persistence.file import FilePersistence

from ..core.digests import TIMESTAMP, follow_touches
from ..core.run_record import mark_run, other_runs, register_run
from ..errors import InputError


def invalidate_unrecorded(made_from: str) -> None:
    """Mark results as incomplete that another run left without a record and made from something else.

    To be called before the DAG is built. The marks follow the configuration: they are taken back when it is
    that of the other run again, so that a dry run does no harm.
    """
    runs = [run for run in other_runs() if run.made_from != made_from or run.marked]
    if not runs:
        return
    persistence = FilePersistence()
    for run in runs:
        if run.made_from == made_from:
            for path in run.marked:
                persistence._unmark_incomplete(path)
            mark_run(run, [])
        else:
            unrecorded = _unrecorded(run.outputs, persistence)
            incomplete = persistence._filter_incomplete_keys(unrecorded)
            _mark_incomplete(set(unrecorded) - incomplete, persistence)
            mark_run(run, run.marked.union(set(unrecorded) - incomplete))


def invalidate(outputs: list[str]) -> None:
    """Mark results as incomplete that must be made again; to be called before the DAG is built."""
    if outputs:
        _mark_incomplete(outputs, FilePersistence())


def supersede_other_runs(workflow: Any, name: str, made_from: str) -> None:
    """Register a run to which Snakemake has granted its locks, and end all runs that would write its files.

    What these left is adopted if it was made from the same.

    Parameters
    ----------
    workflow
        Snakemake's workflow, with its DAG.
    name, made_from
        Of the new run, see `Run`.

    Raises
    ------
    InputError
        If another run has finished something after the DAG was built, which counts on what was there before.
    """
    persistence, dag = workflow.persistence, workflow.dag
    outputs = set(map(str, persistence.all_outputfiles()))
    concerned = outputs.union(map(str, persistence.all_inputfiles()))
    late: list[str] = []
    for run in other_runs():
        if run.outputs.isdisjoint(concerned):
            continue
        run.record.unlink(missing_ok=True)
        unrecorded = set(_unrecorded(run.outputs, persistence)) - outputs
        if run.made_from == made_from:
            for job in dag.jobs:
                if not dag.needrun(job) and not unrecorded.isdisjoint(job.output):
                    workflow.async_run(persistence.finished(job))
                    unrecorded.difference_update(job.output)
        _mark_incomplete(unrecorded, persistence)
        late += unrecorded.intersection(concerned)
    if late:
        raise InputError(
            f"a job of an earlier run finished {', '.join(sorted(late))} while this run was planned; "
            "start again"
        )
    register_run(name, made_from, outputs)
    _record_only_written(persistence, outputs)


def _record_only_written(persistence: Any, outputs: Iterable[str]) -> None:
    """Let Snakemake store records only of outputs that were written since now.

    It has touched them by then.
    """
    before = {path: _written(path) for path in outputs if Path(path).exists()}
    store = persistence.finished

    async def finished(job: Any) -> None:
        if not any(
            path in before and Path(path).exists() and _written(path) == before[path] for path in job.output
        ):
            follow_touches(job.output)
            await store(job)

    persistence.finished = finished


def _unrecorded(outputs: Iterable[str], persistence: Any) -> list[str]:
    """Outputs that exist without a record of Snakemake's, or with that of another time."""

    def is_recorded(path: str) -> bool:
        record = persistence.metadata(IOFile(path))
        return record is not None and record.endtime == _written(path)

    return [path for path in outputs if Path(path).exists() and not is_recorded(path)]


def _written(path: str) -> float:
    """The time of an output, as Snakemake takes it."""
    stamp = Path(path, TIMESTAMP)
    return (stamp if stamp.exists() else Path(path)).stat().st_mtime


def _mark_incomplete(outputs: Iterable[str], persistence: Any) -> None:
    persistence.started(SimpleNamespace(output=list(map(IOFile, outputs))))
