"""Logistic regression on expression whose shrinkage held-out cells choose.

Thousands of genes take strong shrinkage, a panel of thirty hardly any: with one fixed strength a panel lost a
fifth of its labels.
"""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

CANDIDATES = (0.001, 0.01, 0.1, 1.0)
"""Values of scikit-learn's C, from strong shrinkage to weak."""

MIN_PROBABILITY = 1e-6
"""A held-out cell with a lower probability of its label costs no more than this."""

Values = np.ndarray | sparse.csr_matrix
HeldOut = tuple[Any, np.ndarray]
"""Held-out cells, cells × genes, and the codes of their labels."""


def shrunk_regression(
    values: Values, codes: np.ndarray, held_out: HeldOut | None, *, fallback: float
) -> LogisticRegression:
    """Multinomial logistic regression, shrunk as strongly as held-out cells do not speak against.

    Of the candidates with a log loss that exceeds the least one by at most one standard error of the
    difference, the first is taken (Breiman et al. 1984): a query is farther from the reference than held-out
    cells are, and weak shrinkage fits what only the reference has.

    Parameters
    ----------
    values, codes
        Training cells (cells × genes or components) and their labels.
    held_out
        The same of held-out cells; None where there are none.
    fallback
        C without held-out cells.
    """
    if held_out is None:
        return _fit(values, codes, C=fallback)
    models = [_fit(values, codes, C=each) for each in CANDIDATES]
    losses = np.stack([_losses(model, *held_out) for model in models])
    worse = losses - losses[losses.mean(axis=1).argmin()]
    allowed = worse.std(axis=1) / np.sqrt(losses.shape[1])
    chosen = int(np.flatnonzero(worse.mean(axis=1) <= allowed)[0])
    print(f"shrinkage C = {CANDIDATES[chosen]}: log loss {losses[chosen].mean():.3f} of held-out cells")
    return models[chosen]


def of_all_labels(model: LogisticRegression, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (labels × genes) and intercepts; those of a label without cells give probability 0."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # two labels: scikit-learn keeps the difference of their logits only
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    all_coefficients = np.zeros((n_labels, coefficients.shape[1]))
    all_intercepts = np.full(n_labels, -np.inf)
    all_coefficients[model.classes_], all_intercepts[model.classes_] = coefficients, intercepts
    return all_coefficients, all_intercepts


def _fit(values: Values, codes: np.ndarray, **how: float) -> LogisticRegression:
    return LogisticRegression(max_iter=500, **how).fit(values, codes)


def _losses(model: LogisticRegression, values: Values, codes: np.ndarray) -> np.ndarray:
    """Log loss of each held-out cell."""
    probabilities = np.zeros((len(codes), max(codes.max(), model.classes_.max()) + 1))
    probabilities[:, model.classes_] = model.predict_proba(values)
    return -np.log(np.maximum(probabilities[np.arange(len(codes)), codes], MIN_PROBABILITY))
