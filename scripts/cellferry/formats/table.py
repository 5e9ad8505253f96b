"""Text tables of counts: csv or tsv, gzipped or plain, cells × genes or genes × cells.

The first column contains the rows' names. The header names the columns, with or without a name for the first
one (R writes none). The number of rows is not stored, so reading the header takes a pass over the lines.

Tables of cytometry usually have no event names: if their first column contains numbers under a channel's
name, it is read as a channel, and events are named by number.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ..config.spatial import key_order
from ..core.table_start import TableStart, table_start
from ..core.text import is_text
from ..errors import InputError
from ..features.gene_ids import ENSEMBL
from .cosmx import OUTSIDE, with_names
from .digits import line_starts
from .interface import Block, Cells, FileSignature, Header, Options, refuse_place
from .matrix import looks_like_counts
from .not_cells import (
    check_suspects,
    columns_about_genes,
    is_about_genes,
    left_out,
    refuse_not_cells,
    suspects,
)
from .orientation import BARCODE, COMMON_GENE, NAMES, genes_are_rows
from .sorting import Entries, row_blocks
from .table_lines import MISSING, NUMBER, Layout, fields_after_names, names_of, parse_lines, texts_of

ENDINGS = (".csv", ".tsv", ".txt", ".tab")
PACKED_ENDINGS = (".gz", ".bz2", ".xz")
NAMES_TO_JUDGE = 5000
PREVIEW_BYTES = 1 << 20
TEXT_BYTES = 1 << 22
"""Largest text read at once: more does not fit into the processor's cache."""

DIGITS = re.compile(r"[\d\s.,'e+-]*", re.I)
"""Numbers in any notation."""

NOT_A_CELL = f"cell_ID {OUTSIDE}, which CosMx counts outside of cells,"

CALLED = {"\t": "tabs", " ": "blanks", ",": "commas", ";": "semicolons"}


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file is text and has a table's suffix."""
    endings = [ending.lower() for ending in path.suffixes if ending.lower() not in PACKED_ENDINGS]
    return bool(endings) and endings[-1] in ENDINGS and is_text(signature.start)


def header(path: Path, options: Options) -> Header:
    """Detect shape, delimiter and orientation of a table; see `interface.Header`."""
    refuse_place(path, options)
    start = _start(path, options)
    if keys := key_order(start.names):
        start = with_names(start, keys)
    nameless = options.modality == "cytometry" and _is_nameless(start)
    layout = Layout(
        n_lines=start.n_lines,
        delimiter=start.delimiter,
        # Each line then gets an empty name in front.
        before=start.delimiter.encode() if nameless else b"",
        after=start.delimiter.encode() * start.n_empty,
        keys=keys,
    )
    columns = start.names if nameless else start.names[1:]
    _check_header(path, start, columns, options)
    n_about = 0 if keys else _n_about_genes(start, options)
    rows, rows_are_genes = _look_through(path, layout, columns, n_about, options)
    details = {
        "layout": layout,
        "columns": columns,
        "n_skipped": 0,
        "kept": None,
        "rows_are_genes": rows_are_genes,
        "is_counts": options.modality != "cytometry",
    }
    about: list[int] = []
    if not rows_are_genes:
        refuse_not_cells(path, options)
    elif details["is_counts"]:
        about = sorted({*columns_about_genes(path, columns, options), *range(n_about)})
        details |= _without_columns(columns, about, n_about)
    beginning = next(texts_of(path, PREVIEW_BYTES, layout), b"")
    preview = _preview(path, beginning, details)
    if rows_are_genes and details["is_counts"]:
        _check_values(path, preview, details, options)
    var = pd.DataFrame(index=pd.Index(rows.names if rows_are_genes else columns, dtype=object))
    for number in range(n_about if rows_are_genes else 0):
        if _holds_text(start, number):
            var[columns[number]] = np.array([field[number] for field in rows.fields], dtype=object)
    preview = preview.ravel()
    return Header(
        path=path,
        format="csv",
        options=options,
        n_cells=len(_kept_columns(details)) if rows_are_genes else rows.n,
        n_genes=len(var),
        nonzeros=None,
        dtype="text",
        storage="text",
        places={"matrix": looks_like_counts(preview)},
        counts="matrix",
        var=var,
        obs_columns=[],
        preview=preview,
        remarks=[f"{rows.n_empty} line(s) of {NOT_A_CELL} are left out"] if keys and rows.n_empty else [],
        warnings=[*start.remarks, *left_out([columns[position] for position in about], options)],
        details=details | {"sorted": not rows_are_genes},
    )


