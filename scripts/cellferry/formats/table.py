"""Tables of counts as text: csv, tsv, gzipped or plain, cells × genes or genes × cells.

The first column holds the rows' names. The header names the columns, with or without a name for the
first one (R writes none). A table says nowhere how long it is, so its header takes a pass over the lines.

Tables of cytometry mostly have no names of events: where their first column holds numbers under a channel's
name, it is read as a channel, and events are called by their number.
"""

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from ..genes import ENSEMBL
from ..table_start import TableStart, table_start
from ..text import is_text, open_text, split_line, whole_lines
from ..transpose import Entries, row_blocks
from .digits import line_starts, parse_rows
from .interface import BYTES_PER_CELL, BYTES_PER_VALUE, Block, Cells, Header, Looks, Options, refuse_place
from .matrix import looks_like_counts
from .not_cells import check_suspects, columns_about_genes, is_about_genes, left_out, suspects
from .orientation import BARCODE, COMMON_GENE, NAMES, genes_are_rows

ENDINGS = (".csv", ".tsv", ".txt", ".tab")
PACKED_ENDINGS = (".gz", ".bz2", ".xz")
NAMES_TO_JUDGE = 5000
GLANCE_BYTES = 1 << 20
TEXT_BYTES = 1 << 22
"""Text read at once, at most: more does not fit into the processor's cache."""

MISSING = ["", "NA", "NaN", "nan"]

NOT_EMPTY = re.compile(rb"^(?=[^\r\n])", re.M)
"""Where a line begins that is not empty."""

SEVERAL_BLANKS = re.compile(rb'("[^"\n]*")| +')
BLANKS_AT_ENDS = re.compile(rb"^ | (?=\r?$)", re.M)

QUOTED_FIELD = re.compile(rb'"((?:[^"]|"")*)"')

NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)\s*", re.I | re.ASCII)
DIGITS = re.compile(r"[\d\s.,'e+-]*", re.I)
"""Numbers, however they are written."""

WITH_COMMAS = re.compile(r"\s*-?\d+(,\d+)+(\.\d+)?\s*")

Line = tuple[int, str, bytes]
"""Number of a line, the name it begins with, and the rest of it."""


CALLED = {"\t": "tabs", " ": "blanks", ",": "commas", ";": "semicolons"}


class Layout(NamedTuple):
    """How the lines of a table are read.

    Attributes
    ----------
    n_lines
        Lines up to the header, that one included.
    delimiter
        What stands between fields.
    before
        What is put in front of every line.
    after
        What is cut off at the end of every line.
    """

    n_lines: int
    delimiter: str
    before: bytes
    after: bytes


def recognises(path: Path, looks: Looks) -> bool:
    """Whether a file is text and calls itself a table."""
    endings = [ending.lower() for ending in path.suffixes if ending.lower() not in PACKED_ENDINGS]
    return bool(endings) and endings[-1] in ENDINGS and is_text(looks.start)


