"""Files of users: errors as clear messages, and file signatures."""

import csv
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DamagedPartError, InputError
from .contents import unreadable
from .text import UNPACKING_ERRORS, in_one_line, refuse_special, special_kind

# Errors of the file or its path. All other numbers are faults of the machine (a full disk, a file server that
# does not respond), which a retry may solve: they are not the user's error.
OF_THE_FILE = {
    None,
    errno.ENOENT,
    errno.EACCES,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ELOOP,
}


def is_retryable(error: BaseException) -> bool:
    """True if an error is a fault of the machine and not of the file."""
    return isinstance(error, OSError) and error.errno not in OF_THE_FILE


ENDS = 1 << 16
"""Bytes at the start and at the end of a file that identify it: headers, footers, indices."""


def state_of(path: Path) -> str:
    """State of a file or folder: number of files, bytes, time of the last change (ns).

    A file's state includes a digest of its first and last bytes, which hold the index in many formats: a copy
    may keep size and time.

    Raises
    ------
    InputError
        If it is, or contains, a pipe or a device.
    """
    refuse_special(path)
    stats = [file.stat() for file in ([path] if path.is_file() else _files_below(path))]
    size, last = sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)
    state = f"{len(stats)} files, {size} bytes, {last} ns"
    if not path.is_file():
        return state
    with open(path, "rb") as file:
        ends = file.read(ENDS)
        file.seek(max(len(ends), size - ENDS))
        return f"{state}, {hashlib.sha256(ends + file.read(ENDS)).hexdigest()}"


def check_unchanged(path: Path, state: str) -> None:
    """Check that a file still has the state that `state_of` returned before it was read.

    Raises
    ------
    InputError
        If it has changed.
    """
    if state_of(path) != state:
        raise InputError(f"{path}: was changed while it was read; when it is complete, run snakemake again")


def _files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder and its subfolders, without broken links."""
    for inside in folder.rglob("*"):
        if inside.is_file():
            yield inside
        elif inside.exists():
            refuse_special(inside)


CHECKSUM_BYTES = 1_000_000
"""Files up to this size are compared by content; the default of Snakemake's --max-checksum-file-size."""


def signature(path: Path) -> str:
    """Identity of a file: SHA-256 of a small one, size and time (seconds) of a large one.

    Unlike a comparison of times, it detects a file that was replaced by an older one. A folder's signature
    covers the sizes and times of all files in it.
    """
    try:
        stat = path.stat()
        if path.is_dir():
            return _signature_of_folder(path)
        if special_kind(path) is not None:
            return "neither a file nor a folder"
        if stat.st_size > CHECKSUM_BYTES and os.access(path, os.R_OK):
            return f"{stat.st_size} bytes of {int(stat.st_mtime)}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _signature_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        stat = file.stat()
        digest.update(f"{file.relative_to(folder)} {stat.st_size} {int(stat.st_mtime)}\n".encode())
    return digest.hexdigest()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of broken files into an `InputError` that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file or folder; correct the path") from error
    except PermissionError as error:
        raise InputError(
            f"{path}: may not be read ({in_one_line(error)}); ask its owner for read permission"
        ) from error
    except KeyError as error:  # from h5py: a required group or dataset is missing
        raise InputError(
            f"{path}: lacks a part that its format requires ({error.args[0]}); export it again"
        ) from error
    except DamagedPartError as error:
        raise InputError(f"{path}: {error}; the file is damaged: export it again") from error
    except (OSError, *UNPACKING_ERRORS, UnicodeDecodeError, csv.Error) as error:
        if is_retryable(error):
            raise
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            raise InputError(f"{path}: is a link that leads back to itself; correct the path") from error
        problem = unreadable(Path(path))
        if problem is not None:
            raise InputError(f"{path}: {problem}") from error
        # Text that ends within a character was truncated.
        if isinstance(error, UnicodeDecodeError) and not error.reason.startswith("unexpected end"):
            around = error.object[max(0, error.start - 20) : error.end + 20].decode("latin-1")
            raise InputError(
                f"{path}: contains text that is not UTF-8 ('{around}', read as Latin-1); convert it to UTF-8"
            ) from error
        raise InputError(
            f"{path}: cannot be read, it is broken, incomplete or of another format "
            f"({in_one_line(error)}); compare its size or checksum with the original and copy or "
            "download it again"
        ) from error