class _Rows(NamedTuple):
    """Rows of a table and its empty lines; if rows are genes, also their names and annotation."""

    n: int
    n_empty: int
    names: list[str]
    fields: list[list[str]]


def _look_through(
    path: Path, layout: Layout, columns: list[str], n_about: int, options: Options
) -> tuple[_Rows, bool]:
    """One pass over the lines: the rows, and True if they are genes."""
    n_rows = n_empty = 0
    names: list[str] = []
    fields: list[list[str]] = []
    rows_are_genes = None
    if layout.keys or (options.modality == "cytometry" and options.orientation == "auto"):
        rows_are_genes = False
    for text in texts_of(path, PREVIEW_BYTES, layout):
        starts = line_starts(text)
        n_rows += len(starts)
        n_empty += text.count(b"\n") - len(starts)
        if rows_are_genes is None and len(names) >= NAMES_TO_JUDGE:
            rows_are_genes = genes_are_rows(path, _judged(names, fields), columns[:NAMES_TO_JUDGE], options)
        if rows_are_genes is not False:  # cell names may be too many for memory
            names += names_of(text, starts, layout.delimiter)
            fields += fields_after_names(text, starts, layout.delimiter, n_about) if n_about else []
    if rows_are_genes is None:
        rows_are_genes = genes_are_rows(path, _judged(names, fields), columns[:NAMES_TO_JUDGE], options)
    return _Rows(n_rows, n_empty, names, fields), rows_are_genes


def _judged(names: list[str], fields: list[list[str]]) -> list[str]:
    """Names of rows; or their first text annotation, if the names are numbers as pandas writes them."""
    is_numbered = fields and all(map(str.isdigit, names))
    return next((list(text) for text in zip(*fields, strict=True)), names) if is_numbered else names


def _start(path: Path, options: Options) -> TableStart:
    """Start of the table.

    Raises
    ------
    InputError
        If the table is empty, or its header does not fit its rows.
    """
    start = table_start(path, blanks="always")
    if start is None:
        raise InputError(f"{path}: the table is empty; copy or export it again")
    if len(start.names) == start.n_fields == 1:
        raise InputError(
            f"{path}: its header, '{start.names[0][:80]}', could not be split; separate the fields by tabs, "
            "commas, semicolons or blanks"
        )
    if not start.is_regular:
        raise InputError(
            f"{path}: the header names {len(start.names) - 1} columns, but line {start.row_line} has "
            f"{start.n_fields - 1} values after its name (fields are separated by "
            f"{CALLED.get(start.delimiter, start.delimiter)}); export a table with the row names in the "
            "first column"
        )
    return start


def _check_header(path: Path, start: TableStart, columns: list[str], options: Options) -> None:
    """Raise an `InputError` if the first line contains values; numbers as cell names are unique."""
    if start.is_short or not columns or not all(map(NUMBER.fullmatch, columns)):
        return
    first = start.names[0]
    is_name = any(pattern.match(first) for pattern in (ENSEMBL, BARCODE, COMMON_GENE))
    if options.modality == "cytometry" or len(set(columns)) < len(columns) or is_name:
        shown = ", ".join([*start.names[:4], *(["…"] if len(start.names) > 4 else [])])
        raise InputError(
            f"{path}, line {start.n_lines}: contains numbers ({shown}) instead of column names: the table "
            "has no header; add a first line with a name per column"
        )


def _n_about_genes(start: TableStart, options: Options) -> int:
    """Number of columns after the names that annotate genes, by their names or because they are text."""
    about = (
        is_about_genes(name, options) or _holds_text(start, number)
        for number, name in enumerate(start.names[1:])
    )
    n = sum(1 for _ in itertools.takewhile(bool, about))
    return n if n < len(start.names) - 1 else 0


def _holds_text(start: TableStart, number: int) -> bool:
    """True if a column after the names contains text, and no numbers, in all rows checked."""
    values = [row[number + 1] for row in start.rows if len(row) > number + 1]
    return bool(values) and not any(value in MISSING or DIGITS.fullmatch(value) for value in values)


def _without_columns(columns: list[str], about: list[int], n_skipped: int) -> dict:
    """Columns to parse, and those of them to keep, if some columns are not cells."""
    parsed = columns[n_skipped:]
    dropped = {position - n_skipped for position in about if position >= n_skipped}
    kept = np.array([position for position in range(len(parsed)) if position not in dropped])
    return {"columns": parsed, "n_skipped": n_skipped, "kept": kept if dropped else None}