def header(path: Path, options: Options) -> Header:
    """Find out shape, delimiter and orientation of a table; see `interface.Header`."""
    refuse_place(path, options)
    start = _start(path, options)
    nameless = options.modality == "cytometry" and _is_nameless(start)
    layout = Layout(
        n_lines=start.n_lines,
        delimiter=start.delimiter,
        # Every line begins with an empty name then.
        before=start.delimiter.encode() if nameless else b"",
        after=start.delimiter.encode() * start.n_empty,
    )
    columns = start.names if nameless else start.names[1:]
    _check_header(path, start, columns, options)
    names, fields, n_rows = [], [], 0
    rows_are_genes = None
    if options.modality == "cytometry" and options.orientation == "auto":
        rows_are_genes = False
    n_about = 0 if rows_are_genes is False else _n_about_genes(start, options)
    for text in _texts(path, GLANCE_BYTES, layout):
        starts = line_starts(text)
        n_rows += len(starts)
        if rows_are_genes is None and len(names) >= NAMES_TO_JUDGE:
            rows_are_genes = genes_are_rows(path, names, columns[:NAMES_TO_JUDGE], options)
        if rows_are_genes is not False:  # the names of cells may be too many to hold
            names += _names(text, starts, layout.delimiter)
            fields += _fields_about_genes(text, starts, layout.delimiter, n_about) if n_about else []
    if rows_are_genes is None:
        rows_are_genes = genes_are_rows(path, names, columns[:NAMES_TO_JUDGE], options)
    details = {
        "layout": layout,
        "columns": columns,
        "n_skipped": 0,
        "kept": None,
        "rows_are_genes": rows_are_genes,
        "is_counts": options.modality != "cytometry",
    }
    about: list[int] = []
    if rows_are_genes and details["is_counts"]:
        about = sorted({*columns_about_genes(path, columns, options), *range(n_about)})
        details |= _without_columns(columns, about, n_about)
    beginning = next(_texts(path, GLANCE_BYTES, layout), b"")
    glanced = _glance(path, beginning, details)
    if rows_are_genes and details["is_counts"]:
        _check_values(path, glanced, details, options)
    var = pd.DataFrame(index=pd.Index(names if rows_are_genes else columns, dtype=object))
    for number in range(n_about if fields else 0):
        if _holds_text(start, number):
            var[columns[number]] = np.array([field[number] for field in fields], dtype=object)
    glanced = glanced.ravel()
    return Header(
        path=path,
        format="csv",
        options=options,
        n_cells=len(_kept_columns(details)) if rows_are_genes else n_rows,
        n_genes=len(var),
        nonzeros=None,
        dtype="text",
        storage="text",
        places={"matrix": looks_like_counts(glanced)},
        counts="matrix",
        var=var,
        obs_columns=[],
        glanced=glanced,
        warnings=[*start.remarks, *left_out([columns[position] for position in about], options)],
        details=details | {"sorted": not rows_are_genes},
    )


def _start(path: Path, options: Options) -> TableStart:
    """How the table begins.

    Raises
    ------
    InputError
        If it is empty, or its header does not fit its rows.
    """
    start = table_start(path, blanks="always")
    if start is None:
        raise InputError(f"{path}: the table is empty; copy or export it again")
    if not start.is_regular:
        raise InputError(
            f"{path}: the header names {len(start.names) - 1} columns and line {start.row_line} holds "
            f"{start.n_fields - 1} values after its name (fields are separated by "
            f"{CALLED.get(start.delimiter, start.delimiter)}); is it a table with the names of its rows in "
            "the first column? Export it so"
        )
    return start


def _check_header(path: Path, start: TableStart, columns: list[str], options: Options) -> None:
    """Refuse a table whose first line is one of numbers; cells that are called by their number differ."""
    if start.is_short or not columns or not all(map(NUMBER.fullmatch, columns)):
        return
    first = start.names[0]
    is_name = any(pattern.match(first) for pattern in (ENSEMBL, BARCODE, COMMON_GENE))
    if options.modality == "cytometry" or len(set(columns)) < len(columns) or is_name:
        shown = ", ".join([*start.names[:4], *(["…"] if len(start.names) > 4 else [])])
        raise InputError(
            f"{path}, line {start.n_lines}: holds numbers ({shown}) where the names of the columns should "
            "be: the table has no header; put a line with a name for each column in front"
        )


def _n_about_genes(start: TableStart, options: Options) -> int:
    """How many columns after the names tell about the genes: by what they are called, or all of text."""
    about = (
        is_about_genes(name, options) or _holds_text(start, number)
        for number, name in enumerate(start.names[1:])
    )
    n = sum(1 for _ in itertools.takewhile(bool, about))
    return n if n < len(start.names) - 1 else 0


def _holds_text(start: TableStart, number: int) -> bool:
    """Whether a column after the names holds text, and no number, in all rows looked at."""
    values = [row[number + 1] for row in start.rows if len(row) > number + 1]
    return bool(values) and not any(value in MISSING or DIGITS.fullmatch(value) for value in values)


def _is_number(text: str) -> bool:
    return text.strip() in MISSING or NUMBER.fullmatch(text) is not None


def _without_columns(columns: list[str], about: list[int], n_skipped: int) -> dict:
    """What is parsed, and which of it is kept, where some columns are no cells."""
    parsed = columns[n_skipped:]
    dropped = {position - n_skipped for position in about if position >= n_skipped}
    kept = np.array([position for position in range(len(parsed)) if position not in dropped])
    return {"columns": parsed, "n_skipped": n_skipped, "kept": kept if dropped else None}


