"""Parts of arrays in HDF5 files and zarr stores, read with limited memory.

Both unpack whole pieces (chunks) of an array, whatever their size: a file of a megabyte can contain a piece
of gigabytes, even if the array declares another size of pieces.
"""

import math
import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import zarr
from zarr.storage import ZipStore

from ..errors import DamagedPartError, InputError
from ..resources.memory import MB

MAX_PIECE_BYTES = 512 * MB
"""Largest piece that is unpacked as a whole."""

SOURCE_PIECE_BYTES = 256 * MB
"""Largest piece of a virtual dataset's source that memory is planned for."""

SLACK_BYTES = 256 * MB
"""Memory for reading, besides the values and their pieces."""

TEXT_BYTES = 768 * MB
"""The same for text, whose length is unknown before it is unpacked."""

BYTES_PER_TEXT = 128

STATISTICS = Path("/proc/self/statm")

UNPACKING_FAILED = "filter returned failure"
"""HDF5's message for a piece that a filter cannot unpack, or has no memory for."""


def read_part(array: Any, selected: Any = (), field: str | None = None) -> Any:
    """`array[selected]` of an array in HDF5, zarr or an equivalent; or of a field of a compound array.

    Raises
    ------
    InputError
        If the array is stored in pieces of more than `MAX_PIECE_BYTES`.
    DamagedPartError
        If a piece unpacks to far more than its declared size.
    """
    piece = piece_bytes(array)
    if piece > MAX_PIECE_BYTES:
        raise InputError(
            f"{_file_of(array)}: {array.name} is stored in pieces (chunks) of {piece / MB:,.0f} MB, each of "
            "which must be unpacked as a whole; write it again in pieces of at most "
            f"{MAX_PIECE_BYTES / MB:.0f} MB"
        )
    values = array if field is None else array.fields(field)
    if not piece:
        return values[selected]
    try:
        with limited_memory(_allowed_bytes(array, selected, piece)):
            return values[selected]
    except (OSError, MemoryError) as error:
        if isinstance(error, OSError) and UNPACKING_FAILED not in str(error):
            raise
        size = f"{piece / MB:,.0f} MB" if piece > MB else f"{piece:,} bytes"
        size = f"{size} that it should hold" if array.chunks else "size of its source"
        raise DamagedPartError(f"a piece (chunk) of {array.name} does not unpack to the {size}") from error


def piece_bytes(array: Any) -> int:
    """Bytes of an array's piece that is unpacked as a whole; 0 if any part can be read alone."""
    if isinstance(array, h5py.Dataset):
        if array.is_virtual:
            return SOURCE_PIECE_BYTES
        is_packed = bool(array.chunks) and array.id.get_create_plist().get_nfilters() > 0
    else:
        is_packed = isinstance(array, zarr.Array)
    return math.prod(array.chunks) * max(1, array.dtype.itemsize) if is_packed else 0


@contextmanager
def limited_memory(more_bytes: int) -> Iterator[None]:
    """Limit further memory of the process to `more_bytes`; allocations beyond it fail."""
    if not STATISTICS.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # Pages of data and stack, which Linux limits here.
    has = int(STATISTICS.read_text().split()[5]) * mmap.PAGESIZE
    limits = [limit for limit in (soft, hard, has + more_bytes) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _allowed_bytes(array: Any, selected: Any, piece: int) -> int:
    """Allowed memory for reading a part of an array: twice the values, and the pieces held at a time."""
    parts = selected if isinstance(selected, tuple) else (selected,)
    lengths = list(array.shape)
    for axis, part in enumerate(parts):
        lengths[axis] = len(range(*part.indices(lengths[axis]))) if isinstance(part, slice) else 1
    n_values = math.prod(lengths)
    is_text = array.dtype.kind == "T" or array.dtype.hasobject
    more = TEXT_BYTES + BYTES_PER_TEXT * n_values if is_text else SLACK_BYTES
    return more + 2 * n_values * array.dtype.itemsize + 3 * piece


def _file_of(array: h5py.Dataset | zarr.Array) -> Any:
    """The file or store of an array."""
    if isinstance(array, h5py.Dataset):
        return array.file.filename
    store = array.store_path.store
    return store.path if isinstance(store, ZipStore) else store.root
