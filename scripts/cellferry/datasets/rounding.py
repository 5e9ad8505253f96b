"""Corrected counts (SoupX, DecontX, estimates of aligners): fractional, and rounded on request.

Normalized values are fractional too, and after rounding they would pass for counts with wrong ratios. Cells
distinguish the two: normalization turns equal counts of a cell into equal values, and makes the totals of all
cells equal. A correction subtracts different amounts from different genes, and leaves the totals different.
"""

import numpy as np
from scipy import sparse

MAX_VALUES = 1 << 17
"""Largest number of values per block that are checked; sorting takes about 40 bytes each."""

MIN_FRACTIONS = 50
MIN_CELLS = 5
"""Fewer values may be equal by chance."""

CLEARLY = 0.15
"""Distance from a whole number: values with a small correction stay near one, often the same in many
genes."""

MOST = 0.5
"""Required share of such values. 70 % of normalized values are clear fractions, and nearly all repeat."""

MANY_VALUES = 10_000
"""So many counts include a large one."""

SAME_TOTAL = 0.005
"""Relative spread of equal totals after rounding to few digits."""

MAX_LOG_NORMALIZED = 20.0
"""log1p of 5e8: log-normalized values are smaller, and normalized values without a logarithm mostly
larger."""

MUCH_CHANGED = 0.1

BEFORE_LOGARITHMS = {
    "values": lambda values: values,
    "values before log1p": np.expm1,
    "values before log2(x + 1)": lambda values: np.exp2(values) - 1,
}


def sign_of_normalization(counts: sparse.csr_matrix) -> str | None:
    """Description of a sign that a block is normalized; None for counts, corrected or not.

    Parameters
    ----------
    counts
        Cells × genes, finite and not negative.
    """
    sign = sign_in_cells(counts)
    if sign is not None:
        return sign
    _, values, is_fraction = _positive(counts)
    if len(values) < MANY_VALUES or not _are_fractions(values, is_fraction):
        return None
    if values.max() < MAX_LOG_NORMALIZED:
        return f"none of {len(values):,} values is above {values.max():.3g}, as for logarithms"
    return None


def sign_in_cells(counts: sparse.csr_matrix) -> str | None:
    """Description of a sign of normalization within cells; only normalized counts have it.

    Parameters
    ----------
    counts
        Cells × genes, finite; only positive values are used.
    """
    cells, values, is_fraction = _positive(counts)
    if not _are_fractions(values, is_fraction):
        return None
    if _share_repeated(cells[is_fraction], values[is_fraction]) > MOST:
        return "the same fractions occur in many genes of a cell, as equal counts do after normalization"
    for name, undone in BEFORE_LOGARITHMS.items():
        if values.max() < MAX_LOG_NORMALIZED or name == "values":
            totals = np.bincount(cells, weights=undone(values))
            totals = totals[totals > 0]
            if len(totals) >= MIN_CELLS and np.ptp(totals) < SAME_TOTAL * totals.mean():
                return f"the {name} of every cell add up to {totals.mean():.4g}, as after normalization"
    return None


def _positive(counts: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells and values of the first positive entries, and a mask of clear fractions."""
    n_cells = max(1, int(np.searchsorted(counts.indptr, MAX_VALUES, side="right")) - 1)
    values = counts.data[: counts.indptr[n_cells]].astype(np.float64)
    cells = np.repeat(np.arange(n_cells), np.diff(counts.indptr[: n_cells + 1]))
    cells, values = cells[values > 0], values[values > 0]
    return cells, values, np.abs(values - np.rint(values)) > CLEARLY


def _are_fractions(values: np.ndarray, is_fraction: np.ndarray) -> bool:
    return is_fraction.sum() >= max(MIN_FRACTIONS, MOST * len(values))


def _share_repeated(cells: np.ndarray, values: np.ndarray) -> float:
    """Share of values that occur more than once in their cell."""
    order = np.lexsort((values, cells))
    same = (np.diff(values[order]) == 0) & (np.diff(cells[order]) == 0)
    return float((np.append(same, False) | np.append(False, same)).mean())


class Rounding:
    """Rounds counts to the nearest whole number, block by block, and sums up the change.

    Attributes
    ----------
    cells
        Cells whose counts were rounded.
    before, after
        Totals of their counts before and after rounding.
    largest
        Largest count before rounding.
    """

    def __init__(self) -> None:
        self.cells = 0
        self.before = self.after = self.largest = 0.0

    def add(self, counts: sparse.csr_matrix) -> None:
        """Round a block in place. Halves go to the even neighbor, so that totals do not rise."""
        values = counts.data
        self.cells += counts.shape[0]
        self.before += float(values.sum(dtype=np.float64))
        self.largest = max(self.largest, float(values.max(initial=0)))
        np.rint(values, out=values)
        self.after += float(values.sum(dtype=np.float64))

    @property
    def change(self) -> float:
        """Relative change of the total."""
        return self.after / self.before - 1 if self.before else 0.0

    def __str__(self) -> str:
        return (
            f"counts of {self.cells:,} cells were rounded to whole numbers: their total changed from "
            f"{self.before:,.1f} to {self.after:,.0f} ({self.change:+.2%})"
        )

    def doubts(self, key: str) -> list[str]:
        """Warnings on values that may not be counts or changed much; `key` is that of `counts_rounding`."""
        doubts = []
        if 0 < self.largest < MAX_LOG_NORMALIZED:
            doubts.append(
                f"{key}: no value checked is above {self.largest:.3g}, as for logarithms, which are not "
                "counts even if rounded; check that these values are counts"
            )
        if abs(self.change) > MUCH_CHANGED:
            doubts.append(f"{key}: {self}. This is a large change; use counts before the correction")
        return doubts
