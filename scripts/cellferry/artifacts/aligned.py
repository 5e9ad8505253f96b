"""Tables of cells, read together with the h5ad file of the same cells."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from .h5ad_reader import H5adReader
from .latents import ROWS_PER_GROUP, blocks, count_cells, strings

REMEDY = "delete the query's folders in results/mapped and results/predictions and run snakemake again"


def iter_aligned(
    paths: Sequence[str | Path], columns: list[str], reader: H5adReader, ranges: list[tuple[int, int]]
) -> Iterator[pa.Table]:
    """The cells of parquet files in the given ranges of rows of `reader`.

    Parameters
    ----------
    paths, columns
        Files with the cells of `reader` in its order, in any division; columns to read.
    reader
        The h5ad file.
    ranges
        First row and end of each range, one after the other without gaps.

    Raises
    ------
    RuntimeError
        If the cells are not those of `reader`, in its order.
    """
    check_number(reader, count_cells(paths))
    most = max((stop - start for start, stop in ranges), default=1)
    batches = blocks(paths, ["cell", *columns], rows=min(most, ROWS_PER_GROUP))
    rest = pa.RecordBatch.from_pylist([])
    for start, stop in ranges:
        pieces, missing = [], stop - start
        while missing:
            rest = rest if len(rest) else next(batches)
            pieces.append(rest.slice(0, missing))
            rest = rest.slice(missing)
            missing -= len(pieces[-1])
        table = pa.Table.from_batches(pieces)
        check_names(reader, start, table.column("cell"))
        yield table.drop_columns("cell")


def check_names(reader: H5adReader, start: int, column: pa.Array | pa.ChunkedArray) -> None:
    """Stop if the names of the cells of `reader` from row `start` on differ from a table's column."""
    stop = start + len(column)
    # As UTF-8, as both files have them: a str per cell would take several times as long.
    stored = pa.chunked_array([pa.array(reader.encoded_names(start, stop), pa.binary())])
    if pa.chunked_array(column).cast(pa.binary()).equals(stored):
        return
    names, expected = strings(column), reader.names(start, stop)
    wrong = next((i for i, (a, b) in enumerate(zip(names, expected, strict=False)) if a != b), len(expected))
    raise RuntimeError(
        f"{reader.path}: cell {start + wrong} of {reader.n_cells} is not the one in the chunks "
        f"({names[wrong]!r}); {REMEDY}"
    )


def check_number(reader: H5adReader, n_cells: int) -> None:
    """Stop if `reader` has another number of cells than a table."""
    if n_cells != reader.n_cells:
        raise RuntimeError(
            f"{reader.path}: has {reader.n_cells} cells, but the chunks hold {n_cells}; {REMEDY}"
        )
