"""Records of the runs in a folder, and the check that a job's run is still the current one.

A killed snakemake leaves its jobs running, on this machine or on the cluster. Their results must not replace
those of a later run. Each run therefore has a record in the folder. The next run on the same results removes
it, and a job without a record discards its output (`cellferry.core.atomic.complete`).

Imported by the Snakefile: standard library only.
"""

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, SupersededError

FOLDER = Path("results/.runs")

RECORD = "CELLFERRY_RUN_RECORD"
"""Environment variable: the record of the run that started a job; unset with --no-hooks."""

ATTEMPTS, SECONDS_BETWEEN_ATTEMPTS = 3, 1.0
"""Attempts to read a record: a network file system may show a new file late."""


@dataclass(frozen=True)
class Run:
    """A run of another process: killed, or working on other results in this folder.

    Parameters
    ----------
    record
        Its record's file.
    made_from
        Hash of its configuration, of the methods and of the user's files.
    outputs
        Paths of its outputs.
    marked
        Outputs that were marked as incomplete because of this run.
    """

    record: Path
    made_from: str
    outputs: frozenset[str]
    marked: frozenset[str] = frozenset()


def register_run(name: str, made_from: str, outputs: Iterable[str]) -> None:
    """Write the record of this process's run; jobs inherit its path.

    Raises
    ------
    InputError
        If results cannot be written.
    """
    path = FOLDER / f"{name}.json"
    try:
        _write(Run(path, made_from, frozenset(outputs)))
    except OSError as error:
        raise InputError(
            f"{path.absolute()} cannot be written ({error}); mend that and start again"
        ) from error
    os.environ[RECORD] = str(path)


def mark_run(run: Run, marked: Iterable[str]) -> None:
    """Note in the record of another run its outputs that were marked as incomplete."""
    if frozenset(marked) != run.marked:
        _write(replace(run, marked=frozenset(marked)))


def _write(run: Run) -> None:
    run.record.parent.mkdir(parents=True, exist_ok=True)
    hidden = run.record.with_suffix(".new")
    text = {"made_from": run.made_from, "outputs": sorted(run.outputs), "marked": sorted(run.marked)}
    with open(hidden, "w", encoding="utf-8") as file:
        json.dump(text, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(hidden, run.record)


def unregister_run() -> None:
    """Remove the record of this process's run, at its end."""
    if record := os.environ.pop(RECORD, None):
        Path(record).unlink(missing_ok=True)
        with suppress(OSError):
            FOLDER.rmdir()


def other_runs() -> list[Run]:
    """Runs of other processes that have a record.

    Raises
    ------
    InputError
        If a record cannot be read.
    """
    others = []
    for path in sorted(FOLDER.glob("*.json")):
        if str(path) == os.environ.get(RECORD):
            continue
        with suppress(FileNotFoundError):  # the run has just ended
            try:
                run = json.loads(path.read_text(encoding="utf-8"))
                others.append(
                    Run(path, run["made_from"], frozenset(run["outputs"]), frozenset(run["marked"]))
                )
            except (ValueError, LookupError, TypeError) as error:
                raise InputError(
                    f"{path.absolute()}: the record of an earlier run is damaged ({error}); delete it, and "
                    "all results that jobs of that run wrote since"
                ) from error
    return others


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
        # Opening queries the file server; a test for existence may use the client's cache.
        with suppress(FileNotFoundError), open(record, encoding="utf-8"):
            return
        if attempt < ATTEMPTS - 1:
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
    raise SupersededError(
        "this job belongs to an earlier run, and another one has begun since: nothing was put in place"
    )
