"""Users' HDF5 files: opened without locks, with all common compression filters."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

# Importing it registers compression filters of other programs (zstd, blosc, lz4, …).
import hdf5plugin  # noqa: F401

from ..core.hdf5_links import with_parts
from ..core.text import in_one_line, refuse_special
from ..errors import InputError
from .hdf5_parts import refuse_parts_elsewhere
from .options import Options
from .pieces import MAX_PIECE_BYTES, limited_memory

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGXCPU)

SECONDS_TO_LOOK = 10
"""CPU time limit; reading all attributes of an ordinary file takes hundredths of a second."""

MISSHAPEN = (AttributeError, IndexError, OverflowError, RecursionError, TypeError, ValueError)
"""Errors raised by a file whose content is of another kind than its reader expects.

Examples: a group instead of an array or the reverse, a scalar, text instead of numbers, another length, an
attribute of another type, an impossible number, a circular link. Readers could not check all of these one by
one.
"""


SMALL = 1 << 14
"""Largest number of values of arrays that are tested before a file is read."""


def refuse_what_crashes(path: Path, *, follow_links: bool = False) -> None:
    """Raise an `InputError` if HDF5 itself crashes or hangs on a file's attributes or small arrays.

    HDF5 does not check the lengths and positions in a file. A child process reads them first, since this
    process would end without a message, or never. The same is done for linked files.
    """
    for part in with_parts(path, follow_links=follow_links):
        _refuse_if_crashes(part)


def _refuse_if_crashes(path: Path) -> None:
    if not (path.is_file() and h5py.is_hdf5(path)):
        return
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_TO_LOOK, SECONDS_TO_LOOK + 1))
        # All other errors are repeated and reported by the reader.
        with (
            suppress(Exception),
            limited_memory(MAX_PIECE_BYTES),
            h5py.File(path, "r", locking=False) as file,
        ):
            file.visititems(_look_at)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and (ended_by := signal.Signals(os.WTERMSIG(status))) in CRASHES:
        what = "does not end on it" if ended_by is signal.SIGXCPU else f"crashes on it ({ended_by.name})"
        raise InputError(
            f"{path}: cannot be read, it is damaged inside: HDF5 {what}; copy or export it again"
        )


def _look_at(_: str, element: h5py.Group | h5py.Dataset) -> None:
    with suppress(Exception):
        dict(element.attrs)
        if isinstance(element, h5py.Dataset) and element.size and element.size <= SMALL:
            element[()]


@contextmanager
def open_hdf5(path: str | Path, options: Options | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path
        The file.
    options
        Configuration of the dataset that the file belongs to, if any.

    Raises
    ------
    InputError
        If data are compressed by a filter that is not installed, are of another kind than the reader expects,
        or are in another file.
    OSError
        If the file is broken.
    """
    path = Path(path)
    refuse_special(path)
    follow = options is not None and options.follow_links
    # HDF5 searches for linked files beside a symlink first, but they are beside the file itself.
    real = path.resolve() if follow and path.is_symlink() else path
    try:
        refuse_parts_elsewhere(real, options)
        with h5py.File(real, "r", locking=False) as file:
            yield file
    except UnicodeDecodeError:  # text in another encoding, reported by `readable`
        raise
    except MISSHAPEN as error:
        raise InputError(misshapen(path, error)) from error
    except RuntimeError as error:  # from h5py: links or data that HDF5 cannot read
        links = "too many links" in str(error)
        why = "a link in it leads back to itself" if links else f"it is damaged inside: {in_one_line(error)}"
        raise InputError(f"{path}: cannot be read, {why}; copy or export it again") from error
    except OSError as error:
        # The message of HDF5 is about folders of plugins and names neither the filter nor the dataset.
        for part in with_parts(path, follow_links=follow):
            if missing := _first_missing_filter(part):
                raise InputError(
                    f"{part}: {missing}, which is not installed here; write it again where the filter is, "
                    f"with gzip: h5repack -f GZIP=4 {part.name} NEW_FILE, or compression='gzip' in AnnData's "
                    "write_h5ad"
                ) from error
        raise


def misshapen(path: str | Path, error: Exception) -> str:
    """Message for a file whose reader failed by one of `MISSHAPEN`."""
    return f"{path}: its content does not match its format ({in_one_line(error)}); export it again"


def _first_missing_filter(path: Path) -> str | None:
    """The first dataset with a missing filter, with the filter; None without one or for a broken file."""

    def find(name: str, element: h5py.Group | h5py.Dataset) -> str | None:
        if not isinstance(element, h5py.Dataset):
            return None
        properties = element.id.get_create_plist()
        for number in range(properties.get_nfilters()):
            code, _, _, about = properties.get_filter(number)
            if not h5py.h5z.filter_avail(code):
                called = about.decode("utf-8", "replace").split(";")[0].strip() or "no name"
                return f"{name} is compressed by the HDF5 filter {code} ({called})"
        return None

    try:
        with h5py.File(path, "r", locking=False) as file:
            return file.visititems(find)
    except (OSError, RuntimeError, KeyError):  # broken: the original error is reported
        return None
