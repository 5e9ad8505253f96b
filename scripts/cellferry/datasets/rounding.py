"""Corrected counts (SoupX, DecontX, estimates of aligners): fractional, but counts, and rounded on request.

Normalized values are fractional too, and rounded ones would pass for counts with wrong ratios. What tells
them apart is the cell: normalization turns equal counts of a cell into equal values, and makes the totals of
all cells equal. A correction takes something else from every gene, and leaves totals as different as before.
"""

import numpy as np
from scipy import sparse

MAX_VALUES = 1 << 17
"""Of a block that are looked at; they are sorted, in about 40 bytes each."""

MIN_FRACTIONS = 50
MIN_CELLS = 5
"""Fewer may be equal by chance."""

CLEARLY = 0.15
"""Distance from a whole number: what is corrected little stays near one, and equal there in many genes."""

MOST = 0.5
"""Share of values that must be so. Of normalized ones 70 % are clearly fractions, and nearly all repeat."""

MANY_VALUES = 10_000
"""Among so many counts there is a large one."""

SAME_TOTAL = 0.005
"""Relative spread of totals that rounding to few digits leaves."""

MAX_LOG_NORMALIZED = 20.0
"""log1p of 5e8: no log-normalized value is larger, and normalized ones without a logarithm mostly are."""

MUCH_CHANGED = 0.1

BEFORE_LOGARITHMS = {
    "values": lambda values: values,
    "values before log1p": np.expm1,
    "values before log2(x + 1)": lambda values: np.exp2(values) - 1,
}


def sign_of_normalization(counts: sparse.csr_matrix) -> str | None:
    """What shows that the values of a block are normalized, in words; None for counts, corrected or not.

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
        return f"none of {len(values):,} values is above {values.max():.3g}, as of logarithms"
    return None


def sign_in_cells(counts: sparse.csr_matrix) -> str | None:
    """The same of what shows within cells: nothing else than normalized counts of genes looks like this.

    Parameters
    ----------
    counts
        Cells × genes, finite; what is not positive is left out.
    """
    cells, values, is_fraction = _positive(counts)
    if not _are_fractions(values, is_fraction):
        return None
    if _share_repeated(cells[is_fraction], values[is_fraction]) > MOST:
        return "the same fractions stand in many genes of a cell, as equal counts do once they are normalized"
    for name, undone in BEFORE_LOGARITHMS.items():
        if values.max() < MAX_LOG_NORMALIZED or name == "values":
            totals = np.bincount(cells, weights=undone(values))
            totals = totals[totals > 0]
            if len(totals) >= MIN_CELLS and np.ptp(totals) < SAME_TOTAL * totals.mean():
                return f"the {name} of every cell add up to {totals.mean():.4g}, as after normalization"
    return None


def _positive(counts: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells and values of the first positive entries, and which of these are clearly fractions."""
    n_cells = max(1, int(np.searchsorted(counts.indptr, MAX_VALUES, side="right")) - 1)
    values = counts.data[: counts.indptr[n_cells]].astype(np.float64)
    cells = np.repeat(np.arange(n_cells), np.diff(counts.indptr[: n_cells + 1]))
    cells, values = cells[values > 0], values[values > 0]
    return cells, values, np.abs(values - np.rint(values)) > CLEARLY


def _are_fractions(values: np.ndarray, is_fraction: np.ndarray) -> bool:
    return is_fraction.sum() >= max(MIN_FRACTIONS, MOST * len(values))


def _share_repeated(cells: np.ndarray, values: np.ndarray) -> float:
    """Share of values that are there in their cell more than once."""
    order = np.lexsort((values, cells))
    same = (np.diff(values[order]) == 0) & (np.diff(cells[order]) == 0)
    return float((np.append(same, False) | np.append(False, same)).mean())


class Rounding:
    """Rounds counts to the nearest whole number, block by block, and counts what that changes.

    Attributes
    ----------
    cells
        Cells whose counts were rounded.
    before, after
        Total of their counts.
    largest
        Largest of their counts before.
    """

    def __init__(self) -> None:
        self.cells = 0
        self.before = self.after = self.largest = 0.0

    def add(self, counts: sparse.csr_matrix) -> None:
        """Round a block in place. A half goes to the even neighbor, so that totals are not raised."""
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
            f"counts of {self.cells:,} cells were rounded to whole numbers: their total of "
            f"{self.before:,.1f} is {self.after:,.0f} now ({self.change:+.2%})"
        )

    def doubts(self, key: str) -> list[str]:
        """Warnings on what may not be counts, or lost much; `key` is the full name of `counts_rounding`."""
        doubts = []
        if 0 < self.largest < MAX_LOG_NORMALIZED:
            doubts.append(
                f"{key}: no value that was looked at is above {self.largest:.3g}. Logarithms look like this, "
                "and rounded they are no counts; be sure that yours are none"
            )
        if abs(self.change) > MUCH_CHANGED:
            doubts.append(f"{key}: {self}. That is much; counts before the correction would be better")
        return doubts
