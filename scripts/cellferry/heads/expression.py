"""A linear model on expression, beside the classifiers on the latent space; stored as npz.

A latent space can move with the conditions of a query, and all classifiers on it then err together. The
expression of the genes themselves, or the intensity of the markers, is a second view that errs elsewhere.
"""

import numpy as np
from scipy import sparse

from ..config.available_heads import MANY_LABELS
from .arrays import ArraysHead
from .discriminants import discriminants
from .marginal import CoarseCells
from .shrinkage import HeldOut, of_all_labels, shrunk_regression
from .softmax import softmax_of

REGULARIZATION = 0.01
"""scikit-learn's C without held-out cells: thousands of genes take a strong one."""

REGULARIZATION_OF_MARKERS = 1.0
"""Forty markers do not: on CyTOF's, .01, .1 and 1 label .90, .92 and .94 of another donor's cells rightly."""

MIN_DEVIATION = 1e-6
"""Genes and markers that vary less among the training cells say nothing."""


def log_normalized(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log1p of counts per 10,000 counts of the cell: cells × genes, CSR float32; empty cells stay 0."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    per_value = np.repeat(1e4 / np.maximum(totals, 1e-6), np.diff(counts.indptr))
    values = np.log1p(counts.data * per_value).astype(np.float32)
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


class ExpressionHead(ArraysHead):
    """Multinomial logistic regression on z-scored log1p CP10k, or on z-scored marker values.

    Of very many labels linear discriminants take its place.

    The z-scores are by the training cells' mean and deviation, for queries too: by its own statistics a
    query of one cell type would lose what tells its type from others.

    Parameters
    ----------
    coefficients, intercepts
        Labels × genes (float32) and labels, on log1p CP10k itself or the marker values themselves.
    normalize
        Whether cells come as raw counts, which become log1p CP10k first; marker values are taken as they are.
    axes
        Genes × axes (float32) where coefficients are of axes of discriminants, and not of genes.
    """

    file_name = "expression.npz"

    def __init__(
        self,
        coefficients: np.ndarray,
        intercepts: np.ndarray,
        normalize: bool = True,
        axes: np.ndarray | None = None,
    ) -> None:
        self.coefficients = coefficients
        self.intercepts = intercepts
        self.normalize = bool(normalize)
        self.axes = axes

    @classmethod
    def train(
        cls,
        values: sparse.csr_matrix,
        codes: np.ndarray,
        held_out: HeldOut | None = None,
        *,
        n_labels: int,
        normalize: bool,
        coarse: CoarseCells | None = None,
    ) -> "ExpressionHead":
        """Train on raw counts or, if not to `normalize`, marker values (cells × genes, CSR), and label codes.

        Held-out cells, of the same kind, choose the shrinkage. A label without cells gets probability 0: of
        many labels in many batches not all may have been drawn. `coarse` are further cells, with a coarser
        label.
        """
        expression = log_normalized(values) if normalize else values.copy()
        mean = np.asarray(expression.mean(axis=0, dtype=np.float64)).ravel()
        squares = np.asarray(expression.multiply(expression).mean(axis=0, dtype=np.float64)).ravel()
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        scale = np.where(deviation > MIN_DEVIATION, 1 / np.maximum(deviation, MIN_DEVIATION), 0)

        def scaled(cells: sparse.csr_matrix) -> np.ndarray | sparse.csr_matrix:
            cells.data *= scale.astype(np.float32)[cells.indices]
            # Scaled but not centred, counts stay sparse; the intercept is free, and takes up the means. Of
            # marker values nothing is sparse, and centred they take a fifth of the iterations.
            return cells if normalize else cells.toarray() - (mean * scale).astype(np.float32)

        def prepared(cells: sparse.csr_matrix) -> np.ndarray | sparse.csr_matrix:
            return scaled(log_normalized(cells) if normalize else cells.copy())

        if held_out is not None:
            held_out = prepared(held_out[0]), held_out[1]
        if n_labels > MANY_LABELS:
            found = discriminants(scaled(expression), codes, held_out, n_labels=n_labels, reduce=True)
            axes = found.axes * scale[:, None].astype(np.float32)
            centre = 0 if normalize else found.coefficients @ (mean @ axes)
            return cls(found.coefficients, found.intercepts - centre, normalize, axes)
        fallback = REGULARIZATION if normalize else REGULARIZATION_OF_MARKERS
        if coarse is not None:
            coarse = coarse.of(prepared(coarse.values))
        model = shrunk_regression(scaled(expression), codes, held_out, fallback=fallback, coarse=coarse)
        coefficients, intercepts = of_all_labels(model, n_labels)
        coefficients *= scale
        if not normalize:
            intercepts = intercepts - coefficients @ mean
        return cls(coefficients.astype(np.float32), intercepts, normalize)

    def probabilities(self, values: sparse.csr_matrix) -> np.ndarray:
        """Probabilities of the labels from raw counts or marker values (cells × genes, CSR), float32."""
        return self.of_expression(log_normalized(values) if self.normalize else values)

    def of_expression(self, expression: sparse.csr_matrix) -> np.ndarray:
        """The same from log1p CP10k in the place of raw counts, or from marker values."""
        if self.axes is not None:
            expression = expression @ self.axes
        return softmax_of(expression, self.coefficients, self.intercepts)

    def log_odds(self, label: int, other: int) -> tuple[np.ndarray, float]:
        """What makes the log-odds of a label against another: a weight per gene (float64), and a constant."""
        weights = self.coefficients[label].astype(np.float64) - self.coefficients[other]
        constant = float(self.intercepts[label]) - float(self.intercepts[other])
        return weights if self.axes is None else self.axes @ weights, constant