def _kept_columns(details: dict) -> list[str]:
    """Names of the columns that are cells."""
    columns, kept = details["columns"], details["kept"]
    return columns if kept is None else [columns[position] for position in kept]


def _check_values(path: Path, preview: np.ndarray, details: dict, options: Options) -> None:
    """Raise an `InputError` for columns whose first values do not look like counts of a cell."""
    columns = _kept_columns(details)
    doubtful = suspects(columns)
    others = np.delete(preview, list(doubtful), axis=1)
    names = {columns[position]: far for position, far in doubtful.items()}
    if len(names) == len(doubtful):
        check_suspects(path, names, preview[:, list(doubtful)], others, options)


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names of the cells; the format has no annotation."""
    if header.details["rows_are_genes"]:
        yield Cells(np.array(_kept_columns(header.details), dtype=object), {})
        return
    start, layout = 0, header.details["layout"]
    for text in texts_of(header.path, PREVIEW_BYTES, layout):
        names = names_of(text, line_starts(text), layout.delimiter)
        yield Cells(_called(header, names, start), {})
        start += len(names)


def blocks(header: Header, columns: list[str], max_bytes: int, scratch: Path) -> Iterator[Block]:
    """Yield counts and names of the cells in row blocks; see `formats.blocks`."""
    if not header.details["rows_are_genes"]:
        start = 0
        for names, counts in _rows(header, max_bytes):
            yield Block(counts, _called(header, names, start), {})
            start += len(names)
        return
    names = np.array(_kept_columns(header.details), dtype=object)
    share = np.count_nonzero(header.preview) / max(1, len(header.preview))
    shape = (header.n_cells, header.n_genes)
    entries = _entries(header, max_bytes)
    start = 0
    for counts in row_blocks(entries, shape, max_bytes, scratch, nonzeros=int(share * shape[0] * shape[1])):
        stop = start + counts.shape[0]
        yield Block(counts, names[start:stop], {})
        start = stop


def _entries(header: Header, max_bytes: int) -> Iterator[Entries]:
    """Yield entries (cells, genes, values) of a table whose rows are genes."""
    start = 0
    for names, counts in _rows(header, max_bytes):
        stop = start + len(names)
        genes = np.repeat(np.arange(start, stop, dtype=np.int32), np.diff(counts.indptr))
        yield Entries(counts.indices, genes, counts.data)
        start = stop


def _rows(header: Header, max_bytes: int) -> Iterator[tuple[list[str], sparse.csr_matrix]]:
    """Yield names and values of a table's rows, in batches of at most `max_bytes`.

    Raises
    ------
    InputError
        If their number differs from that found when the header was read.
    """
    details = header.details
    expected = header.n_genes if details["rows_are_genes"] else header.n_cells
    n_rows = 0
    # Text becomes at most four times its size, if all values are single digits other than zero.
    texts = texts_of(header.path, min(max(1, max_bytes // 4), TEXT_BYTES), details["layout"])
    for names, counts in parse_lines(header.path, texts, details, max_bytes):
        n_rows += len(names)
        if n_rows > expected:
            raise _changed(header.path, f"more than the {expected}")
        yield names, counts if details["kept"] is None else counts[:, details["kept"]]
    if n_rows < expected:
        raise _changed(header.path, f"{n_rows} rows instead of the {expected}")


def _changed(path: Path, count: str) -> InputError:
    return InputError(
        f"{path}: contains {count} rows that were counted before: it changed while it was read; start again "
        "when it is complete"
    )


def _is_nameless(start: TableStart) -> bool:
    """True if the first column of a cytometry table is a channel: numbers under another name than names'."""
    if start.is_short or not start.rows or NAMES.match(start.names[0].strip()):
        return False
    return NUMBER.fullmatch(start.rows[0][0]) is not None


def _called(header: Header, names: list[str], start: int) -> np.ndarray:
    """Names of cells; without names their numbers, beginning at `start` + 1."""
    if header.details["layout"].before:
        names = [f"event{number}" for number in range(start + 1, start + len(names) + 1)]
    return np.array(names, dtype=object)


def _preview(path: Path, text: bytes, details: dict) -> np.ndarray:
    """Values of the first lines: rows × kept columns."""
    parsed = [counts.toarray() for _, counts in parse_lines(path, [text], details, 16 * len(text))]
    values = np.concatenate(parsed) if parsed else np.empty((0, len(details["columns"])), dtype=np.float32)
    return values if details["kept"] is None else values[:, details["kept"]]
