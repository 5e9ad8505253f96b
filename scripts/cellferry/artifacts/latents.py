"""Mapped cells on disk: parquet files with names, batches, labels and latents, read in blocks.

A part (the reference, a held-out part of it, or a query) is a list of such files in the dataset's
order. Columns: `cell`, `batch`, `label` (null where unknown) and `latent_0` … `latent_{L-1}` (float32), by
the model that was fitted to the part's batches. If fitting changed latents, `unfitted_0` … `unfitted_{L-1}`
are those of the reference's own model.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

REFERENCE_CELLS = "neighbors.parquet"
"""Name of the classifiers' file with latents of their training cells."""

LATENT, UNFITTED = "latent", "unfitted"
"""Prefixes of latent columns: of the first mapping, and of the second one."""

ROWS_PER_GROUP = 1 << 16
"""Rows per row group of the files written here, and default rows per block."""


def chunk_files(folder: Path) -> list[Path]:
    """The files of a mapped part in a folder, in the order of its cells."""
    found = (path for path in folder.glob("*.parquet") if path.stem.isdecimal())
    return sorted(found, key=lambda path: int(path.stem))


def latent_columns(paths: Sequence[str | Path], prefix: str = LATENT) -> list[str]:
    """Names of the latent columns, in order."""
    columns = [name for name in pq.read_schema(paths[0]).names if name.startswith(f"{prefix}_")]
    return sorted(columns, key=lambda name: int(name.removeprefix(f"{prefix}_")))


def mapping_columns(paths: Sequence[str | Path]) -> list[list[str]]:
    """Names of the latent columns of each mapping: of one, or of the fitted and of the unfitted one.

    Without latents there are no columns.
    """
    fitted, unfitted = (latent_columns(paths, prefix) for prefix in (LATENT, UNFITTED))
    return [fitted, unfitted] if unfitted else [fitted]


def count_cells(paths: Sequence[str | Path]) -> int:
    """Number of cells in all files; only their footers are read."""
    return sum(pq.read_metadata(path).num_rows for path in paths)


def blocks(
    paths: Sequence[str | Path], columns: list[str], *, rows: int = ROWS_PER_GROUP
) -> Iterator[pa.RecordBatch]:
    """The files' cells one after the other, in blocks of at most `rows`."""
    for path in paths:
        # Closed one by one: there may be thousands of files.
        # With read-ahead, all data stays in memory until the file is closed.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)


def strings(column: pa.Array) -> np.ndarray:
    """A string column as an object array of str, None where it is null."""
    return column.to_numpy(zero_copy_only=False).astype(object, copy=False)


def matrix(block: pa.RecordBatch | pa.Table, columns: list[str]) -> np.ndarray:
    """Columns of a block or table as one array: cells × columns, float32, C order."""
    values = np.empty((block.num_rows, len(columns)), dtype=np.float32)
    for position, column in enumerate(columns):
        values[:, position] = np.asarray(block.column(column))
    return values


def read_codes(paths: Sequence[str | Path], column: str) -> tuple[np.ndarray, list[str]]:
    """A string column of all cells as codes.

    Returns
    -------
    Codes (int32, one per cell, -1 where null) and the sorted values by code. At most one block of
    strings is in memory at a time.
    """
    codes = np.empty(count_cells(paths), dtype=np.int32)
    known: dict[str, int] = {}
    start = 0
    for block in blocks(paths, [column]):
        encoded = block.column(0).dictionary_encode()
        values = encoded.dictionary.to_pylist()
        # One entry more than values: code -1 (null) indexes the last.
        translation = np.array([known.setdefault(value, len(known)) for value in values] + [-1], np.int32)
        codes[start : start + len(encoded)] = translation[encoded.indices.fill_null(-1).to_numpy()]
        start += len(encoded)
    values = sorted(known)
    rank = np.full(len(known) + 1, -1, dtype=np.int32)
    rank[[known[value] for value in values]] = np.arange(len(values))
    return rank[codes], values


def read_values(paths: Sequence[str | Path], column: str) -> set[str]:
    """The values of a string column, without null; one block is in memory at a time."""
    return values_by_column(paths, [column])[column] - {None}


def values_by_column(paths: Sequence[str | Path], columns: Sequence[str]) -> dict[str, set[str | None]]:
    """The values of string columns, in one pass; a file without a column has nulls only."""
    values: dict[str, set[str | None]] = {column: set() for column in columns}
    for path in paths:
        names = pq.read_schema(path).names
        present = [column for column in columns if column in names]
        for column in values.keys() - present:
            values[column].add(None)
        for block in blocks([path], present):
            for column in present:
                values[column].update(block.column(column).unique().to_pylist())
    return values


def dataset_of(batch: str) -> str:
    """The dataset that a batch is of: batches of a reference that is trained here are `{dataset}/{value}`."""
    return batch.partition("/")[0]


def codes_among(labels: Sequence[str], codes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Codes of `names` (-1: missing) as codes of `labels` (int32), -1 for other names."""
    place = {label: code for code, label in enumerate(labels)}
    # One entry more than names: code -1 (missing) indexes the last.
    return np.array([place.get(name, -1) for name in names] + [-1], dtype=np.int32)[codes]


def read_rows(paths: Sequence[str | Path], columns: list[str], rows: np.ndarray) -> pa.Table:
    """Columns of the given rows (ascending, counted through all files)."""
    tables, start = [], 0
    for block in blocks(paths, columns):
        stop = start + block.num_rows
        first, last = np.searchsorted(rows, [start, stop])
        if first < last:
            tables.append(pa.table(block).take(rows[first:last] - start))
        start = stop
    if not tables:
        return pq.read_schema(paths[0]).empty_table().select(columns)
    return pa.concat_tables(tables).combine_chunks()


def read_latents(paths: Sequence[str | Path], rows: np.ndarray) -> np.ndarray:
    """Latents of the given rows (ascending, counted through all files): rows × latents, float32."""
    columns = latent_columns(paths)
    return matrix(read_rows(paths, columns, rows), columns)
