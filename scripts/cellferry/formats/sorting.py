"""Entries of a matrix in any order, turned into row blocks through bucket files on disk.

Each bucket holds the entries of a run of rows, 12 bytes each. First all entries are dealt to the
buckets, then bucket after bucket is read, sorted by row and handed on. A bucket that turns out too
large is dealt again, to smaller ones. Memory is set by `max_bytes`, whatever the size of the matrix;
the disk must hold each entry once (briefly twice for a bucket that is dealt again).
"""

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
from scipy import sparse

from ..core.progress import Progress

BYTES_PER_VALUE = 8
BYTES_PER_ROW = 128
"""What a row costs besides its values: its name and annotation, which the caller adds."""

MAX_BUCKETS = 256
"""More open files would meet the limits of some systems; larger matrices are dealt twice."""

BYTES_PER_ENTRY = 12
"""In a bucket: row and column (int32), and the bits of a float32 value."""


MAX_EXACT = 1 << 24
"""Up to this float32 holds all whole numbers."""


def as_float32(values: np.ndarray) -> np.ndarray:
    """Values as float32, of which those above `MAX_EXACT` are not rounded down to it: they are no counts."""
    found = values.astype(np.float32, copy=False)
    if found is not values and len(found) and found.max() >= MAX_EXACT:
        found[(found == MAX_EXACT) & (values > MAX_EXACT)] = MAX_EXACT + 2
    return found


