"""Runs of the workflow in a folder, and whether the one that a job belongs to still counts.

A snakemake that is killed leaves its jobs running, on this machine or on the cluster. What they finish after
another run has begun on the same results must not take the place of its results. So each run has a record in
the folder as long as it counts, and a job looks for it before it puts anything in place
(`cellferry.files.complete`).

Read by the Snakefile, so it imports nothing that a login node with Snakemake alone lacks.
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
"""Environment variable: the record of the run that started a job; not set where it has none (--no-hooks)."""

LOOKS, SECONDS_BETWEEN_LOOKS = 3, 1.0
"""A network file system may not show a file at once."""


@dataclass(frozen=True)
class Run:
    """An earlier run that came to no end, or another one that is at work in the same folder.

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


def record_run(name: str, made_from: str, outputs: Iterable[str]) -> None:
    """Let the run of this process count; jobs that it starts from now on know it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    hidden = path.with_suffix(".new")
    hidden.write_text(json.dumps({"made_from": made_from, "outputs": sorted(outputs)}), encoding="utf-8")
    os.replace(hidden, path)
    os.environ[RECORD] = str(path)


def forget_run() -> None:
    """Let the run of this process count no more, when it has come to its end."""
    if record := os.environ.pop(RECORD, None):
        Path(record).unlink(missing_ok=True)
        with suppress(OSError):
            FOLDER.rmdir()


def other_runs() -> list[Run]:
    """Runs of other processes that have a record in the folder."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        if str(path) != os.environ.get(RECORD):
            run = json.loads(path.read_text(encoding="utf-8"))
            found.append(Run(path, run["made_from"], frozenset(run["outputs"])))
    return found


def check_that_it_counts() -> None:
    """Check that the run which started this process has a record.

    Raises
    ------
    SupersededError
        If it has none any more.
    """
    record = os.environ.get(RECORD)
    if not record:
        return
    for look in range(LOOKS):
        if Path(record).exists():
            return
        if look < LOOKS - 1:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    raise SupersededError(
        "this job belongs to an earlier run, and another one has begun since: nothing was put in place"
    )


def take_over(workflow: Any, name: str, made_from: str) -> None:
    """Begin a run whose locks Snakemake has granted: others that were to make what it uses count no more.

    Parameters
    ----------
    workflow
        Snakemake's, whose jobs are known.
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
                # Made from the same, or it would have been distrusted.
                workflow.async_run(persistence.finished(job))
                unrecorded.difference_update(job.output)
        _mark_incomplete(unrecorded - outputs, persistence)
        run.record.unlink()
    record_run(name, made_from, outputs)


def distrust_others(made_from: str) -> None:
    """Let what jobs of other runs finished unseen, and from something else, be made again.

    On a cluster a job that outlives its snakemake leaves a result, of which there is no record of what it was
    made from, so that no change would be noticed.
    """
    runs = [run for run in other_runs() if run.made_from != made_from]
    if runs:
        from snakemake.persistence.file import FilePersistence

        persistence = FilePersistence()
        for run in runs:
            _mark_incomplete(_unrecorded(run.outputs, persistence), persistence)


def _unrecorded(outputs: Iterable[str], persistence: Any) -> list[str]:
    """Outputs that are there, and of which Snakemake has no record."""
    from snakemake.io import IOFile

    return [path for path in outputs if Path(path).exists() and persistence.metadata(IOFile(path)) is None]


def _mark_incomplete(outputs: Iterable[str], persistence: Any) -> None:
    from snakemake.io import IOFile

    persistence.started(SimpleNamespace(output=list(map(IOFile, outputs))))
