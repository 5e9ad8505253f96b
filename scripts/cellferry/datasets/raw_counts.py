"""Raw counts: their checks, and messages about values that fail them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from ..formats import Header
from ..formats.sorting import MAX_EXACT
from .rounding import MAX_LOG_NORMALIZED, sign_of_normalization

VALUES_AT_ONCE = 1 << 15
"""Small enough for intermediate arrays to stay in the processor's cache."""

MIN_VALUES = 20
"""Cells with fewer stored values may lack a 1 by chance."""

MIN_SHARE_WITH_ONE = 0.5
"""Raw counts of all technologies tried have a 1 in more than 99 % of the cells, truncated ones in a third."""


MAX_COUNT = MAX_EXACT
"""Larger counts would be rounded in float32, and do not occur."""

LARGE_COUNT = 10**6
"""A count of a gene in a cell above this gives a warning."""

IN_ANNDATA = " in X, raw.X or layers/counts"
"""Places of counts in an AnnData object."""


@dataclass(frozen=True)
class Source:
    """Source of counts, for messages.

    Attributes
    ----------
    path
        The file.
    place
        Name of the matrix in it, such as `layers/counts`.
    key
        Configuration key that selects the matrix, such as `datasets.blood.counts`; None if the format has
        only one.
    others
        The file's other matrices, each with whether its first values look like counts.
    values
        `counts`, or `intensities`, which can be any number.
    rounding_key
        Configuration key for rounding counts, such as `datasets.blood.counts_rounding`.
    is_rounded
        True if counts will be rounded: fractions are then allowed, normalized values are not.
    wanted_in
        Places where the format may hold counts, for the remedy.
    """

    path: Path
    place: str
    key: str | None
    others: dict[str, bool]
    values: str = "counts"
    rounding_key: str | None = None
    is_rounded: bool = False
    wanted_in: str = ""

    @classmethod
    def of(cls, header: Header) -> "Source":
        """Source of the counts that a header selected."""
        key = header.options.key("counts") if len(header.places) > 1 else None
        return cls(
            header.path,
            header.counts or "matrix",
            key,
            header.places,
            header.values,
            header.options.key("counts_rounding"),
            header.options.counts_rounding == "nearest" and header.values == "counts",
            IN_ANNDATA if header.values == "counts" and header.format in ("h5ad", "h5mu", "zarr") else "",
        )

    @property
    def wanted(self) -> str:
        """Name of the expected values."""
        return "raw counts" if self.values == "counts" else self.values

    @property
    def better(self) -> list[str]:
        """Other matrices whose first values look like counts."""
        return [place for place, looks_right in self.others.items() if looks_right and place != self.place]

    @property
    def remedy(self) -> str:
        """Remedy if this matrix does not contain counts."""
        better = self.better
        if self.key and better:
            return f"set {self.key} to {' or '.join(better)}, where the first values look like counts"
        looked = [place for place in self.others if place != self.place]
        elsewhere = f" (no other place of the file has them: {', '.join(looked)})" if looked else ""
        return f"{self.wanted} are needed{elsewhere}: export the file with them{self.wanted_in}"

    @property
    def remedy_of_gaps(self) -> str:
        """Remedy if this matrix contains counts with missing values."""
        if self.key and self.better:
            return self.remedy
        return "write 0 where nothing was counted, and leave out cells or genes that were not measured"

    @property
    def way_out(self) -> str:
        """Additional remedy if fractional values may be corrected counts."""
        if self.values != "counts" or self.is_rounded or not self.rounding_key or self.better:
            return ""
        return f". If they are corrected counts, as SoupX writes them, set {self.rounding_key}: nearest"


def check_counts(counts: sparse.csr_matrix, names: np.ndarray, genes: pd.Index, source: Source) -> None:
    """Raise an `InputError` unless all stored values are finite, and counts non-negative integers.

    Counts to be rounded may be fractional, but not normalized.

    Parameters
    ----------
    counts
        Cells × genes.
    names
        Names of the cells, one per row.
    genes
        Names of the genes, one per column.
    source
        Source of the values.
    """
    values = counts.data
    wrong = _wrong(values, source)
    if not wrong.any():
        sign = sign_of_normalization(counts) if source.is_rounded else None
        if sign:
            raise InputError(
                f"{source.path}: {source.place} does not hold counts that could be rounded "
                f"({source.rounding_key}): {sign}; {source.remedy}"
            )
        return
    position, diagnosis, remedy = _told(values, wrong, source)
    row = int(np.searchsorted(counts.indptr, position, side="right")) - 1
    column = "gene" if source.values == "counts" else "channel"
    raise InputError(
        f"{source.path}: {source.place} does not hold {source.wanted}: {values[position]:g} in cell "
        f"'{names[row]}', {column} '{genes[counts.indices[position]]}'; {diagnosis}; {remedy}"
        f"{source.way_out if _can_be_rounded(values) and not sign_of_normalization(counts) else ''}"
    )


def gene_totals(counts: sparse.csr_matrix) -> np.ndarray:
    """Sum of each gene's counts over the cells: float64, exact for integers.

    Done in pieces, since `bincount` copies both its arguments at twice their size.
    """
    totals = np.zeros(counts.shape[1])
    for start in range(0, counts.nnz, VALUES_AT_ONCE):
        part = slice(start, start + VALUES_AT_ONCE)
        totals += np.bincount(counts.indices[part], weights=counts.data[part], minlength=counts.shape[1])
    return totals


