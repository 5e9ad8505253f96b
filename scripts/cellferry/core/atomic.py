"""Atomic files: outputs that appear complete or not at all, and marks of damaged ones."""

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError, SupersededError
from .disk import is_full
from .run_record import check_run_is_current

REMNANT = re.compile(r"\.[0-9a-f]{8}\..")
"""Start of a temporary name."""

DAMAGED = ".damaged."
"""Start of a mark's name."""

REMOVALS = 100
"""Attempts to remove a folder, a tenth of a second apart; what is left is a remnant."""


@contextmanager
def complete(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`: renamed to it on success, removed on failure.

    A file is synced before it is renamed. The name is unique, so that two jobs that write the same output
    (one left by a killed snakemake, and its successor) do not disturb each other.

    Raises
    ------
    SupersededError
        If the run that started this process was replaced by a later one (`cellferry.core.run_record`).
    OSError
        If the disk is full, whichever error the writing library raised.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers choose format or compression by it.
    temporary = _hidden(path)
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
        check_run_is_current()
        if temporary.is_dir():
            _replace_folder(temporary, path)
        else:
            os.replace(temporary, path)
    except (InputError, SupersededError, OSError):
        raise
    except Exception as error:
        # torch and HDF5 raise other errors on a full disk. It is detected while their output still exists.
        if is_full(path.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        _remove(temporary)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")


def mark_as_damaged(path: Path) -> None:
    """Mark a file or folder as damaged; `set_aside_damaged` renames it when no job runs.

    Raises
    ------
    SupersededError
        If a later run replaced the run that started this process; it may have made the file again.
    """
    check_run_is_current()
    path.with_name(f"{DAMAGED}{path.name}").touch()


def set_aside_damaged(folder: str | Path) -> None:
    """Rename files and folders marked as damaged to hidden names, so that the next run makes them again.

    The job that detects the damage does not rename them: Snakemake ends at once and without a reason if the
    input of a job to be retried is gone.
    """
    for mark in list(Path(folder).rglob(f"{DAMAGED}*")):
        damaged = mark.with_name(mark.name.removeprefix(DAMAGED))
        with suppress(FileNotFoundError):
            os.replace(damaged, _hidden(damaged))
        mark.unlink(missing_ok=True)


def remove_remnants(folder: str | Path) -> None:
    """Remove temporary files of killed jobs; call only when no job is writing."""
    for path in list(Path(folder).rglob(".*")):
        if REMNANT.match(path.name):
            _remove(path)


def _replace_folder(new: Path, path: Path) -> None:
    """Rename a folder to `path`, which may exist already or appear at the same moment.

    A folder cannot be renamed over one with files. The former one is renamed as a whole, so that its readers
    never get half of it.
    """
    former = new.with_name(f"{new.name}.former")
    while True:
        with suppress(FileNotFoundError):
            os.replace(path, former)
        try:
            os.replace(new, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(OSError):
                    os.replace(former, path)
                raise
        else:
            return
        finally:
            # Some file systems keep a folder while another process reads it.
            shutil.rmtree(former, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a file or folder; threads of a failed writer may still add files to a folder."""
    for _ in range(REMOVALS):
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
            time.sleep(0.1)
