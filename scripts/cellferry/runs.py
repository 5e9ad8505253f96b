"""Runs of the workflow in a folder, and whether the run of a job is still the current one.

A snakemake that is killed leaves its jobs running, on this machine or on the cluster. Their results must
not replace those of a run that has begun since. Each run therefore has a record in the folder; the next
run on the same results removes it, and a job without a record puts nothing in place
(`cellferry.files.complete`).

Imported by the Snakefile: standard library only.
"""

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .errors import SupersededError

FOLDER = Path("results/.runs")

RECORD = "CELLFERRY_RUN_RECORD"
"""Environment variable: the record of the run that started a job; unset with --no-hooks."""

ATTEMPTS, SECONDS_BETWEEN_ATTEMPTS = 3, 1.0
"""For reading a record: a network file system may show a new file late."""


@dataclass(frozen=True)
class Run:
    """A run of another process: one that was killed, or one that works on other results in this folder.

    Parameters
    ----------
    record
        Its file.
    made_from
        Hash of its configuration, of the methods and of the user's files.
    outputs
        Paths that it was to make.
    """

    record: Path
    made_from: str
    outputs: frozenset[str]


def register_run(name: str, made_from: str, outputs: Iterable[str]) -> None:
    """Write the record of this process's run; jobs inherit its path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    hidden = path.with_suffix(".new")
    hidden.write_text(json.dumps({"made_from": made_from, "outputs": sorted(outputs)}), encoding="utf-8")
    os.replace(hidden, path)
    os.environ[RECORD] = str(path)


def unregister_run() -> None:
    """Remove the record of this process's run, at its end."""
    if record := os.environ.pop(RECORD, None):
        Path(record).unlink(missing_ok=True)
        with suppress(OSError):
            FOLDER.rmdir()


def other_runs() -> list[Run]:
    """Runs of other processes that have a record."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        if str(path) != os.environ.get(RECORD):
            run = json.loads(path.read_text(encoding="utf-8"))
            found.append(Run(path, run["made_from"], frozenset(run["outputs"])))
    return found


def check_run_is_current() -> None:
    """Check that the run that started this process still has its record.

    Raises
    ------
    SupersededError
        If the record is gone.
    """
    record = os.environ.get(RECORD)
    if not record:
        return
    for attempt in range(ATTEMPTS):
        # Opening asks the file server; a test for existence may be answered from the client's cache.
        with suppress(FileNotFoundError), open(record, encoding="utf-8"):
            return
        if attempt < ATTEMPTS - 1:
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
    raise SupersededError(
        "this job belongs to an earlier run, and another one has begun since: nothing was put in place"
    )


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
        run.record.unlink()
    register_run(name, made_from, outputs)


def invalidate_unrecorded(made_from: str) -> None:
    """Mark results as incomplete that other runs left without a record of what they were made from.

    On a cluster, a job that outlives its snakemake leaves such a result, of which no change would be noticed.
    Results of a run with the same configuration, methods and files are kept.
    """
    runs = [run for run in other_runs() if run.made_from != made_from]
    if runs:
        from snakemake.persistence.file import FilePersistence

        persistence = FilePersistence()
        for run in runs:
            _mark_incomplete(_unrecorded(run.outputs, persistence), persistence)


def _unrecorded(outputs: Iterable[str], persistence: Any) -> list[str]:
    """Outputs that exist without a record of Snakemake's."""
    from snakemake.io import IOFile

    return [path for path in outputs if Path(path).exists() and persistence.metadata(IOFile(path)) is None]


def _mark_incomplete(outputs: Iterable[str], persistence: Any) -> None:
    from snakemake.io import IOFile

    persistence.started(SimpleNamespace(output=list(map(IOFile, outputs))))
