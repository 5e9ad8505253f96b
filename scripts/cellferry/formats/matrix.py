"""Sparse and dense matrices in HDF5 files and zarr stores, read as row blocks of limited size."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import zarr
from scipy import sparse

from ..errors import InputError
from .compressed import POINTERS_AT_ONCE, Compressed
from .hdf5_parts import unwritten_chunks
from .interface import BYTES_PER_CELL, BYTES_PER_VALUE
from .pieces import read_part
from .sorting import Entries, as_float32, row_blocks

type Group = h5py.Group | zarr.Group
type Array = h5py.Dataset | zarr.Array

SPARSE = ("csr", "csc")
MAX_COLUMNS = 10**7
PREVIEW_VALUES = 1 << 16
"""Values read at one place of a matrix to detect what it contains."""


class Stored(NamedTuple):
    """Storage of a matrix in the file."""

    storage: str
    shape: tuple[int, int]
    dtype: np.dtype
    nonzeros: int | None


def is_array(element: Any) -> bool:
    """True if this is an array (a dense matrix, a column) and not a group of arrays."""
    return hasattr(element, "dtype")


def array_at(group: Group, name: str) -> Array:
    """An array that a format requires.

    Raises
    ------
    OSError
        If it is something else: a group or a scalar.
    """
    element = group[name]
    if not is_array(element):
        raise OSError(f"{element.name} is a group instead of an array")
    if not element.shape:
        raise OSError(f"{element.name} is a single value or empty instead of an array")
    return element


def group_at(group: Group, name: str) -> Group:
    """A group that a format requires.

    Raises
    ------
    OSError
        If it is an array or a scalar.
    """
    element = group[name]
    if is_array(element):
        raise OSError(f"{element.name} is an array instead of a group")
    return element


def text_attribute(element: Group | Array, name: str) -> str | None:
    """An attribute with one string, of any type and shape."""
    texts = texts_attribute(element, name)
    return texts[0] if texts else None


def texts_attribute(element: Group | Array, name: str) -> list[str] | None:
    """An attribute with strings: of variable or fixed length, or bytes; None if missing."""
    return texts_of(element.attrs.get(name))


def texts_of(value: Any) -> list[str] | None:
    """Strings of an attribute or a dataset, or None."""
    if value is None or isinstance(value, h5py.Empty):
        return None
    strings = np.atleast_1d(np.asarray(value, dtype=object)).ravel().tolist()
    return [item.decode() if isinstance(item, bytes) else str(item) for item in strings]


def is_matrix(element: Group | Array) -> bool:
    """True if this is an array or the arrays of a sparse matrix, False for a group of matrices."""
    return is_array(element) or not {"data", "indices", "indptr"}.isdisjoint(element)


def layers_of(group: Group, name: str = "layers") -> dict[str, Group | Array]:
    """Matrices in a group by place; a name with a slash is a matrix in a subgroup."""
    layers = {}
    for key in group:
        element, place = group[key], f"{name}/{key}"
        layers |= {place: element} if is_matrix(element) else layers_of(element, place)
    return layers


def stored(element: Group | Array) -> Stored:
    """Describe an AnnData matrix without reading it."""
    if is_array(element):
        shape = element.shape if element.ndim == 2 else (element.shape[0], 1)
        return Stored("dense", shape, element.dtype, None)
    attrs = element.attrs
    # Files before 0.7 name these attributes after h5sparse.
    encoding = text_attribute(element, "encoding-type") or text_attribute(element, "h5sparse_format") or ""
    shape = attrs.get("shape", attrs.get("h5sparse_shape"))
    if np.shape(shape) != (2,) or not all(map(_is_number_of_things, shape)):
        raise OSError(f"{element.name} has no valid attribute `shape`, which gives its rows and columns")
    if encoding[:3] not in SPARSE:
        raise OSError(f"{element.name} is stored as '{encoding[:80]}', not as CSR or CSC")
    data = array_at(element, "data")
    return Stored(encoding[:3], (int(shape[0]), int(shape[1])), data.dtype, int(data.shape[0]))


def _is_number_of_things(value: Any) -> bool:
    """True if this is a whole number of at least 0; some writers store it as a float."""
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and 0 <= value < np.inf
        and value == int(value)
    )


def glance(element: Group | Array) -> np.ndarray:
    """Values from the start, the middle and the end of a matrix."""
    is_dense = is_array(element)
    data = element if is_dense else array_at(element, "data")
    if not is_dense and len(data.shape) != 1:
        raise OSError(f"{data.name} has values of shape {data.shape}, not one-dimensional ones")
    n_rows, n_columns = data.shape[0], math.prod(data.shape[1:])
    taken = max(1, PREVIEW_VALUES // max(1, n_columns))
    starts = sorted({0, max(0, (n_rows - taken) // 2), max(0, n_rows - taken)})
    rows = [slice(start, start + taken) for start in starts]
    # Limited for damaged matrices with a huge width.
    parts = rows if n_columns <= MAX_COLUMNS else [(some, slice(0, PREVIEW_VALUES)) for some in rows]
    return np.concatenate([np.asarray(read_part(data, part)).ravel() for part in parts])


def unwritten_warnings(array: Array) -> list[str]:
    """Warnings of chunks of a dense matrix that were never written: HDF5 reads them as zeros."""
    n_missing, n_chunks = unwritten_chunks(array) if isinstance(array, h5py.Dataset) else (0, 0)
    told = f"{n_missing} of the {n_chunks} chunks of {array.name} were never written and are read as zeros"
    return [told] if n_missing else []


def looks_like_counts(values: np.ndarray) -> bool:
    """True if values can be counts: non-negative integers, and at least one."""
    if len(values) == 0 or values.dtype.kind not in "biuf":
        return False
    return bool(np.all(np.isfinite(values)) and np.all(values >= 0) and np.all(values == np.rint(values)))


def blocks_of_rows(
    element: Group | Array,
    max_bytes: int,
    scratch: Path,
    path: Path,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[sparse.csr_matrix]:
    """Rows of a matrix in order, as CSR float32 of at most `max_bytes` (8 per value), at least one row.

    Parameters
    ----------
    element
        Sparse group or dense dataset.
    max_bytes
        Size of a block.
    scratch
        Folder for temporary files; a CSC matrix needs 12 bytes per stored value.
    path
        The file, for messages.
    start, stop
        The first row, and the one after the last; for a CSC matrix all values are read anyway.
    """
    found = stored(element)
    if found.dtype.kind not in "biuf":
        raise InputError(
            f"{path}: {element.name} holds {found.dtype}, not numbers; export the counts as numbers"
        )
    if found.storage == "dense":
        return dense_rows(element, max_bytes, start, stop)
    if found.storage == "csr":
        return csr_rows(element, found.shape, max_bytes, path, start, stop)
    if found.storage == "csc":
        return csc_rows(element, found.shape, max_bytes, scratch, path, start, stop)
    raise InputError(f"{path}: {element.name} is stored as {found.storage}; save it as CSR, CSC or dense")


def csr_rows(
    group: Group,
    shape: tuple[int, int],
    max_bytes: int,
    path: Path,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[sparse.csr_matrix]:
    """Yield row blocks of a CSR matrix (or of the CSC matrix of its transpose)."""
    matrix = Compressed(group, shape, path)
    n_rows = shape[0] if stop is None else stop
    while start < n_rows:
        pointers = matrix.pointers(start, min(n_rows, start + POINTERS_AT_ONCE))
        cost = (pointers - pointers[0]) * BYTES_PER_VALUE + np.arange(len(pointers)) * BYTES_PER_CELL
        first = 0
        while first < len(pointers) - 1:
            last = max(first + 1, int(np.searchsorted(cost, cost[first] + max_bytes, side="right")) - 1)
            begin, end = int(pointers[first]), int(pointers[last])
            indices = matrix.columns(begin, end)
            indptr = (pointers[first : last + 1] - begin).astype(indices.dtype)
            data = as_float32(matrix.values(begin, end))
            block = sparse.csr_matrix((data, indices, indptr), shape=(last - first, shape[1]))
            block.sum_duplicates()
            yield block
            first = last
        start += len(pointers) - 1


def csc_rows(
    group: Group,
    shape: tuple[int, int],
    max_bytes: int,
    scratch: Path,
    path: Path,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[sparse.csr_matrix]:
    """Yield row blocks of a CSC matrix: rows `start` to `stop` are sorted in files."""
    stop = shape[0] if stop is None else stop
    entries = csc_entries(group, shape, max_bytes, path)
    nonzeros = group["data"].shape[0]
    if (start, stop) != (0, shape[0]):
        entries = (_between(batch, start, stop) for batch in entries)
        nonzeros = nonzeros * (stop - start) // max(1, shape[0])
    return row_blocks(entries, (stop - start, shape[1]), max_bytes, scratch, nonzeros=nonzeros)


def _between(batch: Entries, start: int, stop: int) -> Entries:
    kept = (batch.rows >= start) & (batch.rows < stop)
    return Entries(batch.rows[kept] - np.int32(start), batch.columns[kept], batch.values[kept])


def csc_entries(group: Group, shape: tuple[int, int], max_bytes: int, path: Path) -> Iterator[Entries]:
    """Yield entries of a CSC matrix in the file's order, in batches of at most `max_bytes` (12 per entry)."""
    matrix = Compressed(group, shape[::-1], path)
    pointers = matrix.pointers(0, shape[1])  # one per gene
    genes = np.arange(shape[1], dtype=np.int32)
    step = max(1, max_bytes // 12)
    for begin in range(0, matrix.n_values, step):
        end = min(begin + step, matrix.n_values)
        rows = matrix.columns(begin, end)
        columns = np.repeat(genes, np.diff(np.clip(pointers, begin, end)))
        yield Entries(rows, columns, as_float32(matrix.values(begin, end)))


def dense_rows(
    dataset: Array, max_bytes: int, start: int = 0, stop: int | None = None
) -> Iterator[sparse.csr_matrix]:
    """Yield row blocks of a dense matrix; `max_bytes` includes the dense rows."""
    n_rows, n_columns = dataset.shape if dataset.ndim == 2 else (dataset.shape[0], 1)
    stop = n_rows if stop is None else stop
    per_row = max(1, n_columns) * (dataset.dtype.itemsize + BYTES_PER_VALUE) + BYTES_PER_CELL
    step = max(1, max_bytes // per_row)
    if dataset.chunks and step > dataset.chunks[0]:
        # Whole HDF5 chunks, so that none is unpacked twice.
        step -= step % dataset.chunks[0]
    for first in range(start, stop, step):
        yield compressed(read_part(dataset, slice(first, min(first + step, stop))).reshape(-1, n_columns))


def compressed(rows: np.ndarray) -> sparse.csr_matrix:
    """Dense rows as CSR float32; four times as fast as scipy, which converts to coordinates first."""
    n_rows, n_columns = rows.shape
    flat = rows.reshape(-1)
    stored = flat != 0
    where = np.flatnonzero(stored)
    lengths = np.count_nonzero(stored.reshape(rows.shape), axis=1)
    indices = where - np.repeat(np.arange(n_rows) * n_columns, lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_matrix(
        (as_float32(flat[where]), indices.astype(np.int32), indptr.astype(np.int32)), shape=rows.shape
    )