def _kept_columns(details: dict) -> list[str]:
    """Names of the columns that are cells."""
    columns, kept = details["columns"], details["kept"]
    return columns if kept is None else [columns[position] for position in kept]


def _check_values(path: Path, glanced: np.ndarray, details: dict, options: Options) -> None:
    """Refuse columns that hold something else than counts of a cell, as far as can be seen."""
    columns = _kept_columns(details)
    doubtful = suspects(columns)
    others = np.delete(glanced, list(doubtful), axis=1)
    names = {columns[position]: far for position, far in doubtful.items()}
    if len(names) == len(doubtful):
        check_suspects(path, names, glanced[:, list(doubtful)], others, options)


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Names of the cells; the format holds no annotation."""
    if header.details["rows_are_genes"]:
        yield Cells(np.array(_kept_columns(header.details), dtype=object), {})
        return
    start, layout = 0, header.details["layout"]
    for text in _texts(header.path, GLANCE_BYTES, layout):
        names = _names(text, line_starts(text), layout.delimiter)
        yield Cells(_called(header, names, start), {})
        start += len(names)


def blocks(header: Header, columns: list[str], max_bytes: int, scratch: Path) -> Iterator[Block]:
    """Counts and names of the cells, in row blocks; see `formats.blocks`."""
    if not header.details["rows_are_genes"]:
        start = 0
        for names, counts in _rows(header, max_bytes):
            yield Block(counts, _called(header, names, start), {})
            start += len(names)
        return
    names = np.array(_kept_columns(header.details), dtype=object)
    share = np.count_nonzero(header.glanced) / max(1, len(header.glanced))
    shape = (header.n_cells, header.n_genes)
    entries = _entries(header, max_bytes)
    start = 0
    for counts in row_blocks(entries, shape, max_bytes, scratch, nonzeros=int(share * shape[0] * shape[1])):
        stop = start + counts.shape[0]
        yield Block(counts, names[start:stop], {})
        start = stop


def _entries(header: Header, max_bytes: int) -> Iterator[Entries]:
    """Entries (cells, genes, values) of a table whose rows are genes."""
    start = 0
    for names, counts in _rows(header, max_bytes):
        stop = start + len(names)
        genes = np.repeat(np.arange(start, stop, dtype=np.int32), np.diff(counts.indptr))
        yield Entries(counts.indices, genes, counts.data)
        start = stop


def _rows(header: Header, max_bytes: int) -> Iterator[tuple[list[str], sparse.csr_matrix]]:
    """Names and values of a table's rows, in batches of at most `max_bytes`.

    Raises
    ------
    InputError
        If there are more or fewer of them than there were when the header was read.
    """
    details = header.details
    expected = header.n_genes if details["rows_are_genes"] else header.n_cells
    n_rows = 0
    # Text becomes four times its size at most, where every value is one digit and none is zero.
    texts = _texts(header.path, min(max(1, max_bytes // 4), TEXT_BYTES), details["layout"])
    for names, counts in _parse(header.path, texts, details, max_bytes):
        n_rows += len(names)
        if n_rows > expected:
            raise _changed(header.path, f"more than the {expected}")
        yield names, counts if details["kept"] is None else counts[:, details["kept"]]
    if n_rows < expected:
        raise _changed(header.path, f"{n_rows} rows instead of the {expected}")


def _changed(path: Path, found: str) -> InputError:
    return InputError(
        f"{path}: holds {found} rows that were counted before: it changed while it was read; start again "
        "when it is complete"
    )


def _is_nameless(start: TableStart) -> bool:
    """Whether the first column of a table of cytometry is a channel: numbers, and not called names."""
    if start.is_short or not start.rows or NAMES.match(start.names[0].strip()):
        return False
    return NUMBER.fullmatch(start.rows[0][0]) is not None


def _called(header: Header, names: list[str], start: int) -> np.ndarray:
    """Names of cells, where they have none the number of each, the first being `start` + 1."""
    if header.details["layout"].before:
        names = [f"event{number}" for number in range(start + 1, start + len(names) + 1)]
    return np.array(names, dtype=object)


def _texts(path: Path, n_bytes: int, layout: Layout) -> Iterator[bytes]:
    """The lines after the header, as many at once as `n_bytes` hold, and as `layout` says."""
    with open_text(path) as file:
        for _ in range(layout.n_lines):
            file.readline()
        for text in whole_lines(file, n_bytes):
            yield _laid_out(text, layout)


def _laid_out(text: bytes, layout: Layout) -> bytes:
    """Lines with single blanks as delimiters, without empty columns at the end, after `before`."""
    if layout.delimiter == " ":
        text = BLANKS_AT_ENDS.sub(b"", SEVERAL_BLANKS.sub(lambda found: found[1] or b" ", text))
    if after := layout.after:
        text = text.replace(after + b"\n", b"\n").replace(after + b"\r\n", b"\r\n")
    before = layout.before
    if not before:
        return text
    if text.startswith((b"\n", b"\r")) or b"\n\n" in text or b"\n\r" in text:
        return NOT_EMPTY.sub(before, text)
    # Ten times as fast.
    return before + text.removesuffix(b"\n").replace(b"\n", b"\n" + before) + b"\n"


def _names(text: bytes, starts: np.ndarray, delimiter: str) -> list[str]:
    """The names that the lines at the given positions begin with."""
    mark, names = delimiter.encode(), []
    ends = [*starts[1:].tolist(), len(text)]
    for start, end in zip(starts.tolist(), ends, strict=False):
        is_quoted = text.startswith(b'"', start)  # the name may hold the delimiter
        stop = text.find(b'"' if is_quoted else mark, start + is_quoted, end)
        name = text[start + is_quoted : stop] if stop >= 0 else text[start:end].rstrip(b"\r\n")
        if is_quoted and text.startswith(b'"', stop + 1):
            name, _ = _first_field(text[start:end], mark)
        names.append(name.decode())
    return names


def _fields_about_genes(text: bytes, starts: np.ndarray, delimiter: str, n: int) -> list[list[str]]:
    """The `n` fields after the name of each line."""
    mark, found = delimiter.encode(), []
    ends = [*starts[1:].tolist(), len(text)]
    for start, end in zip(starts.tolist(), ends, strict=False):
        line = text[start:end]
        fields = line.split(mark, n + 1)[: n + 1]
        if any(b'"' in field for field in fields):
            found.append(split_line(line.decode(), delimiter)[1 : n + 1])
        else:
            found.append([field.decode() for field in fields[1:]])
        if len(found[-1]) < n:  # a line that is too short, which is said when it is read
            found[-1] += [""] * (n - len(found[-1]))
    return found


def _split(text: bytes, first_number: int, delimiter: str, n_skipped: int = 0) -> Iterator[Line]:
    """The lines of a text, empty ones left out, without the fields that are skipped."""
    mark = delimiter.encode()
    for number, line in enumerate(text.split(b"\n"), start=first_number):
        if line in (b"", b"\r"):
            continue
        name, rest = _first_field(line.rstrip(b"\r"), mark)
        for _ in range(n_skipped):
            _, rest = _first_field(rest, mark)
        yield number, name.decode(), rest


def _first_field(line: bytes, mark: bytes) -> tuple[bytes, bytes]:
    """A field, without its quotes, and what follows."""
    if found := QUOTED_FIELD.match(line):
        return found[1].replace(b'""', b'"'), line[found.end() :].removeprefix(mark)
    field, _, rest = line.partition(mark)
    return field, rest


def _parse(
    path: Path, texts: Iterable[bytes], details: dict, max_bytes: int
) -> Iterator[tuple[list[str], sparse.csr_matrix]]:
    """Names and values of the lines of texts, which begin with the line after the header."""
    layout, n_columns, n_skipped = details["layout"], len(details["columns"]), details["n_skipped"]
    most = max(1, max_bytes // (n_columns * BYTES_PER_VALUE + BYTES_PER_CELL))
    number = layout.n_lines + 1
    for text in texts:
        at = 0
        while at < len(text):
            rows = parse_rows(text, at, layout.delimiter, n_columns, most, n_skipped)
            at, number = rows.at, number + rows.n_lines
            if len(rows.starts):
                counts = sparse.csr_matrix(
                    (rows.values, rows.indices, rows.indptr), shape=(len(rows.starts), n_columns)
                )
                yield _names(text[:at], rows.starts, layout.delimiter), counts
            elif at < len(text):  # Where one line is unusual the next ones mostly are, too.
                lines = _split(text[at:], number, layout.delimiter, n_skipped)
                # What is parsed by pandas is dense for a moment.
                while some := list(itertools.islice(lines, max(1, 2 * most // 3))):
                    yield [name for _, name, _ in some], sparse.csr_matrix(_values(path, some, details))
                at, number = len(text), number + text.count(b"\n", at)


def _glance(path: Path, text: bytes, details: dict) -> np.ndarray:
    """Values of the first lines: rows × columns that are kept."""
    parsed = [counts.toarray() for _, counts in _parse(path, [text], details, 16 * len(text))]
    values = np.concatenate(parsed) if parsed else np.empty((0, len(details["columns"])), dtype=np.float32)
    return values if details["kept"] is None else values[:, details["kept"]]


def _values(path: Path, lines: list[Line], details: dict) -> np.ndarray:
    """Let pandas parse lines to a float32 array of rows × columns.

    Values that are missing are told by their place among counts, and become NaN elsewhere.
    """
    mark, n_columns = details["layout"].delimiter.encode(), len(details["columns"])
    for line in lines:
        if line[2].count(mark) + 1 != n_columns:
            raise _of_another_length(path, line, details)
    # One value a line: pandas parses one long column far faster than many short ones.
    # The end of line after the last keeps a missing last value.
    text = b"\n".join(rest for _, _, rest in lines).replace(mark, b"\n") + b"\n"
    try:
        column = pd.read_csv(
            io.BytesIO(text),
            header=None,
            sep="\t",
            dtype=np.float32,
            skip_blank_lines=False,
            keep_default_na=False,
            na_values=MISSING,
        )[0].to_numpy()
    except (ValueError, OverflowError):
        raise _not_a_number(path, lines, details) from None
    if len(column) != len(lines) * n_columns:  # an end of line of another kind inside a line
        raise _not_a_number(path, lines, details)
    values = column.reshape(len(lines), n_columns)
    if details["is_counts"] and np.isnan(column).any():
        row, position = np.argwhere(np.isnan(values))[0]
        number, name, rest = lines[row]
        written = split_line(rest.decode(), details["layout"].delimiter)[position]
        raise InputError(
            f"{path}, line {number}: no value ('{written}') in {_place(name, details['columns'][position])}; "
            "write 0 where nothing was counted, or export the table again"
        )
    return values


def _of_another_length(path: Path, line: Line, details: dict) -> InputError:
    number, name, rest = line
    columns, delimiter, n_skipped = details["columns"], details["layout"].delimiter, details["n_skipped"]
    if len(split_line(rest.decode(), delimiter)) == len(columns):  # delimiters in quotes
        return _not_a_number(path, [line], details)
    called = f" ('{name}')" if name else ""
    return InputError(
        f"{path}, line {number}{called}: holds {rest.count(delimiter.encode()) + 1 + n_skipped} values, and "
        f"the header names {len(columns) + n_skipped} columns; correct the line or export the table again"
    )


def _not_a_number(path: Path, lines: list[Line], details: dict) -> InputError:
    for number, name, rest in lines:
        fields = split_line(rest.decode(), details["layout"].delimiter)
        for column, text in zip(details["columns"], fields, strict=False):
            if _is_number(text):
                continue
            remedy = (
                "write decimal points instead of commas, and no separators of thousands"
                if WITH_COMMAS.fullmatch(text)
                else "a table of counts holds names in its first column and header only (annotation goes to "
                "a table of its own, key obs)"
            )
            return InputError(
                f"{path}, line {number}: '{text[:80]}' in {_place(name, column)} is not a number; {remedy}"
            )
    return InputError(f"{path}: cannot be read as a table of numbers; export it again")


def _place(row: str, column: str) -> str:
    return f"row '{row}', column '{column}'" if row else f"column '{column}'"