def preview_problem(values: np.ndarray, source: Source) -> str | None:
    """Message of `check_counts` for values with unknown cells and genes; None if all are counts."""
    wrong = _wrong(values, source)
    if not wrong.any():
        return None
    position, diagnosis, remedy = _told(values, wrong, source)
    return (
        f"{source.path}: {source.place} does not hold {source.wanted}: {values[position]:g} is among its "
        f"values; {diagnosis}; {remedy}"
        # Normalized values show in whole cells only, and are refused later.
        f"{source.way_out if _can_be_rounded(values) else ''}"
    )


def _wrong(values: np.ndarray, source: Source) -> np.ndarray:
    if source.values == "intensities":
        return ~np.isfinite(values)
    # NaN and infinity fail the comparison too.
    wrong = np.empty(len(values), dtype=bool)
    with np.errstate(invalid="ignore"):
        for start in range(0, len(values), VALUES_AT_ONCE):
            some = values[start : start + VALUES_AT_ONCE]
            whole = source.is_rounded | (some == np.rint(some))
            wrong[start : start + VALUES_AT_ONCE] = ~((some >= 0) & whole & (some <= MAX_COUNT))
    return wrong


def _told(values: np.ndarray, wrong: np.ndarray, source: Source) -> tuple[int, str, str]:
    """Position of the reported value, diagnosis of all values, and remedy."""
    missing = np.isnan(values)
    if source.values != "counts" or not missing.any():
        return int(np.argmax(wrong)), _diagnosis(values, source), source.remedy
    gaps = f"values are missing (NaN), {missing.sum():,} of those checked"
    others = wrong & ~missing
    if others.any():
        return int(np.argmax(others)), f"{_diagnosis(values[~missing], source)}; {gaps}", source.remedy
    return int(np.argmax(missing)), f"{gaps}, and the others are counts", source.remedy_of_gaps


def _can_be_rounded(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and values.min() >= 0 and values.max() <= MAX_COUNT)


def _diagnosis(values: np.ndarray, source: Source) -> str:
    if np.isnan(values).any():
        return "values are missing (NaN)"
    if np.isinf(values).any():
        return "values are infinite: they were divided by zero or overflowed"
    if values.min() < 0:
        return "some values are negative, as after scaling (z-scores) or background correction"
    if values.max() > MAX_COUNT and (source.is_rounded or np.all(values == np.rint(values))):
        return (
            f"numbers above {MAX_COUNT:,} are not counts and cannot be stored exactly; they occur if a -1 is "
            "stored without a sign, or if counts were multiplied"
        )
    if values.max() < MAX_LOG_NORMALIZED:
        return "the values are fractional and small, they look log-normalized"
    return "the values are fractional, they look normalized, ambient-corrected or estimated"


class LargestCount:
    """The largest of the counts added, with its cell and gene.

    Attributes
    ----------
    value
        The count.
    """

    def __init__(self) -> None:
        self.value = 0.0
        self._place = ""

    def add(self, counts: sparse.csr_matrix, names: np.ndarray, genes: pd.Index) -> None:
        """Add a block of counts with the names of its cells and genes."""
        if counts.nnz == 0 or counts.data.max() <= self.value:
            return
        position = int(np.argmax(counts.data))
        row = int(np.searchsorted(counts.indptr, position, side="right")) - 1
        self.value = float(counts.data[position])
        self._place = f"cell '{names[row]}', gene '{genes[counts.indices[position]]}'"

    def doubt(self, source: Source) -> str | None:
        """A warning if it is larger than expected of a count, or None."""
        if source.values != "counts" or self.value <= LARGE_COUNT:
            return None
        return (
            f"{source.path}: {source.place} holds {self.value:,.0f} in {self._place}, but counts above "
            f"{LARGE_COUNT:,} are very rare; check that it is a count"
        )


class SmallestValues:
    """Share of cells whose smallest non-zero value is 1, collected block by block.

    Integers are not always counts. In some public files, `layers["counts"]` is
    `trunc(expm1(log-normalized))`: non-negative integers, but each cell was multiplied with a size factor and
    the fractions were cut off. Most cells then have no 1 (a cell with tripled counts begins with 3), and
    ratios are wrong. All checks of single values pass. In raw counts, UMIs or reads, a cell with twenty
    values practically always has a 1: in 99.6 to 100 % of the cells of ten public datasets, against 34 % in
    the truncated one. Sums of cells (pseudobulk, metacells) and strict gene filters may lack a 1 as well, so
    this is a warning and not an error.
    """

    def __init__(self) -> None:
        self.looked_at = 0
        self.with_one = 0

    def add(self, counts: sparse.csr_matrix) -> None:
        """Add a block of counts without explicit zeros."""
        lengths = np.diff(counts.indptr)
        starts = counts.indptr[:-1][lengths >= MIN_VALUES]
        if len(starts) == 0:
            return
        # The minimum from one long row to the next would include short rows between them, so ends are given
        # too and every second result is used.
        ends = counts.indptr[1:][lengths >= MIN_VALUES]
        edges = np.column_stack([starts, ends]).ravel()
        padded = np.append(counts.data, np.float32(np.inf))  # reduceat's last edge must be inside the array
        smallest = np.minimum.reduceat(padded, edges)[::2]
        self.looked_at += len(starts)
        self.with_one += int(np.count_nonzero(smallest == 1))

    def doubt(self, source: Source) -> str | None:
        """A warning if too few cells have a 1, or None."""
        if (
            source.values != "counts"
            or self.looked_at == 0
            or self.with_one >= MIN_SHARE_WITH_ONE * self.looked_at
        ):
            return None
        share = self.with_one / self.looked_at
        return (
            f"{source.path}: {source.place} holds integers, but only {share:.0%} of the cells have a 1 as "
            "smallest value, against nearly all in raw counts: they may be normalized values with their "
            f"fractions cut off, or sums of cells; if there are raw counts elsewhere, use those "
            f"{'(' + source.key + ')' if source.key else ''}".rstrip()
        )
