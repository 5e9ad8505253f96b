"""A linear model on expression, beside the classifiers on the latent space; stored as npz.

A query's conditions can shift its latents, and then all classifiers on latents make the same errors.
Expression of genes, or intensities of markers, is a second view with other errors.
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
"""scikit-learn's C without held-out cells: thousands of genes need strong shrinkage."""

REGULARIZATION_OF_MARKERS = 1.0
"""C for markers: on 32 CyTOF markers, .01, .1 and 1 gave .90, .92 and .94 accuracy on another donor."""

MIN_DEVIATION = 1e-6
"""Genes and markers with less variance among training cells get no weight."""


def log_normalized(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log1p of counts per 10,000 counts of the cell: cells × genes, CSR float32; empty cells stay 0."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    per_value = np.repeat(1e4 / np.maximum(totals, 1e-6), np.diff(counts.indptr))
    values = np.log1p(counts.data * per_value).astype(np.float32)
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


class ExpressionHead(ArraysHead):
    """Multinomial logistic regression on z-scored log1p CP10k, or on z-scored marker values.

    Linear discriminants replace it for very many labels. Z-scores use the training cells' mean and deviation,
    for queries too: a query's own statistics would hide the type of a query of one cell type.

    Parameters
    ----------
    coefficients, intercepts
        Labels × genes (float32) and labels, on log1p CP10k itself or the marker values themselves.
    normalize
        Whether the input is raw counts, which become log1p CP10k first; marker values stay unchanged.
    axes
        Genes × axes (float32) if coefficients are those of discriminant axes, not of genes.
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

        Held-out cells, of the same kind, choose the shrinkage. A label without drawn cells gets probability
        0. `coarse` are further cells, with a coarser label.
        """
        expression = log_normalized(values) if normalize else values.copy()
        mean = np.asarray(expression.mean(axis=0, dtype=np.float64)).ravel()
        squares = np.asarray(expression.multiply(expression).mean(axis=0, dtype=np.float64)).ravel()
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        scale = np.where(deviation > MIN_DEVIATION, 1 / np.maximum(deviation, MIN_DEVIATION), 0)

        def scaled(cells: sparse.csr_matrix) -> np.ndarray | sparse.csr_matrix:
            cells.data *= scale.astype(np.float32)[cells.indices]
            # Scaled but not centered, counts stay sparse, and the free intercept absorbs the means. Marker
            # values are dense, and centering reduces iterations to a fifth.
            return cells if normalize else cells.toarray() - (mean * scale).astype(np.float32)

        def prepared(cells: sparse.csr_matrix) -> np.ndarray | sparse.csr_matrix:
            return scaled(log_normalized(cells) if normalize else cells.copy())

        if held_out is not None:
            held_out = prepared(held_out[0]), held_out[1]
        if n_labels > MANY_LABELS:
            found = discriminants(scaled(expression), codes, held_out, n_labels=n_labels, reduce=True)
            axes = found.axes * scale[:, None].astype(np.float32)
            center = 0 if normalize else found.coefficients @ (mean @ axes)
            return cls(found.coefficients, found.intercepts - center, normalize, axes)
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
        """The same from log1p CP10k instead of raw counts, or from marker values."""
        if self.axes is not None:
            expression = expression @ self.axes
        return softmax_of(expression, self.coefficients, self.intercepts)

    def log_odds(self, label: int, other: int) -> tuple[np.ndarray, float]:
        """Weights per gene (float64) and constant of the log-odds of one label against another."""
        weights = self.coefficients[label].astype(np.float64) - self.coefficients[other]
        constant = float(self.intercepts[label]) - float(self.intercepts[other])
        return weights if self.axes is None else self.axes @ weights, constant
