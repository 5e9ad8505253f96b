"""Start of a text table: comments, delimiter, header. Needs only the standard library.

All tables of users are read by this one function, so that the same rules hold for all.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple

from ..errors import InputError
from .contents import not_text
from .text import DELIMITERS, open_text, sniff_delimiter, split_line, squeeze, without_quoted

ROWS_LOOKED_AT = 100
BYTES_LOOKED_AT = 1 << 20
MAX_COMMENTS = 10_000

SEPARATOR = re.compile(r'"?sep=(.)"?[\t,; ]*$', re.I)
"""First line that Excel uses to name the delimiter."""

type Blanks = Literal["always", "regular", "quoted"]
"""When blanks may separate columns: always, as between numbers; if all lines have the same number of fields;
or if names are in quotes, as R writes them, since labels contain blanks too."""


class TableStart(NamedTuple):
    """Start of a table.

    Attributes
    ----------
    n_lines
        Lines up to and including the header.
    n_comments
        Comments among these lines.
    delimiter
        Delimiter of the fields.
    names
        Names of the header, one per column of the rows. An empty name is added in front if R wrote a header
        that is one name shorter; empty names at the end are dropped together with empty columns.
    is_short
        True if the header was one name shorter than the rows.
    n_fields
        Filled columns of the first row; None without a row. If it differs from the number of names, the table
        is not regular.
    n_empty
        Columns at the end that have no name and are empty in all rows read.
    row_line
        Line number of the first row.
    rows
        Fields of the first rows, limited to the named columns.
    """

    n_lines: int
    n_comments: int
    delimiter: str
    names: list[str]
    is_short: bool
    n_fields: int | None
    n_empty: int
    row_line: int
    rows: list[list[str]]

    @property
    def is_regular(self) -> bool:
        """True if the header fits the first row."""
        return self.n_fields in (None, len(self.names))

    @property
    def column_names(self) -> list[str]:
        """Unique names of all columns, including empty ones at the end."""
        return [*self.names, *(f"empty {number}" for number in range(self.n_empty))]

    @property
    def separator(self) -> str:
        """The delimiter in pandas' notation."""
        return r"\s+" if self.delimiter == " " else self.delimiter

    @property
    def remarks(self) -> list[str]:
        """Messages about the detected form of the table."""
        remarks = []
        if self.n_comments:
            remarks.append(f"{self.n_comments} comment line(s) before the header were skipped")
        if self.delimiter == " ":
            remarks.append("columns are separated by blanks, as R's write.table does")
        return remarks


def table_start(path: Path, *, blanks: Blanks) -> TableStart | None:
    """Detect how a table begins; None if it has no header.

    Lines that begin with `#` are comments. Exception: a line with as many fields as the next one, and at
    least two, is the header.

    Raises
    ------
    InputError
        If it is not text, or not UTF-8.
    """
    problem = not_text(path)
    if problem:
        raise InputError(f"{path}: {problem}")
    lines = _first_lines(path)
    separator_line = SEPARATOR.match(lines[0]) if lines else None
    at = 1 if separator_line else 0
    at += header_line(lines[at:])
    if at >= len(lines):
        return None
    filled = [number for number in range(at + 1, len(lines)) if lines[number].strip()]
    texts = [lines[number] for number in filled[:ROWS_LOOKED_AT]]
    delimiter = separator_line[1] if separator_line else _delimiter(lines[at], texts, blanks)
    rows = [split_line(text, delimiter) for text in texts]
    header = split_line(lines[at], delimiter)
    names, n_fields, n_empty = _fit(header, rows, is_quoted=lines[at].startswith('"'))
    return TableStart(
        n_lines=at + 1,
        n_comments=sum(bool(line.strip()) for line in lines[1 if separator_line else 0 : at]),
        delimiter=delimiter,
        names=names,
        is_short=len(names) == len(header) + 1,
        n_fields=n_fields,
        n_empty=n_empty,
        row_line=filled[0] + 1 if filled else at + 2,
        rows=[row[: len(names)] for row in rows],
    )


def header_line(lines: list[str]) -> int:
    """Position of the first line that is neither empty nor a comment, or the number of lines."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    following = [*filled[1:], None]
    for number, after in zip(filled, following, strict=False):
        if not _is_comment(lines[number], "" if after is None else lines[after]):
            return number
    return len(lines)


def skip_to_rows(file: IO[bytes], start: TableStart) -> None:
    """Read a file to the end of the table's header."""
    for _ in range(start.n_lines):
        file.readline()


