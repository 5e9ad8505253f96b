"""Names and annotation of cells, read together with their counts."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from scipy import sparse

from .interface import Block, Cells

CELLS_AT_ONCE = 1 << 17


class Annotation(Protocol):
    """A data frame of the cells, read by columns and ranges of rows.

    Attributes
    ----------
    columns
        Names of the columns, without the index.
    """

    columns: list[str]

    def names(self, start: int, stop: int) -> np.ndarray:
        """Names of the cells `start` to `stop`, as an object array of str."""
        ...

    def values(self, column: str, start: int, stop: int) -> np.ndarray:
        """Values of the cells `start` to `stop`; see `interface.Cells`."""
        ...


def annotated_cells(obs: Annotation, n_cells: int, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of all cells, about a hundred thousand at a time."""
    for start in range(0, n_cells, CELLS_AT_ONCE):
        stop = min(n_cells, start + CELLS_AT_ONCE)
        yield Cells(obs.names(start, stop), {column: obs.values(column, start, stop) for column in columns})


def annotated_blocks(
    rows: Iterable[sparse.csr_matrix], obs: Annotation, columns: list[str], start: int = 0
) -> Iterator[Block]:
    """Yield row blocks of counts, from cell `start` on, with names and annotation of their cells."""
    for counts in rows:
        stop = start + counts.shape[0]
        values = {column: obs.values(column, start, stop) for column in columns}
        yield Block(counts, obs.names(start, stop), values)
        start = stop
