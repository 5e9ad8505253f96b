"""Logistic regression on expression, with shrinkage chosen on held-out cells.

Thousands of genes need strong shrinkage, a panel of thirty hardly any: a fixed strength cost a panel a fifth
of its labels.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .marginal import CoarseCells, learn_sums

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

CANDIDATES = (0.001, 0.01, 0.1, 1.0)
"""Values of scikit-learn's C, from strong shrinkage to weak."""

MIN_PROBABILITY = 1e-6
"""Lower bound of a held-out cell's probability, which limits its loss."""

Values = np.ndarray | sparse.csr_matrix
HeldOut = tuple[Any, np.ndarray]
"""Held-out cells, cells × genes, and the codes of their labels."""


def shrunk_regression(
    values: Values,
    codes: np.ndarray,
    held_out: HeldOut | None,
    *,
    fallback: float,
    coarse: CoarseCells | None = None,
) -> "LogisticRegression":
    """Multinomial logistic regression with the lowest log loss on held-out cells among the candidates.

    Parameters
    ----------
    values, codes
        Training cells (cells × genes or components) and their labels.
    held_out
        The same of held-out cells, or None.
    fallback
        C without held-out cells.
    coarse
        Further training cells, with a coarser label, or None.
    """
    if held_out is None:
        return _fit(values, codes, coarse, C=fallback)
    models = [_fit(values, codes, coarse, C=each) for each in CANDIDATES]
    losses = [log_loss(model, *held_out) for model in models]
    best = int(np.argmin(losses))
    print(f"shrinkage C = {CANDIDATES[best]}: log loss {losses[best]:.3f} of held-out cells")
    return models[best]


def of_all_labels(model: "LogisticRegression", n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (labels × genes) and intercepts; those of a label without cells give probability 0."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # two labels: scikit-learn keeps the difference of their logits only
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    all_coefficients = np.zeros((n_labels, coefficients.shape[1]))
    all_intercepts = np.full(n_labels, -np.inf)
    all_coefficients[model.classes_], all_intercepts[model.classes_] = coefficients, intercepts
    return all_coefficients, all_intercepts


def _fit(values: Values, codes: np.ndarray, coarse: CoarseCells | None, **how: float) -> "LogisticRegression":
    # Late: only training needs it, and importing it takes longer than predicting a chunk.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=500, **how).fit(values, codes)
    if coarse is not None:
        learn_sums(model, values, codes, coarse)
    return model


def log_loss(model: "LogisticRegression", values: Values, codes: np.ndarray) -> float:
    """Mean log loss of held-out cells; scikit-learn's, but labels may be missing on either side."""
    probabilities = np.zeros((len(codes), max(codes.max(), model.classes_.max()) + 1))
    probabilities[:, model.classes_] = model.predict_proba(values)
    return -float(np.log(np.maximum(probabilities[np.arange(len(codes)), codes], MIN_PROBABILITY)).mean())
