"""Parquet and feather (Arrow) tables, cells × genes or genes × cells: a column of names, and numbers.

The files contain groups of rows, and each group is stored column by column. If rows are cells and groups are
small, a group is read at once and cells are in order. Otherwise as many columns are read at once as fit into
memory, and their values are sorted by cell in files on disk.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..errors import InputError
from ..resources.memory import BLOCK_BYTES, MB
from .annotation import CELLS_AT_ONCE
from .columnar import (
    ARROW,
    DESCRIPTION_BYTES,
    OLD_FEATHER,
    PARQUET,
    READING_MB,
    BoundedQueue,
    Table,
    as_texts,
    is_number,
    opened,
)
from .interface import (
    BYTES_PER_CELL,
    BYTES_PER_VALUE,
    Block,
    Cells,
    FileSignature,
    Header,
    Options,
    refuse_place,
)
from .matrix import PREVIEW_VALUES, compressed, looks_like_counts
from .not_cells import check_suspects, columns_about_genes, left_out, refuse_not_cells, suspects
from .orientation import NAMES, genes_are_rows
from .sorting import Entries, as_float32, row_blocks

PREVIEW_COLUMNS = 64
NAMES_TO_JUDGE = 5000


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file is a parquet or feather table."""
    return signature.start.startswith((PARQUET, ARROW, OLD_FEATHER))


def header(path: Path, options: Options) -> Header:
    """Read the header of a table; see `interface.Header`."""
    refuse_place(path, options)
    with opened(path) as table:
        schema = table.schema
        repeated = [name for name, n in Counter(schema.names).items() if n > 1]
        if repeated:
            raise InputError(f"{path}: has several columns named '{repeated[0]}'; make them unique")
        stored = _stored_index(schema)
        numbers = [field.name for field in schema if is_number(field.type) and field.name not in stored]
        texts = [field.name for field in schema if _is_text(field.type)]
        others = sorted({*schema.names} - {*numbers, *texts, *stored})
        index = _names_column(path, schema, texts)
        numbers = [name for name in numbers if name != index]
        some = next(table.read([index], NAMES_TO_JUDGE), None)
        first_names = [] if some is None else as_texts(some.column(0)).tolist()
        rows_are_genes = genes_are_rows(path, first_names, numbers[:NAMES_TO_JUDGE], options)
        annotation = [name for name in texts if name != index]
        remarks = [f"rows are named by the column {index}"]
        if others:
            remarks.append(f"columns left out, neither numbers nor text: {', '.join(others)}")
        about: list[str] = []
        if rows_are_genes:
            about = _about_genes(path, table, numbers, options)
            numbers = [name for name in numbers if name not in about]
            var = _frame(table, index, annotation)
        else:
            refuse_not_cells(path, options)
            var = pd.DataFrame(index=pd.Index(numbers, dtype=object))
        values = _preview(table, numbers)
        n_cells = len(numbers) if rows_are_genes else table.n_rows
        is_streamed = not rows_are_genes and table.largest_group() <= BLOCK_BYTES
        return Header(
            path=path,
            format="parquet",
            options=options,
            n_cells=n_cells,
            n_genes=len(var),
            nonzeros=None,
            dtype=", ".join(sorted({str(schema.field(name).type) for name in numbers})),
            held_mb=READING_MB + DESCRIPTION_BYTES * len(schema.names) * len(table.lengths) // MB,
            storage="dense" if is_streamed else "columns",
            places={"matrix": looks_like_counts(values)},
            counts="matrix",
            var=var,
            obs_columns=[] if rows_are_genes else annotation,
            preview=values,
            remarks=remarks,
            warnings=left_out(about, options),
            details={"index": index, "numbers": numbers, "rows_are_genes": rows_are_genes},
        )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of the cells, about a hundred thousand at a time."""
    details = header.details
    if details["rows_are_genes"]:
        yield Cells(np.array(details["numbers"], dtype=object), {})
        return
    with opened(header.path) as table:
        for batch in table.read([details["index"], *columns], CELLS_AT_ONCE):
            yield _annotation(batch, columns)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield counts, names and annotation in row blocks; see `formats.blocks`."""
    numbers = header.details["numbers"]
    with opened(header.path) as table:
        if header.in_order:
            wanted = [header.details["index"], *columns, *numbers]
            for batch in table.read(wanted, _rows_read(table, numbers, max_bytes), start, stop):
                for part in _parts(batch, len(numbers), max_bytes):
                    names, obs = _annotation(part, columns)
                    yield Block(compressed(_dense(part, numbers)), names, obs)
            return
        shape = (header.n_cells, header.n_genes)
        share = np.count_nonzero(header.preview) / max(1, len(header.preview))
        entries = _entries(table, header, max_bytes)
        nonzeros = int(share * shape[0] * shape[1])
        annotation = BoundedQueue(cells(header, columns), columns)
        for counts in row_blocks(entries, shape, max_bytes, scratch, nonzeros=nonzeros):
            names, obs = annotation.take(counts.shape[0])
            yield Block(counts, names, obs)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_boolean(kind)
    )


