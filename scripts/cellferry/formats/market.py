"""MatrixMarket files: size line, and entries in batches."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pandas as pd

from ..core.text import open_bytes, read_line, whole_lines
from ..errors import InputError
from .digits import parse_entries
from .sorting import MAX_EXACT, Entries, as_float32

NUMBER = re.compile(rb"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)", re.I)
"""Numbers as pandas reads them; Python would also accept `1_0` and digits of other scripts."""

FIELDS = ("integer", "real", "double", "unsigned-integer")
"""Allowed types of entries; scipy wrote the last one for unsigned counts."""

MAX_SIDE = 2**31 - 1
MAX_ENTRIES = 2**48
"""More entries than fit into a file of a petabyte."""

ENTRY_BYTES = 6
"""Size of the shortest entry, `1 1 1`, with its line end."""

MOST_PACKED = 2000
"""Upper limit of a text's size relative to its compressed file: gzip compresses at most a thousandfold."""


class Size(NamedTuple):
    """The first lines of a MatrixMarket file."""

    rows: int
    columns: int
    entries: int
    field: str
    n_lines: int


def read_size(path: Path | zipfile.Path) -> Size:
    """Read the header of a MatrixMarket file.

    Raises
    ------
    InputError
        If it is not a general coordinate matrix of numbers.
    """
    with open_bytes(path) as file:
        return _read_size(path, file)


def _read_size(path: Path | zipfile.Path, file: IO[bytes]) -> Size:
    banner = read_line(file, path).decode("utf-8", "replace").lower().split()
    if len(banner) < 5 or banner[0] != "%%matrixmarket":
        raise InputError(f"{path}: does not begin with a MatrixMarket header; copy or export the file again")
    _, _, layout, field, symmetry = banner[:5]
    if layout != "coordinate" or field not in FIELDS or symmetry != "general":
        why = "; a pattern has the positions of counts without their values" if field == "pattern" else ""
        raise InputError(
            f"{path}: is a '{layout} {field} {symmetry}' MatrixMarket file, but 'coordinate integer general' "
            f"(or real) is needed{why}; export the counts in this form"
        )
    n_lines = 1
    line = b"%"
    while line.startswith(b"%") or (line and not line.strip()):
        line = read_line(file, path)
        n_lines += 1
    numbers = line.split()
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        raise InputError(
            f"{path}, line {n_lines}: must contain the numbers of rows, columns and entries, but contains "
            f"'{line.decode('utf-8', 'replace').strip()[:80]}'; copy or export the file again"
        )
    rows, columns, entries = map(int, numbers)
    if max(rows, columns) > MAX_SIDE or entries > MAX_ENTRIES:
        raise InputError(
            f"{path}, line {n_lines}: declares {rows} rows, {columns} columns and {entries} entries, more "
            "than any matrix has; copy or export it again"
        )
    if isinstance(path, Path) and entries * ENTRY_BYTES > path.stat().st_size * MOST_PACKED:
        raise InputError(
            f"{path}, line {n_lines}: declares {entries} entries, too many for a file of "
            f"{path.stat().st_size} bytes; it is incomplete: copy or export it again"
        )
    return Size(rows, columns, entries, field, n_lines)


def entries(path: Path | zipfile.Path, size: Size, text_bytes: int) -> Iterator[Entries]:
    """Yield the entries in the file's order, with positions from 0.

    Parameters
    ----------
    path
        The file, gzipped or not.
    size
        Its header.
    text_bytes
        Text to read at once; parsing takes about eight times as much memory.

    Raises
    ------
    InputError
        If a line is not an entry or is outside the matrix, or if the number of lines differs from the header.
    """
    n_read, line = 0, size.n_lines + 1
    with open_bytes(path) as file:
        _read_size(path, file)
        for text in whole_lines(file, text_bytes, path):
            plain = parse_entries(text, size.rows, size.columns)
            if plain is not None and plain[2].max(initial=0) >= MAX_EXACT:
                plain = None  # it may have been rounded to this value
            batch = _parse(path, text, size, line) if plain is None else Entries(*plain[:3])
            n_read += len(batch.rows)
            line += text.count(b"\n") if plain is None else plain[3]
            if n_read > size.entries:
                raise InputError(
                    f"{path}: contains more than the {size.entries} entries of its header; it is damaged, or "
                    "changed while it was read: copy or export it again"
                )
            yield batch
    if n_read != size.entries:
        raise InputError(
            f"{path}: contains {n_read} of the {size.entries} entries of its header; the file is incomplete: "
            "copy or export it again"
        )


def _parse(path: Path, text: bytes, size: Size, first_line: int) -> Entries:
    try:
        table = pd.read_csv(
            io.BytesIO(text),
            sep=r"\s+",
            header=None,
            names=["row", "column", "value"],
            index_col=False,
            dtype={"row": np.int64, "column": np.int64, "value": np.float64},
        )
    except (ValueError, OverflowError):  # pandas' parser errors are ValueErrors
        raise _wrong_line(path, text, size, first_line) from None
    rows, columns, values = (table[name].to_numpy() for name in ("row", "column", "value"))
    if len(rows) and (
        min(rows.min(), columns.min()) < 1
        or rows.max() > size.rows
        or columns.max() > size.columns
        or (np.isnan(values).any() and _first_wrong(text, size) is not None)
    ):
        raise _wrong_line(path, text, size, first_line)
    return Entries((rows - 1).astype(np.int32), (columns - 1).astype(np.int32), as_float32(values))


def _first_wrong(text: bytes, size: Size) -> tuple[int, str] | None:
    """Position and text of the first line that is not an entry of the matrix."""
    for number, line in enumerate(text.split(b"\n")):
        parts = line.split()
        if not parts:
            continue
        is_entry = (
            len(parts) >= 3 and parts[0].isdigit() and parts[1].isdigit() and NUMBER.fullmatch(parts[2])
        )
        if is_entry and 1 <= int(parts[0]) <= size.rows and 1 <= int(parts[1]) <= size.columns:
            continue
        return number, line.decode("utf-8", "replace").strip()[:80]
    return None


def _wrong_line(path: Path, text: bytes, size: Size, first_line: int) -> InputError:
    number, line = _first_wrong(text, size) or (0, "")
    return InputError(
        f"{path}, line {first_line + number}: '{line}' is not a row (1 to {size.rows}), a column "
        f"(1 to {size.columns}) and a number; the file is damaged: copy or export it again"
    )
