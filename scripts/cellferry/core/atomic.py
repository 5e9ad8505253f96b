"""Files: those of a user that may be broken, and our own that appear only when they are complete."""

import csv
import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError
from .contents import unreadable
from .run_record import check_run_is_current
from .text import UNPACKING_ERRORS

# What is wrong with a file or its path. Every other number is a fault of the machine (a full disk, a file
# server that does not answer): a retry may mend it, so it is no error of the user's.
OF_THE_FILE = {
    None,
    errno.ENOENT,
    errno.EACCES,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.EINVAL,
}


def is_passing(error: BaseException) -> bool:
    """Whether an error is a fault of the machine and not of the file that was being read."""
    return isinstance(error, OSError) and error.errno not in OF_THE_FILE


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


def state_of(path: Path) -> tuple[int, int, int]:
    """Number of files, their bytes, and when the last of them was written (ns)."""
    files = [path] if path.is_file() else [inside for inside in path.rglob("*") if inside.is_file()]
    stats = [file.stat() for file in files]
    return (
        len(stats),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    )


CHECKSUM_BYTES = 1_000_000
"""Files up to this size are compared by content; Snakemake's default of --max-checksum-file-size."""


def signature(path: Path) -> str:
    """Identity of a file: SHA-256 of a small one, size and time (seconds) of a large one.

    Unlike a comparison of times, it detects a file that was replaced by an older one. A folder's is made of
    the sizes and times of all files below it.
    """
    try:
        stat = path.stat()
        if path.is_dir():
            return _signature_of_folder(path)
        if stat.st_size > CHECKSUM_BYTES and os.access(path, os.R_OK):
            return f"{stat.st_size} bytes of {int(stat.st_mtime)}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _signature_of_folder(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        stat = file.stat()
        found.update(f"{file.relative_to(folder)} {stat.st_size} {int(stat.st_mtime)}\n".encode())
    return found.hexdigest()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what broken files raise into an `InputError` that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file or folder; correct the path") from error
    except PermissionError as error:
        raise InputError(f"{path}: may not be read ({error}); ask its owner for read permission") from error
    except KeyError as error:  # from h5py: a group or dataset that the format promises
        raise InputError(
            f"{path}: lacks a part that its format promises ({error.args[0]}); export it again"
        ) from error
    except (OSError, *UNPACKING_ERRORS, UnicodeDecodeError, csv.Error) as error:
        if is_passing(error):
            raise
        problem = unreadable(Path(path))
        if problem is not None:
            raise InputError(f"{path}: {problem}") from error
        # A text that ends within a letter was cut off.
        if isinstance(error, UnicodeDecodeError) and not error.reason.startswith("unexpected end"):
            around = error.object[max(0, error.start - 20) : error.end + 20].decode("latin-1")
            raise InputError(
                f"{path}: holds text that is not UTF-8 ('{around}', as Latin-1 has it); convert it to UTF-8"
            ) from error
        raise InputError(
            f"{path}: cannot be read, it is broken, incomplete or of another format ({error}); "
            "compare its size or checksum with the original and copy or download it again"
        ) from error
