"""Lines of text tables of counts: cleaned, split, and parsed to sparse rows."""

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ..core.text import open_text, split_line, whole_lines
from ..errors import InputError
from .cosmx import joined
from .digits import parse_rows
from .interface import BYTES_PER_CELL, BYTES_PER_VALUE
from .sorting import MAX_EXACT, as_float32

MISSING = ["", "NA", "NaN", "nan"]

NOT_EMPTY = re.compile(rb"^(?=[^\r\n])", re.M)
"""Start of a line that is not empty."""

SEVERAL_BLANKS = re.compile(rb'("[^"\n]*")| +')
BLANKS_AT_ENDS = re.compile(rb"^ | (?=\r?$)", re.M)

QUOTED_FIELD = re.compile(rb'"((?:[^"]|"")*)"')

NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)\s*", re.I | re.ASCII)
WITH_COMMAS = re.compile(r"\s*-?\d+([,'’\s]\d+)+(\.\d+)?\s*")
"""Numbers with decimal commas or separators of thousands."""

Line = tuple[int, str, bytes]
"""Number of a line, its name, and its remaining fields."""


class Layout(NamedTuple):
    """Layout of a table's lines.

    Attributes
    ----------
    n_lines
        Lines up to and including the header.
    delimiter
        Delimiter of the fields.
    before
        Text to add in front of each line.
    after
        Text to remove at the end of each line.
    keys
        Positions of CosMx's two columns of cell names (`cosmx.key_order`); None for other tables.
    """

    n_lines: int
    delimiter: str
    before: bytes
    after: bytes
    keys: tuple[int, int] | None = None


def texts_of(path: Path, n_bytes: int, layout: Layout) -> Iterator[bytes]:
    """Yield the lines after the header, in pieces of about `n_bytes`, cleaned by `layout`."""
    with open_text(path) as file:
        for _ in range(layout.n_lines):
            file.readline()
        for text in whole_lines(file, n_bytes, path):
            yield _laid_out(text, layout)


def _laid_out(text: bytes, layout: Layout) -> bytes:
    """Lines with single blanks as delimiters, without empty columns at the end, with `before` in front."""
    if layout.delimiter == " ":
        text = BLANKS_AT_ENDS.sub(b"", SEVERAL_BLANKS.sub(lambda match: match[1] or b" ", text))
    if after := layout.after:
        text = text.replace(after + b"\n", b"\n").replace(after + b"\r\n", b"\r\n")
    if layout.keys:
        return joined(text, layout.delimiter, layout.keys)
    before, mark = layout.before, layout.delimiter.encode()
    if not before:
        # Excel adds lines that contain only delimiters.
        is_padded = text.startswith(mark) or b"\n" + mark in text
        return re.sub(rb"^%b+(?=\r?$)" % re.escape(mark), b"", text, flags=re.M) if is_padded else text
    if text.startswith((b"\n", b"\r")) or b"\n\n" in text or b"\n\r" in text:
        return NOT_EMPTY.sub(before, text)
    # Ten times as fast.
    return before + text.removesuffix(b"\n").replace(b"\n", b"\n" + before) + b"\n"


def names_of(text: bytes, starts: np.ndarray, delimiter: str) -> list[str]:
    """The names at the start of the lines at the given positions."""
    mark, names = delimiter.encode(), []
    ends = [*starts[1:].tolist(), len(text)]
    for start, end in zip(starts.tolist(), ends, strict=False):
        is_quoted = text.startswith(b'"', start)  # the name may contain the delimiter
        stop = text.find(b'"' if is_quoted else mark, start + is_quoted, end)
        name = text[start + is_quoted : stop] if stop >= 0 else text[start:end].rstrip(b"\r\n")
        if is_quoted and text.startswith(b'"', stop + 1):
            name, _ = _first_field(text[start:end], mark)
        names.append(name.decode())
    return names


def fields_after_names(text: bytes, starts: np.ndarray, delimiter: str, n: int) -> list[list[str]]:
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
        if len(found[-1]) < n:  # a line that is too short; reported when its values are read
            found[-1] += [""] * (n - len(found[-1]))
    return found


def _split(text: bytes, first_number: int, delimiter: str, n_skipped: int = 0) -> Iterator[Line]:
    """Yield the lines of a text, without empty ones and without skipped fields."""
    mark = delimiter.encode()
    for number, line in enumerate(text.split(b"\n"), start=first_number):
        if line in (b"", b"\r"):
            continue
        name, rest = _first_field(line.rstrip(b"\r"), mark)
        for _ in range(n_skipped):
            _, rest = _first_field(rest, mark)
        yield number, name.decode(), rest


