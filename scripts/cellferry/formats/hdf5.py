"""HDF5 files of users: opened without locks, whatever compression they were written with."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

# Brings the filters that others compress with (zstd, blosc, lz4, …) and registers them when it is imported.
import hdf5plugin  # noqa: F401

from ..core.hdf5_links import with_parts
from ..core.text import in_one_line, refuse_special
from ..errors import InputError
from .hdf5_parts import refuse_parts_elsewhere
from .options import Options
from .pieces import MAX_PIECE_BYTES, limited_memory

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGXCPU)

SECONDS_TO_LOOK = 10
"""Of the processor; all attributes of an ordinary file take hundredths of one."""

MISSHAPEN = (AttributeError, IndexError, OverflowError, RecursionError, TypeError, ValueError)
"""What is raised where a file holds something else than its reader asks for.

A group in the place of an array or the other way round, a single value, no numbers, another length, an
attribute of another type, a number that nothing can have, a link back. There are more of these than readers
could ask for one by one.
"""


SMALL = 1 << 14
"""Arrays of at most so many values are looked at before a file is read."""


def refuse_what_crashes(path: Path, *, follow_links: bool = False) -> None:
    """Raise an `InputError` if HDF5 itself crashes, or finds no end, on a file's attributes or small arrays.

    It believes the lengths and places that it finds in there. A process of its own looks at them first; this
    one would end without a word, or never. So it does in files that are read along with it.
    """
    for part in with_parts(path, follow_links=follow_links):
        _refuse_if_crashes(part)


def _refuse_if_crashes(path: Path) -> None:
    if not (path.is_file() and h5py.is_hdf5(path)):
        return
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_TO_LOOK, SECONDS_TO_LOOK + 1))
        # Whatever it finds that is no crash, the reader finds again, and says.
        with (
            suppress(Exception),
            limited_memory(MAX_PIECE_BYTES),
            h5py.File(path, "r", locking=False) as file,
        ):
            file.visititems(_look_at)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and (ended_by := signal.Signals(os.WTERMSIG(status))) in CRASHES:
        what = "finds no end in it" if ended_by is signal.SIGXCPU else f"crashes on it ({ended_by.name})"
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
        What the configuration says of the dataset that it is of, if it is of one.

    Raises
    ------
    InputError
        If what is read in it is compressed by a filter that is not installed, something else than the reader
        expects, or not in the file.
    OSError
        If the file is broken.
    """
    path = Path(path)
    refuse_special(path)
    follow = options is not None and options.follow_links
    # HDF5 looks for linked files beside a symlink first, and they are where the file is.
    real = path.resolve() if follow and path.is_symlink() else path
    try:
        refuse_parts_elsewhere(real, options)
        with h5py.File(real, "r", locking=False) as file:
            yield file
    except UnicodeDecodeError:  # text in another encoding, which `readable` tells of
        raise
    except MISSHAPEN as error:
        raise InputError(misshapen(path, error)) from error
    except RuntimeError as error:  # from h5py: what HDF5 cannot follow or take apart
        links = "too many links" in str(error)
        why = "a link in it leads back to itself" if links else f"it is damaged inside: {in_one_line(error)}"
        raise InputError(f"{path}: cannot be read, {why}; copy or export it again") from error
    except OSError as error:
        # HDF5 tells of folders without plugins then, and neither of the filter nor of what it is for.
        for part in with_parts(path, follow_links=follow):
            if missing := _first_missing_filter(part):
                raise InputError(
                    f"{part}: {missing}, which is not installed here; write it again where the filter is, "
                    f"with gzip: h5repack -f GZIP=4 {part.name} NEW_FILE, or compression='gzip' in AnnData's "
                    "write_h5ad"
                ) from error
        raise


def misshapen(path: str | Path, error: Exception) -> str:
    """What is said of a file whose reader failed by one of `MISSHAPEN`."""
    return f"{path}: holds something else than its format promises ({in_one_line(error)}); export it again"


def _first_missing_filter(path: Path) -> str | None:
    """The first dataset that cannot be unpacked, and by which filter; None if all can, or nothing is read."""

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
    except (OSError, RuntimeError, KeyError):  # it is broken, and that is what is to be told
        return None
