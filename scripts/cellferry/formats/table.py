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

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from ..text import open_bytes, sniff_delimiter, split_line, whole_lines
from ..transpose import Entries, row_blocks
from .digits import line_starts, parse_rows
from .interface import BYTES_PER_CELL, BYTES_PER_VALUE, Block, Cells, Header, Looks, Options, refuse_place
from .matrix import looks_like_counts
from .orientation import genes_are_rows

ENDINGS = (".csv", ".tsv", ".txt", ".tab")
PACKED_ENDINGS = (".gz", ".bz2", ".xz")
NAMES_TO_JUDGE = 5000
GLANCE_BYTES = 1 << 20
TEXT_BYTES = 1 << 22
"""Text read at once, at most: more does not fit into the processor's cache."""

MISSING = ["", "NA", "NaN", "nan"]

NAMES = re.compile(r"(cell|event|barcode|row)?[ _]?(ids?|names?|index|barcodes?|cells?|events?)?$", re.I)
"""What a column of names of cells is called; one with another name holds a channel."""

NOT_EMPTY = re.compile(rb"^(?=[^\r\n])", re.M)
"""Where a line begins that is not empty."""

Line = tuple[int, str, bytes]
"""Number of a line, the name it begins with, and the rest of it."""


def recognises(path: Path, looks: Looks) -> bool:
    """Whether a file is text and calls itself a table."""
    endings = [ending.lower() for ending in path.suffixes if ending.lower() not in PACKED_ENDINGS]
    return bool(endings) and endings[-1] in ENDINGS and b"\0" not in looks.start


