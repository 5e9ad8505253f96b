"""Genes by their variability: Seurat v3's method, batch by batch.

`scanpy.pp.highly_variable_genes` with `flavor="seurat_v3"` gives the same values for the cells of a batch
(tested). In every process it takes 5 to 8 CPU seconds to compile functions, since numba's cache does not
recognize their types, and 2 to import; and it copies batches, twice as much memory in all. The local
regression is scikit-misc's, as there. It is sensitive to rounding errors of means and variances: a few genes
at the edge of the choice depend on the order of the sums.

Source: Stuart et al., Comprehensive Integration of Single-Cell Data, Cell 177 (2019), 1888.
"""

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from skmisc.loess import loess

MIN_CELLS_PER_BATCH = 200
"""Cells below which a batch's mean-variance fit is noise; all cells are used instead."""

CELLS_AT_ONCE = 256
"""Cells in float64 at a time."""


def variable_rank(counts: sparse.csr_matrix, batches: np.ndarray, n_variable: int) -> np.ndarray:
    """Rank of every gene by variability, 0 first.

    A gene's rank is the median of its ranks in the batches where it is among the first `n_variable`; of
    genes with equal ranks the one in more batches is first, and genes in none are last.

    Parameters
    ----------
    counts
        Cells × genes.
    batches
        Code of each cell's batch.
    n_variable
        Number of genes to choose; all keep their order if there are no more.
    """
    n_genes = counts.shape[1]
    if n_genes <= n_variable:
        return np.arange(n_genes)
    by_batch = [np.flatnonzero(batches == code) for code in np.unique(batches)]
    divisions = [[np.arange(counts.shape[0])]]
    if len(by_batch) > 1 and min(map(len, by_batch)) >= MIN_CELLS_PER_BATCH:
        divisions.insert(0, by_batch)
    for groups in divisions:
        try:
            spread = np.stack([standardized_variance(counts, rows) for rows in groups])
        except ValueError as error:  # the local regression fails on few, shallow cells
            of = "each batch" if len(groups) > 1 else "all cells"
            print(f"variable genes of {of} by Seurat v3's method: {error}")
            continue
        ranks = np.argsort(np.argsort(-spread, axis=1, kind="stable"), axis=1)
        among_first = np.ma.array(ranks, mask=ranks >= n_variable)
        median = np.ma.median(among_first, axis=0).filled(np.inf)
        order = np.lexsort([-among_first.count(axis=0), median])
        break
    else:
        print("variable genes are ranked by the variance of their log-normalized counts instead")
        order = np.argsort(-log_variance(counts), kind="stable")
    return np.argsort(order)


def standardized_variance(counts: sparse.csr_matrix, rows: np.ndarray) -> np.ndarray:
    """Variance of each gene's counts in some cells, over the variance expected for its mean.

    Counts are clipped at √cells expected standard deviations above the mean.

    Raises
    ------
    ValueError
        If the regression of variance on mean fails.
    """
    n = len(rows)
    total, squares = _sums(counts, rows)
    mean = total / n
    variance = (squares / n - mean**2) * (n / (n - 1))
    varies = variance > 0
    expected = np.ones(len(mean))
    if varies.any():
        fit = loess(np.log10(mean[varies]), np.log10(variance[varies]), span=0.3, degree=2)
        fit.fit()
        expected[varies] = 10**fit.outputs.fitted_values
    total, squares = _sums(counts, rows, most=np.sqrt(expected * n) + mean)
    return (n * mean**2 + squares - 2 * total * mean) / ((n - 1) * expected)


def log_variance(counts: sparse.csr_matrix) -> np.ndarray:
    """Variance of each gene's log1p of counts per 10,000."""
    totals = np.maximum(np.asarray(counts.sum(axis=1)), 1)
    values = counts.multiply(1e4 / totals).log1p().tocsr()
    return np.asarray(values.power(2).mean(axis=0) - np.square(values.mean(axis=0))).ravel()


def _sums(
    counts: sparse.csr_matrix, rows: np.ndarray, most: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of each gene's counts and of their squares in some cells, with counts clipped at `most`."""
    n_genes = counts.shape[1]
    total, squares = np.zeros(n_genes), np.zeros(n_genes)
    for block in _blocks(counts, rows):
        values = block.data.astype(np.float64)
        if most is not None:
            np.minimum(values, most[block.indices], out=values)
        total += np.bincount(block.indices, values, minlength=n_genes)
        squares += np.bincount(block.indices, values**2, minlength=n_genes)
    return total, squares


def _blocks(counts: sparse.csr_matrix, rows: np.ndarray) -> Iterator[sparse.csr_matrix]:
    for start in range(0, len(rows), CELLS_AT_ONCE):
        yield counts[rows[start : start + CELLS_AT_ONCE]]
