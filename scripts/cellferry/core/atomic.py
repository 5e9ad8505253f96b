"""Files: those of a user that may be broken, and our own that appear only when they are complete."""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError, SupersededError
from .disk import is_full
from .run_record import check_run_is_current

REMNANT = re.compile(r"\.[0-9a-f]{8}\..")
"""How a temporary name begins."""

DAMAGED = ".damaged."
"""How the name of a mark begins."""


@contextmanager
def complete(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; renamed on success (a file is synced before), removed on failure.

    The name is unique, so that two jobs writing the same output (one that was left by a killed snakemake, and
    its successor) cannot harm each other.

    Raises
    ------
    SupersededError
        If the run that started this process was replaced by a later one (`cellferry.core.run_record`).
    OSError
        If the disk is full, whatever the library that wrote made of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers choose a format or a compression by it.
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
        # torch and HDF5 say anything but that; it shows as long as what they wrote is there.
        if is_full(path.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        _remove(temporary)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")


def mark_as_damaged(path: Path) -> None:
    """Note beside a file or folder that it is damaged; `set_aside_damaged` takes it away when no job runs.

    Raises
    ------
    SupersededError
        If the run that started this process was replaced by a later one, which may have made the file again.
    """
    check_run_is_current()
    path.with_name(f"{DAMAGED}{path.name}").touch()


def set_aside_damaged(folder: str | Path) -> None:
    """Give what is marked as damaged a hidden name, so that the next run makes it anew.

    Not done by the job that finds the damage: Snakemake ends at once, without a word on why, where a job
    is to be tried again and its input is gone.
    """
    for mark in list(Path(folder).rglob(f"{DAMAGED}*")):
        damaged = mark.with_name(mark.name.removeprefix(DAMAGED))
        with suppress(FileNotFoundError):
            os.replace(damaged, _hidden(damaged))
        mark.unlink(missing_ok=True)


def remove_remnants(folder: str | Path) -> None:
    """Remove what killed jobs left under temporary names; only where no job runs that still writes."""
    for path in list(Path(folder).rglob(".*")):
        if REMNANT.match(path.name):
            _remove(path)


def _replace_folder(new: Path, path: Path) -> None:
    """Rename a folder to `path`, which may be taken by another, even one that comes up at this moment.

    A folder cannot be renamed over one that holds files. The former one steps aside whole: whoever reads
    it must not meet it half removed.
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
            # Somebody may still read it, on a file system that then will not let it go.
            shutil.rmtree(former, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
