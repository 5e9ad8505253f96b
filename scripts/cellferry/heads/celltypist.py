"""CellTypist's imported regression on genes, stored as npz.

One regression per label against all others on z-scored log1p CP10k (Domínguez Conde et al. 2022). Counts
per 10,000 are over all genes of a dataset, not only the model's. A gene of the model that was not measured is
left out of the sum, which is the same as the mean of the training cells.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import expit

from .arrays import ArraysHead

MAX_Z = 10.0
"""Limit at which z-scores are clipped, in training and prediction."""

LEAST = -80.0
"""Lower bound of decisions: below it float32 probabilities are not distinct."""


class Measured(NamedTuple):
    """Total counts of cells, and their measured genes.

    Attributes
    ----------
    totals
        Counts per cell over all genes.
    genes
        Mask of the model's genes that the dataset has.
    """

    totals: np.ndarray
    genes: np.ndarray


class CelltypistHead(ArraysHead):
    """CellTypist's decisions and their sigmoids.

    Parameters
    ----------
    coefficients, intercepts
        Labels × genes and labels (float64): of log1p CP10k less `means`.
    means, most
        Per gene, on log1p CP10k: the mean to subtract, and the maximum to clip values at.
    """

    file_name = "celltypist.npz"

    def __init__(
        self, coefficients: np.ndarray, intercepts: np.ndarray, means: np.ndarray, most: np.ndarray
    ) -> None:
        self.coefficients = coefficients
        self.intercepts = intercepts
        self.means = means
        self.most = most

    @property
    def held_bytes(self) -> int:
        """Bytes of the arrays, and of the sum over the measured genes."""
        return 2 * self.coefficients.nbytes

    @classmethod
    def of(
        cls, coefficients: np.ndarray, intercepts: np.ndarray, mean: np.ndarray, scale: np.ndarray
    ) -> "CelltypistHead":
        """From a regression on z-scores (values - mean) / scale: labels × genes, labels, genes, genes."""
        return cls(coefficients / scale, intercepts, mean, mean + MAX_Z * scale)

    def decisions(self, counts: sparse.csr_matrix, measured: Measured) -> np.ndarray:
        """CellTypist's decision scores from raw counts (cells × genes, CSR): cells × labels, float64."""
        factors = 1e4 / np.maximum(measured.totals, 1e-6, dtype=np.float64)
        values = np.repeat(factors, np.diff(counts.indptr))
        values *= counts.data
        np.log1p(values, out=values)
        # Genes without counts are never clipped: their z-scores are not positive.
        np.minimum(values, self.most[counts.indices], out=values)
        cells = sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
        # A sum, not a product: a product's rounding depends on the number of threads.
        center = (self.coefficients * np.where(measured.genes, self.means, 0)).sum(axis=1)
        return cells @ self.coefficients.T + (self.intercepts - center)

    def probabilities(self, counts: sparse.csr_matrix, measured: Measured) -> np.ndarray:
        """Sigmoid of each decision (cells × labels, float32), which need not sum to 1.

        The best label has the highest decision, also if several sigmoids are equal in float32.
        """
        decisions = self.decisions(counts, measured)
        found = expit(np.maximum(decisions, LEAST)).astype(np.float32)
        cells, best = np.arange(len(found)), decisions.argmax(axis=1)
        tied = found >= found[cells, best][:, None]
        tied[cells, best] = False
        found[tied] = np.nextafter(found[tied], np.float32(0))
        return found