def header(path: Path, options: Options) -> Header:
    """Find out shape, delimiter and orientation of a table; see `interface.Header`."""
    refuse_place(path, options)
    with open_bytes(path) as file:
        first = file.readline().decode("utf-8-sig")
    if not first.strip():
        raise InputError(f"{path}: the table is empty; copy or export it again")
    delimiter = sniff_delimiter(first)
    fields = split_line(first, delimiter)
    nameless = options.modality == "cytometry" and _is_nameless(path, fields, delimiter)
    # Every line begins with an empty name then.
    before = delimiter.encode() if nameless else b""
    fields = ["", *fields] if nameless else fields
    beginning = next(_texts(path, GLANCE_BYTES, before), b"")
    first_line = next(_split(beginning, 2, delimiter), None)
    n_values = first_line[2].count(delimiter.encode()) + 1 if first_line else max(0, len(fields) - 1)
    columns = fields if len(fields) == n_values else fields[1:]
    if len(columns) != n_values:
        raise InputError(
            f"{path}: the header names {len(columns)} columns and line 2 holds {n_values} values after its "
            "name; is it a table with the names of its rows in the first column? Export it so"
        )
    names, n_rows, rows_are_genes = [], 0, None
    if options.modality == "cytometry" and options.orientation == "auto":
        rows_are_genes = False
    for text in _texts(path, GLANCE_BYTES, before):
        starts = line_starts(text)
        n_rows += len(starts)
        if rows_are_genes is None and len(names) >= NAMES_TO_JUDGE:
            rows_are_genes = genes_are_rows(path, names, columns[:NAMES_TO_JUDGE], options)
        if rows_are_genes is not False:  # the names of cells may be too many to hold
            names += _names(text, starts, delimiter)
    if rows_are_genes is None:
        rows_are_genes = genes_are_rows(path, names, columns[:NAMES_TO_JUDGE], options)
    genes, n_cells = (names, len(columns)) if rows_are_genes else (columns, n_rows)
    details = {"delimiter": delimiter, "columns": columns, "rows_are_genes": rows_are_genes, "before": before}
    glanced = _glance(path, beginning, details)
    return Header(
        path=path,
        format="csv",
        options=options,
        n_cells=n_cells,
        n_genes=len(genes),
        nonzeros=None,
        dtype="text",
        storage="text",
        places={"matrix": looks_like_counts(glanced)},
        counts="matrix",
        var=pd.DataFrame(index=pd.Index(genes, dtype=object)),
        obs_columns=[],
        glanced=glanced,
        details=details | {"sorted": not rows_are_genes},
    )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Names of the cells; the format holds no annotation."""
    if header.details["rows_are_genes"]:
        yield Cells(np.array(header.details["columns"], dtype=object), {})
        return
    start = 0
    for text in _texts(header.path, GLANCE_BYTES, header.details["before"]):
        names = _names(text, line_starts(text), header.details["delimiter"])
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
    names = np.array(header.details["columns"], dtype=object)
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
    texts = _texts(header.path, min(max(1, max_bytes // 4), TEXT_BYTES), details["before"])
    for names, counts in _parse(header.path, texts, details, max_bytes):
        n_rows += len(names)
        if n_rows > expected:
            raise _changed(header.path, f"more than the {expected}")
        yield names, counts
    if n_rows < expected:
        raise _changed(header.path, f"{n_rows} rows instead of the {expected}")


def _changed(path: Path, found: str) -> InputError:
    return InputError(
        f"{path}: holds {found} rows that were counted before: it changed while it was read; start again "
        "when it is complete"
    )


def _is_nameless(path: Path, fields: list[str], delimiter: str) -> bool:
    """Whether the first column of a table of cytometry is a channel: numbers, and not called names."""
    if NAMES.match(fields[0].strip()):
        return False
    with open_bytes(path) as file:
        file.readline()
        first = next((line for line in file if line.strip()), b"")
    values = split_line(first.decode("utf-8", "replace"), delimiter)
    try:
        float(values[0])
    except (ValueError, IndexError):
        return False
    return len(values) == len(fields)


def _called(header: Header, names: list[str], start: int) -> np.ndarray:
    """Names of cells, where they have none the number of each, the first being `start` + 1."""
    if header.details["before"]:
        names = [f"event{number}" for number in range(start + 1, start + len(names) + 1)]
    return np.array(names, dtype=object)


def _texts(path: Path, n_bytes: int, before: bytes) -> Iterator[bytes]:
    """The lines after the header, as many at once as `n_bytes` hold.

    In front of all but empty ones stands `before`.
    """
    with open_bytes(path) as file:
        file.readline()
        for text in whole_lines(file, n_bytes):
            if not before:
                yield text
            elif text.startswith((b"\n", b"\r")) or b"\n\n" in text or b"\n\r" in text:
                yield NOT_EMPTY.sub(before, text)
            else:  # ten times as fast
                yield before + text.removesuffix(b"\n").replace(b"\n", b"\n" + before) + b"\n"


def _names(text: bytes, starts: np.ndarray, delimiter: str) -> list[str]:
    """The names that the lines at the given positions begin with."""
    mark, names = delimiter.encode(), []
    ends = [*starts[1:].tolist(), len(text)]
    for start, end in zip(starts.tolist(), ends, strict=False):
        is_quoted = text.startswith(b'"', start)  # the name may hold the delimiter
        stop = text.find(b'"' if is_quoted else mark, start + is_quoted, end)
        name = text[start + is_quoted : stop] if stop >= 0 else text[start:end].rstrip(b"\r\n")
        names.append(name.decode())
    return names


def _split(text: bytes, first_number: int, delimiter: str) -> Iterator[Line]:
    """The lines of a text, empty ones left out."""
    mark = delimiter.encode()
    for number, line in enumerate(text.split(b"\n"), start=first_number):
        if line in (b"", b"\r"):
            continue
        if line.startswith(b'"'):
            name, _, rest = line[1:].rstrip(b"\r").partition(b'"')
            rest = rest.removeprefix(mark)
        else:
            name, _, rest = line.rstrip(b"\r").partition(mark)
        yield number, name.decode(), rest


def _parse(
    path: Path, texts: Iterable[bytes], details: dict, max_bytes: int
) -> Iterator[tuple[list[str], sparse.csr_matrix]]:
    """Names and values of the lines of texts, which begin with the file's second line."""
    delimiter, n_columns = details["delimiter"], len(details["columns"])
    most = max(1, max_bytes // (n_columns * BYTES_PER_VALUE + BYTES_PER_CELL))
    number = 2
    for text in texts:
        at = 0
        while at < len(text):
            rows = parse_rows(text, at, delimiter, n_columns, most)
            at, number = rows.at, number + rows.n_lines
            if len(rows.starts):
                counts = sparse.csr_matrix(
                    (rows.values, rows.indices, rows.indptr), shape=(len(rows.starts), n_columns)
                )
                yield _names(text[:at], rows.starts, delimiter), counts
            elif at < len(text):  # Where one line is unusual the next ones mostly are, too.
                lines = _split(text[at:], number, delimiter)
                # What is parsed by pandas is dense for a moment.
                while some := list(itertools.islice(lines, max(1, 2 * most // 3))):
                    yield [name for _, name, _ in some], sparse.csr_matrix(_values(path, some, details))
                at, number = len(text), number + text.count(b"\n", at)


def _glance(path: Path, text: bytes, details: dict) -> np.ndarray:
    """Values of the first lines; none if they are broken, which `blocks` will say."""
    try:
        parsed = [counts.toarray().ravel() for _, counts in _parse(path, [text], details, 16 * len(text))]
    except InputError:
        return np.array([np.nan])
    return np.concatenate(parsed) if parsed else np.empty(0)


def _values(path: Path, lines: list[Line], details: dict) -> np.ndarray:
    """Let pandas parse lines to a float32 array of rows × columns; missing values become NaN."""
    mark, n_columns = details["delimiter"].encode(), len(details["columns"])
    for number, name, rest in lines:
        if rest.count(mark) + 1 != n_columns:
            called = f" ('{name}')" if name else ""
            raise InputError(
                f"{path}, line {number}{called}: holds {rest.count(mark) + 1} values, and the header "
                f"names {n_columns} columns; correct the line or export the table again"
            )
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
    return column.reshape(len(lines), n_columns)


def _not_a_number(path: Path, lines: list[Line], details: dict) -> InputError:
    for number, name, rest in lines:
        fields = split_line(rest.decode("utf-8", "replace"), details["delimiter"])
        for column, text in zip(details["columns"], fields, strict=False):
            try:
                float(text if text not in MISSING else "nan")
            except ValueError:
                row = f"row '{name}', " if name else ""
                return InputError(
                    f"{path}, line {number}: '{text[:80]}' in {row}column '{column}' is not a "
                    "number; a table of counts holds names in its first column and header only (annotation "
                    "goes to a table of its own, key obs)"
                )
    return InputError(f"{path}: cannot be read as a table of numbers; export it again")
