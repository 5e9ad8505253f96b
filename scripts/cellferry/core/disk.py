"""Free space and write permission on the disks of a run.

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
"""Folders of a run; each may be on a disk of its own."""

PROBE_BYTES = 1 << 16
"""Size of a test file: a disk without room for it has no room for a log either.

A disk with less free space counts as full: a library's last buffer may not have fit.
"""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk."""


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
        # Python would silently use another folder.
        raise InputError(
            f"TMPDIR: nothing can be written in {folder} ({problem.strerror}); set TMPDIR to another folder"
        )


def check_writable(*names: str) -> None:
    """Check that the run can write to folders, or to their parents if they do not exist.

    Raises
    ------
    InputError
        If it cannot.
    """
    for folder in (Path.cwd() / name for name in names):
        if os.path.lexists(folder) and not folder.is_dir():
            raise InputError(f"{folder}: is not a folder, but the run writes there; move it away")
        there = folder if folder.is_dir() else folder.parent
        if problem := _problem_of_writing(there):
            remedy = "free some space there" if problem.errno in FULL else "get write permission"
            raise InputError(
                f"{there}: nothing can be written there ({problem.strerror}), and the run writes its "
                f"{folder.name} there; {remedy}, or run snakemake in another folder (--directory)"
            )


def _problem_of_writing(folder: Path) -> OSError | None:
    """The error of writing a small file to a folder, or None."""
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
    """True if a folder's disk is full."""
    return shutil.disk_usage(folder).free < PROBE_BYTES


def fullest_folder() -> Path:
    """The folder of a run, or of temporary files, with the least free space."""
    folders = [Path.cwd(), temporary_folder(), *(Path.cwd() / name for name in WRITTEN)]
    existing = [folder for folder in folders if folder.is_dir()]
    return min(existing, key=lambda folder: shutil.disk_usage(folder).free)
