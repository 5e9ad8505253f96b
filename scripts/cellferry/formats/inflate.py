"""Values of one-dimensional HDF5 datasets; ISA-L unpacks their gzip twice as fast as HDF5's zlib."""

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numcodecs.shuffle import Shuffle

from .pieces import read_part

MAX_CHUNK_BYTES = 1 << 23
"""Slices of larger chunks are read by HDF5, which holds a whole chunk as well, but only once."""


def read_values(array: Any, start: int, stop: int) -> np.ndarray:
    """`array[start:stop]` of a one-dimensional array in any store.

    Unusual arrays are read by HDF5: those with other filters, and chunks that were never written or are
    damaged. So the error for a damaged file is that of HDF5.
    """
    stop = min(stop, array.shape[0])
    shuffle = _shuffle_of(array) if start < stop else None
    if shuffle is None:
        return read_part(array, slice(start, stop))
    found = np.empty(stop - start, array.dtype)
    try:
        for first, values in _chunks(array, start, stop, shuffle=shuffle):
            cut = values[max(0, start - first) : stop - first]
            place = max(0, first - start)
            found[place : place + len(cut)] = cut
    except (OSError, RuntimeError, ValueError, isal_zlib.error):
        return read_part(array, slice(start, stop))
    return found


def _shuffle_of(array: Any) -> bool | None:
    """True if the bytes are shuffled before gzip, False if not; None for any other compression."""
    if not isinstance(array, h5py.Dataset) or array.ndim != 1 or not array.chunks:
        return None
    if array.dtype.kind not in "iuf" or array.chunks[0] * array.dtype.itemsize > MAX_CHUNK_BYTES:
        return None
    properties = array.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    packings = {(h5py.h5z.FILTER_DEFLATE,): False, (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE): True}
    return packings.get(tuple(filters))


def _chunks(
    dataset: h5py.Dataset, start: int, stop: int, *, shuffle: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the unpacked chunks with values `start` to `stop`, each with the position of its first value."""
    (size,), dtype = dataset.chunks, dataset.dtype
    codec = Shuffle(dtype.itemsize)
    for first in range(start - start % size, stop, size):
        skipped, packed = dataset.id.read_direct_chunk((first,))
        # Limited to the size of a chunk, even if a damaged one would unpack to more.
        unpacked = isal_zlib.decompressobj().decompress(packed, size * dtype.itemsize)
        if skipped or len(unpacked) != size * dtype.itemsize:
            raise ValueError("not a whole chunk")
        yield first, np.frombuffer(codec.decode(unpacked) if shuffle else unpacked, dtype)
