"""Tables of counts as text: csv, tsv, gzipped or plain, cells × genes or genes × cells.

The first column holds the rows' names. The header names the columns, with or without a name for the
first one (R writes none). A table says nowhere how long it is, so its header takes a pass over the lines.
"""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from ..text import open_bytes, sniff_delimiter, split_line
from ..transpose import Entries, row_blocks
from .interface import Block, Cells, Header, Looks, Options, refuse_place
from .matrix import looks_like_counts
from .orientation import genes_are_rows

ENDINGS = (".csv", ".tsv", ".txt", ".tab")
PACKED_ENDINGS = (".gz", ".bz2", ".xz")
CELLS_AT_ONCE = 1 << 17
NAMES_TO_JUDGE = 5000
GLANCE_BYTES = 1 << 20
MISSING = ["", "NA", "NaN", "nan"]

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
    first_names, first_lines = _begin(path, delimiter)
    n_values = first_lines[0][2].count(delimiter.encode()) + 1 if first_lines else max(0, len(fields) - 1)
    columns = fields if len(fields) == n_values else fields[1:]
    if len(columns) != n_values:
        raise InputError(
            f"{path}: the header names {len(columns)} columns and line 2 holds {n_values} values after its "
            "name; is it a table with the names of its rows in the first column? Export it so"
        )
    rows_are_genes = genes_are_rows(path, first_names, columns[:NAMES_TO_JUDGE], options)
    if rows_are_genes:
        genes = [name for _, name, _ in _lines(path, delimiter)]
        n_cells = len(columns)
    else:
        genes = columns
        n_cells = sum(1 for _ in _lines(path, delimiter))
    details = {"delimiter": delimiter, "columns": columns, "rows_are_genes": rows_are_genes}
    glanced = _glance(path, first_lines, details)
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
    lines = _lines(header.path, header.details["delimiter"])
    while some := [name for _, name, _ in itertools.islice(lines, CELLS_AT_ONCE)]:
        yield Cells(np.array(some, dtype=object), {})


def blocks(header: Header, columns: list[str], max_bytes: int, scratch: Path) -> Iterator[Block]:
    """Counts and names of the cells, in row blocks; see `formats.blocks`."""
    if not header.details["rows_are_genes"]:
        for names, values in _batches(header.path, header.details, max_bytes):
            yield Block(sparse.csr_matrix(values), names, {})
        return
    names = np.array(header.details["columns"], dtype=object)
    share = np.count_nonzero(header.glanced) / max(1, len(header.glanced))
    shape = (header.n_cells, header.n_genes)
    entries = _entries(header.path, header.details, max_bytes)
    start = 0
    for counts in row_blocks(entries, shape, max_bytes, scratch, nonzeros=int(share * shape[0] * shape[1])):
        stop = start + counts.shape[0]
        yield Block(counts, names[start:stop], {})
        start = stop


def _entries(path: Path, details: dict, max_bytes: int) -> Iterator[Entries]:
    start = 0
    for names, values in _batches(path, details, max_bytes):
        genes, of_cells = np.nonzero(values)
        yield Entries(of_cells.astype(np.int32), (genes + start).astype(np.int32), values[genes, of_cells])
        start += len(names)


def _begin(path: Path, delimiter: str) -> tuple[list[str], list[Line]]:
    """Names of the first lines, and as many whole lines as are looked at more closely."""
    names, lines, n_bytes = [], [], 0
    for line in itertools.islice(_lines(path, delimiter), NAMES_TO_JUDGE):
        names.append(line[1])
        if n_bytes < GLANCE_BYTES:
            lines.append(line)
            n_bytes += len(line[2])
    return names, lines


def _lines(path: Path, delimiter: str) -> Iterator[Line]:
    """The lines after the header, empty ones left out."""
    mark = delimiter.encode()
    with open_bytes(path) as file:
        file.readline()
        for number, line in enumerate(file, start=2):
            text = line.rstrip(b"\r\n")
            if not text:
                continue
            if text.startswith(b'"'):  # the name may hold the delimiter
                name, _, rest = text[1:].partition(b'"')
                rest = rest.removeprefix(mark)
            else:
                name, _, rest = text.partition(mark)
            yield number, name.decode(), rest


def _batches(path: Path, details: dict, max_bytes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Names and values (rows × columns, float32) of lines that take at most `max_bytes`, dense and sparse."""
    n_columns = len(details["columns"])
    most = max(1, max_bytes // (max(1, n_columns) * 12 + 128))
    lines = _lines(path, details["delimiter"])
    while some := list(itertools.islice(lines, most)):
        yield np.array([name for _, name, _ in some], dtype=object), _values(path, some, details)


def _glance(path: Path, lines: list[Line], details: dict) -> np.ndarray:
    """Values of the first lines; none if they are broken, which `blocks` will say."""
    if not lines or not details["columns"]:
        return np.empty(0)
    try:
        return _values(path, lines, details).ravel()
    except InputError:
        return np.array([np.nan])


def _values(path: Path, lines: list[Line], details: dict) -> np.ndarray:
    """Parse lines to a float32 array of rows × columns; missing values become NaN."""
    mark, n_columns = details["delimiter"].encode(), len(details["columns"])
    for number, name, rest in lines:
        if rest.count(mark) + 1 != n_columns:
            raise InputError(
                f"{path}, line {number} ('{name}'): holds {rest.count(mark) + 1} values, and the header "
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
    return column.reshape(len(lines), n_columns)


def _not_a_number(path: Path, lines: list[Line], details: dict) -> InputError:
    for number, name, rest in lines:
        fields = split_line(rest.decode("utf-8", "replace"), details["delimiter"])
        for column, text in zip(details["columns"], fields, strict=False):
            try:
                float(text if text not in MISSING else "nan")
            except ValueError:
                return InputError(
                    f"{path}, line {number}: '{text[:80]}' in row '{name}', column '{column}' is not a "
                    "number; a table of counts holds names in its first column and header only (annotation "
                    "goes to a table of its own, key obs)"
                )
    return InputError(f"{path}: cannot be read as a table of numbers; export it again")
