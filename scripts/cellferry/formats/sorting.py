"""Sort entries of a matrix into row blocks, through bucket files on disk.

Each bucket contains the entries of a range of rows, 12 bytes each. First all entries are distributed to the
buckets. Then bucket after bucket is read, sorted by row and yielded. A bucket that is too large is
distributed again, to smaller ones. `max_bytes` sets the memory, independent of the matrix's size; the disk
must hold each entry once (and for a moment twice, if its bucket is distributed again).
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
"""Memory per row besides its values: name and annotation, which the caller adds."""

MAX_BUCKETS = 256
"""More open files would exceed the limits of some systems; larger matrices are distributed twice."""

BYTES_PER_ENTRY = 12
"""Size in a bucket: row and column (int32), and the bits of a float32 value."""


MAX_EXACT = 1 << 24
"""Float32 represents all whole numbers up to this one."""


def as_float32(values: np.ndarray) -> np.ndarray:
    """Values as float32; those above `MAX_EXACT`, which are not counts, are never rounded down to it."""
    found = values.astype(np.float32, copy=False)
    if found is not values and len(found) and found.max() >= MAX_EXACT:
        found[(found == MAX_EXACT) & (values > MAX_EXACT)] = MAX_EXACT + 2
    return found


class Entries(NamedTuple):
    """A batch of entries: their rows, columns and values (arrays of equal length)."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray


class OutOfOrderError(Exception):
    """Entries that began sorted by row do not continue so."""


def sorted_row_blocks(
    batches: Iterable[Entries], shape: tuple[int, int], max_bytes: int
) -> Iterator[sparse.csr_matrix]:
    """Yield the rows of a matrix in order, from entries sorted by row; uses no disk.

    Parameters
    ----------
    batches
        The entries, in batches of at most `max_bytes` each.
    shape, max_bytes
        As in `row_blocks`.

    Raises
    ------
    OutOfOrderError
        If an entry's row is smaller than that of the entry before; some rows may have been yielded already.
    """
    start = 0  # the first row that has not been yielded
    held = Entries(*(np.empty(0, dtype=dtype) for dtype in (np.int32, np.int32, np.float32)))
    for batch in batches:
        held = Entries(*(np.concatenate(parts) for parts in zip(held, batch, strict=True)))
        if len(held.rows) == 0:
            continue
        if held.rows[0] < start or np.any(np.diff(held.rows) < 0):
            raise OutOfOrderError
        # The last row may continue in the next batch.
        stop = int(held.rows[-1])
        yield from _cut(held, start, stop, shape[1], max_bytes)
        start, begun = stop, np.searchsorted(held.rows, stop)
        held = Entries(*(values[begun:] for values in held))
    yield from _cut(held, start, shape[0], shape[1], max_bytes)


def _cut(
    entries: Entries, start: int, stop: int, n_columns: int, max_bytes: int
) -> Iterator[sparse.csr_matrix]:
    """Yield rows `start` to `stop` of sorted entries, in blocks of at most `max_bytes`."""
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
    """Yield the rows of a matrix in order, from entries in any order.

    Parameters
    ----------
    batches
        The entries. Entries of the same row and column are summed.
    shape
        Rows and columns.
    max_bytes
        Size of a yielded block (8 bytes per value, 128 per row); at least one row. Sorting takes up to four
        times as much.
    scratch
        Folder on disk for the bucket files, which are removed during reading and after an error.
    nonzeros
        Expected number of entries, which sets the number of buckets; a rough estimate is enough.

    Yields
    ------
    CSR float32 matrices of all rows of `shape` together; columns sorted and unique per row.
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
    """Pass batches through and report the progress; a dataset may consist of thousands of files."""
    progress = Progress("sorted by cell", expected, "values", at_most=True, only_if_long=True)
    for batch in batches:
        yield batch
        progress.add(len(batch.rows))
    progress.end()


def _deal(
    batches: Iterable[Entries], start: int, stop: int, size: int, max_bytes: int, folder: Path
) -> list[tuple[int, int, Path]]:
    """Distribute entries of rows `start` to `stop` to bucket files; return row ranges and paths."""
    # A quarter more than enough for rows of equal size.
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
                        file.write(entries[begin:end].data)  # unlike tofile, raises an error on a full disk
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
    """Entries in the types of the functions below, values as their bits."""
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
    """Entries (n × 3) sorted by bucket, stable within a bucket, and the end of each bucket."""
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
    """Row pointers, columns and values of entries (n × 3), stable within a row."""
    # Shifted by one row: as its entries are added, the pointer to a row's start becomes that to its end.
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