def _stored_index(schema: pa.Schema) -> list[str]:
    """The columns that pandas' metadata name as its index."""
    stored = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in stored if isinstance(name, str) and name in schema.names]


def _names_column(path: Path, schema: pa.Schema, texts: list[str]) -> str:
    """The column of names: pandas' index, or the first column of strings.

    Names may be integers in pandas' index, or in a first column with a usual name.
    """
    can_be = [name for name in schema.names if name in texts or pa.types.is_integer(schema.field(name).type)]
    if indices := [name for name in _stored_index(schema) if name in can_be]:
        return indices[0]
    strings = [name for name in texts if not pa.types.is_boolean(schema.field(name).type)]
    first = schema.names[0] if schema.names else ""
    is_named = first in can_be and first not in texts and first and NAMES.match(first)
    if is_named and not any(NAMES.match(name) for name in strings):
        return first
    if not strings:
        raise InputError(
            f"{path}: none of its columns contains strings, so its rows have no names; write it again with "
            "them (in pandas: with a named index)"
        )
    return strings[0]


def _about_genes(path: Path, table: Table, numbers: list[str], options: Options) -> list[str]:
    """Numeric columns that are not cells, in a table whose rows are genes."""
    about_genes = [numbers[position] for position in columns_about_genes(path, numbers, options)]
    rest = [name for name in numbers if name not in about_genes]
    doubtful = {rest[position]: far for position, far in suspects(rest).items()}
    others = [name for name in rest if name not in doubtful][:PREVIEW_COLUMNS]
    batch = next(table.read([*doubtful, *others], NAMES_TO_JUDGE), None) if doubtful and others else None
    if batch is not None:
        values = _dense(batch, [*doubtful, *others])
        check_suspects(path, doubtful, values[:, : len(doubtful)], values[:, len(doubtful) :], options)
    return about_genes


def _annotation(batch: pa.RecordBatch, columns: list[str]) -> Cells:
    return Cells(as_texts(batch.column(0)), {column: as_texts(batch.column(column)) for column in columns})


def _frame(table: Table, index: str, columns: list[str]) -> pd.DataFrame:
    """Names and strings of all rows."""
    parts = [_annotation(batch, columns) for batch in table.read([index, *columns], CELLS_AT_ONCE)]
    parts = parts or [Cells(np.empty(0, dtype=object), {column: np.empty(0) for column in columns})]
    values = {column: np.concatenate([part.obs[column] for part in parts]) for column in columns}
    return pd.DataFrame(values, index=pd.Index(np.concatenate([part.names for part in parts]), dtype=object))


def _rows_read(table: Table, columns: list[str], max_bytes: int) -> int:
    """Rows to read at once: each read costs as much per column as dozens of values."""
    width = sum(table.schema.field(name).type.bit_width // 8 for name in columns)
    return max(1, max_bytes // max(1, width))


def _parts(batch: pa.RecordBatch, n_columns: int, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield slices of a batch that fit into `max_bytes`, both dense and, without any zeros, sparse."""
    step = max(1, max_bytes // (n_columns * 2 * BYTES_PER_VALUE + BYTES_PER_CELL))
    for start in range(0, len(batch), step):
        yield batch.slice(start, step)


def _dense(batch: pa.RecordBatch, columns: list[str]) -> np.ndarray:
    """Rows × columns, float32; missing values become NaN."""
    tensor = batch.select(columns).to_tensor(null_to_nan=True, row_major=True)
    return as_float32(tensor.to_numpy())


def _entries(table: Table, header: Header, max_bytes: int) -> Iterator[Entries]:
    """Yield entries (cells, genes, values) of as many columns and rows at once as fit into `max_bytes`."""
    numbers = header.details["numbers"]
    first_row = 0
    for group, length in enumerate(table.lengths):
        sizes = table.group_bytes(group)
        cost = np.array([sizes[name] for name in numbers])
        first = 0
        while first < len(numbers):
            fitting = int(np.searchsorted(np.cumsum(cost[first:]), max_bytes, side="right"))
            some = numbers[first : first + max(1, fitting)]
            row = first_row
            for batch in table.read_group(group, some, _rows_read(table, some, max_bytes)):
                for part in _parts(batch, len(some), max_bytes):
                    values = _dense(part, some)
                    rows, columns = np.nonzero(values)
                    found = values[rows, columns]
                    rows, columns = (rows + row).astype(np.int32), (columns + first).astype(np.int32)
                    turned = header.details["rows_are_genes"]
                    yield Entries(columns, rows, found) if turned else Entries(rows, columns, found)
                    row += len(values)
            first += len(some)
        first_row += length


def _preview(table: Table, numbers: list[str]) -> np.ndarray:
    """Values of some columns, from the first and the last group."""
    some = numbers[:: max(1, len(numbers) // PREVIEW_COLUMNS)]
    if not some:
        return np.empty(0)
    groups = sorted({0, len(table.lengths) - 1}) if table.lengths else []
    found = []
    for group in groups:
        batch = next(iter(table.read_group(group, some, max(1, PREVIEW_VALUES // len(some)))), None)
        found += [] if batch is None else [_dense(batch, some).ravel()]
    return np.concatenate(found) if found else np.empty(0)
