"""A linear model on expression, beside the classifiers on the latent space; stored as npz.

A latent space can move with the conditions of a query, and all classifiers on it then err together. The
expression of the genes themselves, or the intensity of the markers, is a second view that errs elsewhere.
"""

from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

REGULARIZATION = 0.01
"""scikit-learn's C: thousands of genes take strong shrinkage."""

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


class ExpressionHead:
    """Multinomial logistic regression on z-scored log1p CP10k, or on z-scored marker values.

    The z-scores are by the training cells' mean and deviation, for queries too: by its own statistics a
    query of one cell type would lose what tells its type from others.

    Parameters
    ----------
    coefficients, intercepts
        Labels × genes (float32) and labels, on log1p CP10k itself or the marker values themselves.
    normalize
        Whether cells come as raw counts, which become log1p CP10k first; marker values are taken as they are.
    """

    file_name = "expression.npz"

    def __init__(self, coefficients: np.ndarray, intercepts: np.ndarray, normalize: bool = True) -> None:
        self.coefficients = coefficients
        self.intercepts = intercepts
        self.normalize = bool(normalize)

    @classmethod
    def train(
        cls, values: sparse.csr_matrix, codes: np.ndarray, *, n_labels: int, normalize: bool
    ) -> "ExpressionHead":
        """Train on raw counts or, if not to `normalize`, marker values (cells × genes, CSR), and label codes.

        A label without cells gets probability 0: of many labels in many batches not all may have been drawn.
        """
        expression = log_normalized(values) if normalize else values.copy()
        mean = np.asarray(expression.mean(axis=0, dtype=np.float64)).ravel()
        squares = np.asarray(expression.multiply(expression).mean(axis=0, dtype=np.float64)).ravel()
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        scale = np.where(deviation > MIN_DEVIATION, 1 / np.maximum(deviation, MIN_DEVIATION), 0)
        expression.data *= scale.astype(np.float32)[expression.indices]
        if normalize:
            # Scaled but not centred, the matrix stays sparse; the intercept is free, and takes up the means.
            model = LogisticRegression(C=REGULARIZATION, max_iter=500).fit(expression, codes)
            coefficients, intercepts = model.coef_ * scale, model.intercept_
        else:
            # Nothing is sparse there, and centred it takes a fifth of the iterations.
            centred = expression.toarray() - (mean * scale).astype(np.float32)
            model = LogisticRegression(C=REGULARIZATION_OF_MARKERS, max_iter=500).fit(centred, codes)
            coefficients = model.coef_ * scale
            intercepts = model.intercept_ - coefficients @ mean
        if len(coefficients) == 1:  # two labels: scikit-learn keeps the difference of their logits only
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        all_coefficients = np.zeros((n_labels, values.shape[1]), dtype=np.float32)
        all_intercepts = np.full(n_labels, -np.inf)
        all_coefficients[model.classes_], all_intercepts[model.classes_] = coefficients, intercepts
        return cls(all_coefficients, all_intercepts, normalize)

    def probabilities(self, values: sparse.csr_matrix) -> np.ndarray:
        """Probabilities of the labels from raw counts or marker values (cells × genes, CSR), float32."""
        expression = log_normalized(values) if self.normalize else values
        logits = expression @ self.coefficients.T + self.intercepts
        return softmax(logits, axis=1).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the arrays as npz."""
        np.savez(folder / self.file_name, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> "ExpressionHead":
        """Read what `save` wrote."""
        with np.load(folder / cls.file_name, allow_pickle=False) as arrays:
            return cls(**arrays)