class Entries(NamedTuple):
    """A batch of entries: row, column and value of each (equally long arrays)."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray


class OutOfOrderError(Exception):
    """Entries that began sorted by row do not go on so."""


def sorted_row_blocks(
    batches: Iterable[Entries], shape: tuple[int, int], max_bytes: int
) -> Iterator[sparse.csr_matrix]:
    """Yield the rows of a matrix in order, given its entries sorted by row; nothing goes to disk.

    Parameters
    ----------
    batches
        The entries, in batches of at most `max_bytes` each.
    shape, max_bytes
        As in `row_blocks`.

    Raises
    ------
    OutOfOrderError
        If an entry's row is smaller than that of the entry before; rows may have been yielded by then.
    """
    start = 0  # the first row that has not been yielded
    held = Entries(*(np.empty(0, dtype=dtype) for dtype in (np.int32, np.int32, np.float32)))
    for batch in batches:
        held = Entries(*(np.concatenate(parts) for parts in zip(held, batch, strict=True)))
        if len(held.rows) == 0:
            continue
        if held.rows[0] < start or np.any(np.diff(held.rows) < 0):
            raise OutOfOrderError
        # The last row may go on in the next batch.
        stop = int(held.rows[-1])
        yield from _cut(held, start, stop, shape[1], max_bytes)
        start, begun = stop, np.searchsorted(held.rows, stop)
        held = Entries(*(values[begun:] for values in held))
    yield from _cut(held, start, shape[0], shape[1], max_bytes)


def _cut(
    entries: Entries, start: int, stop: int, n_columns: int, max_bytes: int
) -> Iterator[sparse.csr_matrix]:
    """Rows `start` to `stop` of sorted entries, in blocks of at most `max_bytes`."""
    pointers = np.searchsorted(entries.rows, np.arange(start, stop + 1))
    cost = pointers * BYTES_PER_VALUE + np.arange(len(pointers)) * BYTES_PER_ROW
    first = 0
    while first < stop - start:
        last = max(first + 1, int(np.searchsorted(cost, cost[first] + max_bytes, side="right")) - 1)
        begin, end = pointers[first], pointers[last]
        indptr = (pointers[first : last + 1] - begin).astype(np.int32)
        block = sparse.csr_matrix(
            (
                entries.values[begin:end].astype(np.float32),
                entries.columns[begin:end].astype(np.int32),
                indptr,
            ),
            shape=(last - first, n_columns),
        )
        block.sum_duplicates()
        yield block
        first = last


def row_blocks(
    batches: Iterable[Entries],
    shape: tuple[int, int],
    max_bytes: int,
    scratch: Path,
    *,
    nonzeros: int | None,
) -> Iterator[sparse.csr_matrix]:
    """Yield the rows of a matrix in order, given its entries in any order.

    Parameters
    ----------
    batches
        The entries. Entries of the same row and column are summed.
    shape
        Rows and columns.
    max_bytes
        Size of a yielded block (8 bytes per value, 128 per row); one row at least. Sorting takes
        up to four times as much.
    scratch
        Folder on disk for the bucket files; they are removed on the way, also after an error.
    nonzeros
        Expected number of entries; it sets the number of buckets. A guess will do.

    Yields
    ------
    CSR float32 matrices that hold all rows of `shape` together; columns sorted and unique per row.
    """
    folder = Path(scratch) / f"buckets_{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        size = BYTES_PER_VALUE * (nonzeros or 0) + BYTES_PER_ROW * shape[0]
        for start, stop, path in _deal(_counted(batches, nonzeros), 0, shape[0], size, max_bytes, folder):
            yield from _read(path, start, stop, shape[1], max_bytes, folder)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _counted(batches: Iterable[Entries], expected: int | None) -> Iterator[Entries]:
    """Pass batches on, and say how far reading them is; a dataset may be of thousands of files."""
    progress = Progress("sorted by cell", expected, "values", at_most=True, only_if_long=True)
    for batch in batches:
        yield batch
        progress.add(len(batch.rows))
    progress.end()


def _deal(
    batches: Iterable[Entries], start: int, stop: int, size: int, max_bytes: int, folder: Path
) -> list[tuple[int, int, Path]]:
    """Deal entries of rows `start` to `stop` to bucket files; return the buckets' row ranges and paths."""
    # A quarter more than would do if all rows were alike.
    n_buckets = int(np.clip(-(-5 * size // (4 * max_bytes)), 1, MAX_BUCKETS))
    step = max(1, -(-(stop - start) // n_buckets))
    bounds = [(first, min(first + step, stop)) for first in range(start, stop, step)]
    paths = [folder / uuid.uuid4().hex for _ in bounds]
    most = max(1, max_bytes // 16)
    for batch in batches:
        for first in range(0, len(batch.rows), most):
            part = (values[first : first + most] for values in batch)
            entries, ends = _sort_by_bucket(*_as_int32(*part), start, stop, step, len(bounds))
            begin = 0
            for path, end in zip(paths, ends, strict=True):
                if end > begin:
                    with open(path, "ab") as file:
                        file.write(entries[begin:end].data)  # unlike tofile, says that a disk is full
                begin = end
    return [(*bound, path) for bound, path in zip(bounds, paths, strict=True)]


def _read(
    path: Path, start: int, stop: int, n_columns: int, max_bytes: int, folder: Path
) -> Iterator[sparse.csr_matrix]:
    n_entries = path.stat().st_size // BYTES_PER_ENTRY if path.exists() else 0
    size = BYTES_PER_VALUE * n_entries + BYTES_PER_ROW * (stop - start)
    if size > max_bytes and stop - start > 1:
        buckets = _deal(_entries(path, max_bytes), start, stop, size, max_bytes, folder)
        path.unlink(missing_ok=True)
        for bucket_start, bucket_stop, bucket in buckets:
            yield from _read(bucket, bucket_start, bucket_stop, n_columns, max_bytes, folder)
        return
    entries = np.fromfile(path, dtype=np.int32) if n_entries else np.empty(0, dtype=np.int32)
    path.unlink(missing_ok=True)
    indptr, indices, bits = _sort_by_row(entries.reshape(-1, 3), start, stop - start)
    del entries
    block = sparse.csr_matrix((bits.view(np.float32), indices, indptr), shape=(stop - start, n_columns))
    block.sum_duplicates()
    yield block


def _entries(path: Path, max_bytes: int) -> Iterator[Entries]:
    if not path.exists():
        return
    with open(path, "rb") as file:
        while len(entries := np.fromfile(file, dtype=np.int32, count=3 * max(1, max_bytes // 16))):
            rows, columns, bits = entries.reshape(-1, 3).T
            yield Entries(rows, columns, np.ascontiguousarray(bits).view(np.float32))


def _as_int32(rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> Iterator[np.ndarray]:
    """Entries as the functions below want them, values as their bits."""
    yield np.ascontiguousarray(rows, dtype=np.int32)
    yield np.ascontiguousarray(columns, dtype=np.int32)
    yield np.ascontiguousarray(values, dtype=np.float32).view(np.int32)


@numba.njit(cache=True)
def _sort_by_bucket(
    rows: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    start: int,
    stop: int,
    step: int,
    n_buckets: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Entries (n × 3) in the order of their buckets, otherwise as they were, and where each bucket ends."""
    places = np.zeros(n_buckets, dtype=np.int64)
    for entry in range(len(rows)):
        if not start <= rows[entry] < stop:
            raise IndexError("an entry's row lies outside the matrix")
        places[(rows[entry] - start) // step] += 1
    n_before = 0
    for bucket in range(n_buckets):
        places[bucket], n_before = n_before, n_before + places[bucket]
    entries = np.empty((len(rows), 3), dtype=np.int32)
    for entry in range(len(rows)):
        bucket = (rows[entry] - start) // step
        place = places[bucket]
        entries[place, 0], entries[place, 1], entries[place, 2] = rows[entry], columns[entry], values[entry]
        places[bucket] += 1
    return entries, places


@numba.njit(cache=True)
def _sort_by_row(entries: np.ndarray, start: int, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row pointers, columns and values of entries (n × 3), which keep their order within a row."""
    # Shifted by one row: as its entries are put in, the pointer to a row's first becomes that to its end.
    indptr = np.zeros(n_rows + 2, dtype=np.int32)
    for entry in range(len(entries)):
        indptr[entries[entry, 0] - start + 2] += 1
    for row in range(n_rows):
        indptr[row + 2] += indptr[row + 1]
    columns, values = np.empty(len(entries), dtype=np.int32), np.empty(len(entries), dtype=np.int32)
    for entry in range(len(entries)):
        row = entries[entry, 0] - start
        place = indptr[row + 1]
        columns[place], values[place] = entries[entry, 1], entries[entry, 2]
        indptr[row + 1] += 1
    return indptr[: n_rows + 1], columns, values
