"""Cells of CosMx's tables, which two columns name: a number (`cell_ID`) within a field of view (`fov`).

They are called `{cell_ID}_{fov}`, as by squidpy. Cell 0 is what older exports counted outside of cells.
"""

import re

import numpy as np

from ..core.table_start import TableStart

OUTSIDE = "0"
"""Number of the cell that is no cell."""


def with_names(start: TableStart, order: tuple[int, int]) -> TableStart:
    """The start of a table as if its cells had names in its first column."""
    rows = [["_".join(row[at] for at in order), *row[2:]] for row in start.rows if len(row) > 1]
    fields = None if start.n_fields is None else start.n_fields - 1
    return start._replace(names=["cell", *start.names[2:]], rows=rows, n_fields=fields)


def joined(text: bytes, delimiter: str, order: tuple[int, int]) -> bytes:
    """Lines that begin with a name in place of the two columns; those outside of cells are empty."""
    mark = re.escape(delimiter.encode())
    field = rb'"?([^"\n%b]*)"?%b' % (mark, mark)
    number, view = (b"\\%d" % (at + 1) for at in order)
    named = re.sub(
        rb"^%b%b" % (field, field), b"%b_%b%b" % (number, view, delimiter.encode()), text, flags=re.M
    )
    return re.sub(rb"^%b_[^\n]*" % OUTSIDE.encode(), b"", named, flags=re.M)


def names_in(numbers: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Names of cells, given both columns as text."""
    return np.array([f"{number}_{view}" for number, view in zip(numbers, views, strict=True)], dtype=object)