def _first_field(line: bytes, mark: bytes) -> tuple[bytes, bytes]:
    """The first field, without its quotes, and the rest of the line."""
    if match := QUOTED_FIELD.match(line):
        return match[1].replace(b'""', b'"'), line[match.end() :].removeprefix(mark)
    field, _, rest = line.partition(mark)
    return field, rest


def parse_lines(
    path: Path, texts: Iterable[bytes], details: dict, max_bytes: int
) -> Iterator[tuple[list[str], sparse.csr_matrix]]:
    """Yield names and values of lines; the first one follows the header."""
    layout, n_columns, n_skipped = details["layout"], len(details["columns"]), details["n_skipped"]
    most = max(1, max_bytes // (n_columns * BYTES_PER_VALUE + BYTES_PER_CELL))
    number = layout.n_lines + 1
    for text in texts:
        at = 0
        while at < len(text):
            rows = parse_rows(text, at, layout.delimiter, n_columns, most, n_skipped)
            # Values that may have been rounded to the largest exact count are read again.
            is_rounded = details["is_counts"] and rows.values.max(initial=0) >= MAX_EXACT
            if not is_rounded:
                at, number = rows.at, number + rows.n_lines
            if len(rows.starts) and not is_rounded:
                counts = sparse.csr_matrix(
                    (rows.values, rows.indices, rows.indptr), shape=(len(rows.starts), n_columns)
                )
                yield names_of(text[:at], rows.starts, layout.delimiter), counts
            elif at < len(text):  # the lines after an unusual one are usually unusual too
                lines = _split(text[at:], number, layout.delimiter, n_skipped)
                # pandas parses to a dense array.
                while some := list(itertools.islice(lines, max(1, 2 * most // 3))):
                    yield [name for _, name, _ in some], sparse.csr_matrix(_values(path, some, details))
                at, number = len(text), number + text.count(b"\n", at)


def _values(path: Path, lines: list[Line], details: dict) -> np.ndarray:
    """Parse lines by pandas to a float32 array of rows × columns.

    A missing value is an error with its position in a table of counts, and NaN elsewhere.
    """
    mark, n_columns = details["layout"].delimiter.encode(), len(details["columns"])
    for line in lines:
        if line[2].count(mark) + 1 != n_columns:
            raise _of_another_length(path, line, details)
    # One value per line: pandas parses one long column far faster than many short ones.
    # The last line end keeps a missing last value.
    text = b"\n".join(rest for _, _, rest in lines).replace(mark, b"\n") + b"\n"
    try:
        column = pd.read_csv(
            io.BytesIO(text),
            header=None,
            sep="\t",
            dtype=np.float64,
            skip_blank_lines=False,
            keep_default_na=False,
            na_values=MISSING,
        )[0].to_numpy()
    except (ValueError, OverflowError):
        raise _not_a_number(path, lines, details) from None
    if len(column) != len(lines) * n_columns:  # another kind of line end inside a line
        raise _not_a_number(path, lines, details)
    values = as_float32(column).reshape(len(lines), n_columns)
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
        f"{path}, line {number}{called}: has {rest.count(delimiter.encode()) + 1 + n_skipped} values, but "
        f"the header names {len(columns) + n_skipped} columns; correct the line or export the table again"
    )


def _not_a_number(path: Path, lines: list[Line], details: dict) -> InputError:
    for number, name, rest in lines:
        fields = split_line(rest.decode(), details["layout"].delimiter)
        for column, text in zip(details["columns"], fields, strict=False):
            if _is_number(text):
                continue
            value = f"{path}, line {number}: '{text[:80]}' in {_place(name, column)}"
            if WITH_COMMAS.fullmatch(text):
                return InputError(
                    f"{value} is not a number; write decimal points instead of commas, and no thousands "
                    "separators"
                )
            return InputError(
                f"{value} is not a number; a table of counts contains text only in its header and first "
                "column (move annotation to a table of its own, key obs)"
            )
    return InputError(f"{path}: cannot be read as a table of numbers; export it again")


def _place(row: str, column: str) -> str:
    return f"row '{row}', column '{column}'" if row else f"column '{column}'"


def _is_number(text: str) -> bool:
    return text.strip() in MISSING or NUMBER.fullmatch(text) is not None
