"""Cells of CosMx tables, named by two columns: a number (`cell_ID`) within a field of view (`fov`).

Their names are `{cell_ID}_{fov}`, as in squidpy. Cell 0 holds counts outside of cells in older exports.
"""

import re

import numpy as np

from ..core.table_start import TableStart

OUTSIDE = "0"
"""Number of the row with counts outside of cells."""


def with_names(start: TableStart, order: tuple[int, int]) -> TableStart:
    """The start of a table with the cells' names as first column."""
    rows = [["_".join(row[at] for at in order), *row[2:]] for row in start.rows if len(row) > 1]
    fields = None if start.n_fields is None else start.n_fields - 1
    return start._replace(names=["cell", *start.names[2:]], rows=rows, n_fields=fields)


def joined(text: bytes, delimiter: str, order: tuple[int, int]) -> bytes:
    """Lines with the cell's name in place of the two columns; lines of counts outside cells become empty."""
    mark = re.escape(delimiter.encode())
    field = rb'"?([^"\n%b]*)"?%b' % (mark, mark)
    number, view = (b"\\%d" % (at + 1) for at in order)
    named = re.sub(
        rb"^%b%b" % (field, field), b"%b_%b%b" % (number, view, delimiter.encode()), text, flags=re.M
    )
    return re.sub(rb"^%b_[^\n]*" % OUTSIDE.encode(), b"", named, flags=re.M)


def names_in(numbers: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Names of cells, from both columns as text."""
    return np.array([f"{number}_{view}" for number, view in zip(numbers, views, strict=True)], dtype=object)
