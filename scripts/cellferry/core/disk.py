"""Free space on the disks that a run writes to, and whether anything can be written there.

Imported by the Snakefile: standard library only.
"""

import errno
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from ..errors import InputError

MIN_TEMPORARY_MB = 20

WRITTEN = ("results", "logs", ".snakemake")
"""Folders of a run, each of which may lie on a disk of its own."""

PROBE_BYTES = 1 << 16
"""What is written and removed again: where there is no room for it, there is none for a log.

A disk with less room is full: the last buffer of a library that wrote may not have fitted.
"""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors that say that a disk is full."""


def temporary_folder() -> Path:
    """The folder for temporary files: TMPDIR, or /tmp."""
    return Path(os.environ.get("TMPDIR", "/tmp"))


def check_temporary_folder() -> None:
    """Check that the folder for temporary files exists and has free space.

    Raises
    ------
    InputError
        If it does not.
    """
    folder = temporary_folder()
    if not folder.is_dir():
        raise InputError(f"TMPDIR: there is no folder {folder}; make it, or set TMPDIR to another one")
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < MIN_TEMPORARY_MB:
        raise InputError(
            f"TMPDIR: the file system of {folder} has {free_mb} MB left; free some space there, or set "
            "TMPDIR to a folder elsewhere"
        )
    if problem := _problem_of_writing(folder):
        # Python would take another folder without a word.
        raise InputError(
            f"TMPDIR: nothing can be written in {folder} ({problem.strerror}); set TMPDIR to another folder"
        )


def check_writable(*names: str) -> None:
    """Check that something can be written in folders of the run, or where they would be made.

    Raises
    ------
    InputError
        If nothing can be.
    """
    for folder in (Path.cwd() / name for name in names):
        if os.path.lexists(folder) and not folder.is_dir():
            raise InputError(f"{folder}: is no folder, and the run writes there; move it away")
        there = folder if folder.is_dir() else folder.parent
        if problem := _problem_of_writing(there):
            remedy = "free some space there" if problem.errno in FULL else "give yourself the right to"
            raise InputError(
                f"{there}: nothing can be written there ({problem.strerror}), and the run writes its "
                f"{folder.name} there; {remedy}, or run snakemake in another folder (--directory)"
            )


def _problem_of_writing(folder: Path) -> OSError | None:
    """What is raised when a small file is written in a folder; None if nothing is."""
    path = folder / f".{uuid.uuid4().hex[:8]}.probe"
    try:
        with open(path, "wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    finally:
        with suppress(OSError):
            path.unlink()
    return None


def is_full(folder: Path) -> bool:
    """Whether a folder's disk has no room left."""
    return shutil.disk_usage(folder).free < PROBE_BYTES


def fullest_folder() -> Path:
    """Of the folders that a run writes to, temporary files included, the one with least free space."""
    folders = [Path.cwd(), temporary_folder(), *(Path.cwd() / name for name in WRITTEN)]
    existing = [folder for folder in folders if folder.is_dir()]
    return min(existing, key=lambda folder: shutil.disk_usage(folder).free)