def rows_from_header(path: Path, start: TableStart) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line from the header on, without empty lines."""
    with open_text(path) as file:
        lines = itertools.islice(file, start.n_lines - 1, None)
        for number, line in enumerate(lines, start=start.n_lines):
            fields = split_line(line.decode(), start.delimiter)
            if any(map(str.strip, fields)):
                yield number, fields


def _first_lines(path: Path) -> list[str]:
    """The first lines: possible comments, the header and some rows."""
    lines: list[str] = []
    n_rows = n_bytes = 0
    with open_text(path) as file:
        for line in itertools.islice(file, MAX_COMMENTS):
            lines.append(line.decode().rstrip("\r\n"))
            n_bytes += len(line)
            n_rows += bool(line.strip()) and not line.startswith(b"#")
            if n_rows > ROWS_LOOKED_AT or (n_rows > 1 and n_bytes > BYTES_LOOKED_AT):
                break
    return lines


def _is_comment(line: str, following: str) -> bool:
    """True if a line is a comment, given the line that follows."""
    text = line.lstrip('"')
    if not text.startswith("#"):
        return False
    if text.startswith("##"):
        return True
    delimiter = sniff_delimiter(following or line)
    # Excel fills lines with delimiters to the width of the table.
    if _n_fields(line.rstrip(f"{delimiter} "), delimiter) < 2:
        is_name = re.match(r"#[^\s#]+$", text) is not None
        return not (is_name and _n_fields(following, delimiter) < 2)
    excess = _n_fields(following, delimiter) - _n_fields(line, delimiter) if following else 0
    if excess == 1:  # R's header, which contains names only
        return " " in line
    prose = text.startswith("# ") and f"{delimiter} " in line and f"{delimiter} " not in following
    return prose or excess != 0


def _n_fields(line: str, delimiter: str) -> int:
    """Number of fields of a line that may not belong to a table."""
    return without_quoted(line).count(delimiter) + 1


def _delimiter(header: str, rows: list[str], blanks: Blanks) -> str:
    """The most frequent delimiter of the header or, if it has no delimiter, of the first row.

    A header of one name may head labels that contain commas or semicolons.
    """
    first = rows[0] if rows else ""
    for line, known in ((header, DELIMITERS), (first, DELIMITERS if blanks == "always" else ("\t",))):
        if any(delimiter in without_quoted(line) for delimiter in known):
            return sniff_delimiter(line)
    widths = [_n_fields(squeeze(line), " ") for line in (header, *rows)]
    # A header of one quoted name is separated by blanks only if its rows are.
    is_quoted = squeeze(header).startswith('"') and (widths[0] > 1 or first.lstrip().startswith('"'))
    is_regular = min(widths) == max(widths)
    separate = max(widths[:2]) > 1 and (
        blanks == "always" or is_quoted or (blanks == "regular" and is_regular)
    )
    return " " if separate else ","


def _fit(header: list[str], rows: list[list[str]], *, is_quoted: bool) -> tuple[list[str], int | None, int]:
    """Names of the columns, number of columns of the first row, number of empty columns at the end."""
    if not rows:
        return header, None, 0
    width = len(rows[0])
    unnamed = _n_empty_at_end(header)
    # Lines of a different width are reported when they are read.
    empty = min(_n_empty_at_end(row) for row in rows if len(row) == width)
    if width > len(header):
        # R's header is one name shorter, usually quoted, and the last column may be empty.
        if empty >= width - len(header) and not (is_quoted and width == len(header) + 1):
            return header, len(header), width - len(header)
        # A header that begins with an empty name already has one for the row names.
        is_short = width == len(header) + 1 and header[0].strip() != ""
        return (["", *header] if is_short else header), width, 0
    if len(header) - unnamed <= width < len(header):
        return header[:width], width, 0
    n_empty = min(unnamed, empty) if width == len(header) else 0
    return header[: len(header) - n_empty], width - n_empty, n_empty


def _n_empty_at_end(fields: list[str]) -> int:
    """Number of empty fields at the end, not counting the first field."""
    return sum(1 for _ in itertools.takewhile(lambda field: not field.strip(), reversed(fields[1:])))
