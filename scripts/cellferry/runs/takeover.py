"""Start of a run: earlier runs' records, and results that their jobs left.

Snakemake stores a result's provenance after its job has ended. If snakemake is killed, results that its jobs
finish later on a cluster have no record, or that of an earlier result. Snakemake also stores provenance for
jobs that failed before writing. So a record is valid only for files written since the start of its run, and
only with the recorded time.

Imported by the Snakefile only: it imports snakemake, which the rules' environments lack.
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
    """Mark unrecorded results of another run with other inputs as incomplete.

    Call before the DAG is built. The marks follow the configuration: with that of the other run they are
    removed, so a dry run does no harm.
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
    """Mark results as incomplete, so that they are repeated; call before the DAG is built."""
    if outputs:
        _mark_incomplete(outputs, FilePersistence())


def supersede_other_runs(workflow: Any, name: str, made_from: str) -> None:
    """Register a run that has Snakemake's locks, and end all runs that would write its files.

    Their results are adopted if their inputs are the same.

    Parameters
    ----------
    workflow
        Snakemake's workflow, with its DAG.
    name, made_from
        Name and inputs of the new run, see `Run`.

    Raises
    ------
    InputError
        If another run's job finished after the DAG was built.
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
    """Let Snakemake store records only of outputs written from now on.

    By then, Snakemake has touched them.
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
    """Existing outputs without a record of Snakemake, or with that of another time."""

    def is_recorded(path: str) -> bool:
        record = persistence.metadata(IOFile(path))
        return record is not None and record.endtime == _written(path)

    return [path for path in outputs if Path(path).exists() and not is_recorded(path)]


def _written(path: str) -> float:
    """The time of an output, as Snakemake reads it."""
    stamp = Path(path, TIMESTAMP)
    return (stamp if stamp.exists() else Path(path)).stat().st_mtime


def _mark_incomplete(outputs: Iterable[str], persistence: Any) -> None:
    persistence.started(SimpleNamespace(output=list(map(IOFile, outputs))))
