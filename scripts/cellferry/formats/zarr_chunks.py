"""Missing chunks of a zarr store: omitted by the writer, or lost.

zarr omits a chunk that contains only the fill value (0 in anndata), and reads a missing chunk as this value.
So a column with one category has no chunks at all, and a lost chunk reads as zeros. A missing chunk is an
error if its values cannot be zeros: names, stored values, positions that would repeat within a row, pointers
that do not begin with zeros. It is also an error for codes and other values of cells if a whole chunk of one
value is unlikely, given how often neighboring cells have equal values. Other missing chunks are read, with a
warning.
"""

import itertools
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zarr

from ..errors import InputError
from .pieces import read_part

METADATA = {".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"}
"""Files beside the chunks; a zarr group has at least one of them."""

MAX_CHUNKS = 10**7
MAX_CHUNK_BYTES = 1 << 31
"""Largest chunk of Blosc."""

UNEXPECTED = 0.01
"""Expected number of single-value chunks in a column below which one is considered lost."""

READ_AT_ONCE = 1 << 17


class Missing(NamedTuple):
    """The missing chunks of an array.

    Attributes
    ----------
    path
        The store, for messages.
    array
        The array.
    chunks
        Positions in the grid of chunks.
    n_chunks
        Number of all chunks.
    """

    path: Path
    array: zarr.Array
    chunks: list[tuple[int, ...]]
    n_chunks: int

    @property
    def are_all(self) -> bool:
        """True if all chunks are missing."""
        return len(self.chunks) == self.n_chunks

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Start and end of each missing chunk of a one-dimensional array."""
        size, length = _sizes(self.array)[0], self.array.shape[0]
        return [(number * size, min(length, (number + 1) * size)) for (number, *_) in self.chunks]

    @property
    def first(self) -> str:
        """Name of the first missing chunk."""
        return f"{self.array.path}/{self.array.metadata.encode_chunk_key(self.chunks[0])}"

    def __str__(self) -> str:
        return f"{len(self.chunks)} of the {self.n_chunks} chunks of {self.array.path} are missing"

    def refuse(self, why: str = "") -> None:
        """Raise an `InputError`."""
        raise InputError(
            f"{self.path}: {self}; the store is incomplete ({self.first} is not there{why}): copy or export "
            "it again"
        )


class Chunks:
    """Existing chunks of a store.

    Parameters
    ----------
    path
        The folder or zip archive.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._in_zip: list[str] | None = None
        if path.is_file():
            with zipfile.ZipFile(path) as archive:
                self._in_zip = archive.namelist()

    def missing(self, array: zarr.Array) -> Missing | None:
        """The missing chunks of an array; None if all exist.

        Raises
        ------
        InputError
            If the array has an impossible number or size of chunks.
        """
        sizes = _sizes(array)
        numbers = [range(-(-n // size)) for n, size in zip(array.shape, sizes, strict=True)]
        n_chunks = math.prod(map(len, numbers))
        chunk_bytes = math.prod(sizes) * max(1, array.dtype.itemsize)
        stored = self._stored(array)
        too_large = chunk_bytes > MAX_CHUNK_BYTES and chunk_bytes > array.size * array.dtype.itemsize
        if too_large or (n_chunks > MAX_CHUNKS and n_chunks > len(stored)):
            raise InputError(
                f"{self._path}: {array.path} declares {_by(array.shape)} values in chunks of {_by(sizes)}, "
                f"but {len(stored)} are there; the store is damaged: copy or export it again"
            )
        key = array.metadata.encode_chunk_key
        chunks = [at for at in itertools.product(*numbers) if key(at) not in stored]
        return Missing(self._path, array, chunks, n_chunks) if chunks else None

    def _stored(self, array: zarr.Array) -> set[str]:
        """Names of an array's files within its folder."""
        if self._in_zip is None:
            folder = self._path / array.path
            files = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        else:
            start = f"{array.path}/"
            files = (name[len(start) :] for name in self._in_zip if name.startswith(start))
        return {name for name in files if name not in METADATA and name[-1:] not in ("", "/")}


def check_names(chunks: Chunks, *arrays: zarr.Array) -> None:
    """Raise an `InputError` if a chunk is missing of names or other arrays without zeros."""
    for array in arrays:
        if found := chunks.missing(array):
            found.refuse()


def sparse_warnings(chunks: Chunks, group: zarr.Group, n_rows: int, n_columns: int) -> Iterator[str]:
    """Check the chunks of a compressed matrix with `n_rows` contiguous rows.

    Yields
    ------
    Warnings of missing chunks that may have been omitted.
    """
    check_names(chunks, group["data"])
    pointers, indices = (chunks.missing(group[name]) for name in ("indptr", "indices"))
    if pointers is not None:
        end = max(stop for _, stop in pointers.ranges)
        are_first = pointers.chunks == [(number,) for number in range(len(pointers.chunks))]
        follows = int(read_part(group["indptr"], end)) if are_first and end < n_rows + 1 else 0
        if not are_first or follows > n_columns or (pointers.are_all and group["data"].shape[0]):
            pointers.refuse()
        yield f"{pointers}, as zarr leaves out zeros: rows up to {end} are read as empty"
    if indices is not None:
        if not all(_begin_rows(group["indptr"], *bounds) for bounds in indices.ranges):
            indices.refuse()
        omitted = f"{indices} ({indices.first}), as zarr leaves out zeros"
        yield f"{omitted}: values there are read as those of the first row or column"


def _begin_rows(pointers: zarr.Array, begin: int, end: int) -> bool:
    """True if each of the values `begin` to `end` is the first of its row."""
    found: set[int] = set()
    for start in range(0, pointers.shape[0], READ_AT_ONCE):
        some = read_part(pointers, slice(start, start + READ_AT_ONCE))
        found.update(np.unique(some[(some >= begin) & (some < end)]).tolist())
    return len(found) == end - begin


def dense_warnings(chunks: Chunks, array: zarr.Array) -> Iterator[str]:
    """Warning of missing chunks of a dense matrix, which zarr reads as zeros."""
    if found := chunks.missing(array):
        yield (
            f"{found} and are read as zeros, which zarr leaves out; compare the number of the store's files "
            "with the original"
        )


def column_warnings(chunks: Chunks, item: zarr.Array | zarr.Group) -> Iterator[str]:
    """Check the chunks of a column: an array, or a group of codes and categories or of values and mask."""
    if isinstance(item, zarr.Array):
        yield from _value_warnings(chunks.missing(item))
        return
    categories = item.get("categories")
    if isinstance(categories, zarr.Group):  # nullable strings
        categories = categories["values"]
    for part in (categories, *(item.get(name) for name in ("codes", "values", "mask"))):
        found = chunks.missing(part) if isinstance(part, zarr.Array) else None
        if found is None or (found.are_all and part.basename == "mask"):
            continue
        if part is categories and part.shape != (1,):
            found.refuse()  # categories differ; only a single one can be 0 or the empty text
        if found.are_all and part.basename == "codes" and categories is not None:
            if categories.shape[0] > 1:
                found.refuse(f", and cells of {categories.shape[0]} categories cannot all have the first")
            continue
        yield from _value_warnings(found)


def _value_warnings(found: Missing | None) -> Iterator[str]:
    if found is None:
        return
    if found.array.ndim == 1 and not found.are_all:
        stays, pairs = _equal_neighbors(found)
        length = min(end - begin for begin, end in found.ranges)
        if found.n_chunks * ((stays + 1) / (pairs + 2)) ** length < UNEXPECTED:
            found.refuse(", and so many equal values in a row are unlikely there")
    value = np.asarray(found.array.fill_value).item()
    yield f"{found} ({found.first}), as zarr leaves out chunks of {value!r}: cells there get this value"


def _equal_neighbors(found: Missing) -> tuple[int, int]:
    """Number of neighbors with equal values in existing chunks, and number of all neighbors there."""
    array, missing = found.array, found.ranges
    stays = pairs = 0
    for start in range(0, array.shape[0] - 1, READ_AT_ONCE):
        values = read_part(array, slice(start, start + READ_AT_ONCE + 1))
        is_there = np.ones(len(values), dtype=bool)
        for begin, end in missing:
            is_there[max(0, begin - start) : max(0, end - start)] = False
        are_there = is_there[1:] & is_there[:-1]
        stays += int(np.count_nonzero((values[1:] == values[:-1]) & are_there))
        pairs += int(np.count_nonzero(are_there))
    return stays, pairs


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _sizes(array: zarr.Array) -> tuple[int, ...]:
    """Shape of the content of a file: a chunk, or a shard of several chunks."""
    return array.shards or array.chunks
