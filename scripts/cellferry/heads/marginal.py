"""Training on cells with a coarser label: their likelihood is the sum over the labels below it.

This marginal likelihood contains the cell's branch of the hierarchy, and nothing about its place in the
branch. The gradient of its log is that of a cell with a soft label: the head's probabilities of the labels
below, scaled to sum to 1.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

ROWS_AT_ONCE = 4096
"""Cells per block of logits, which bounds memory."""

MAX_ITERATIONS = 200
TOLERANCE = 1e-4
"""Tolerance on the gradient of the mean loss, as in scikit-learn."""

Values = np.ndarray | sparse.csr_matrix


class CoarseCells(NamedTuple):
    """Training cells whose label is a coarser one.

    Attributes
    ----------
    values
        Cells × genes, latents or components.
    nodes
        Number of each cell's label among the coarser ones.
    below
        Labels below each of these: nodes × labels, bool.
    """

    values: Values
    nodes: np.ndarray
    below: np.ndarray

    def of(self, values: Values) -> "CoarseCells":
        """The same cells with other values."""
        return self._replace(values=values)


class CellWeights(NamedTuple):
    """Weights that balance all labels, by label and by coarser label."""

    labels: np.ndarray
    nodes: np.ndarray


def expected_weights(codes: np.ndarray, n_labels: int, nodes: np.ndarray, below: np.ndarray) -> CellWeights:
    """Weights by label, with coarser cells distributed over the labels below.

    A coarser label's cells are distributed over the labels below it in proportion to the cells with these
    labels. So a label of few cells below a coarser one of many is not weighted twice.

    Parameters
    ----------
    codes
        Label of each cell that has one of the finest.
    n_labels
        Number of labels.
    nodes, below
        Of the others, see `CoarseCells`.
    """
    sizes = np.maximum(np.bincount(codes, minlength=n_labels), 1).astype(np.float64)
    shares = below * sizes
    shares /= shares.sum(axis=1, keepdims=True)
    expected = sizes + np.bincount(nodes, minlength=len(below)) @ shares
    of_labels = (len(codes) + len(nodes)) / (n_labels * expected)
    return CellWeights(of_labels.astype(np.float32), (shares @ of_labels).astype(np.float32))


def learn_sums(
    model: "LogisticRegression",
    values: Values,
    codes: np.ndarray,
    coarse: CoarseCells,
    weights: CellWeights | None = None,
) -> None:
    """Fit a regression of three labels or more on with coarser cells, from where it is, in place.

    Parameters
    ----------
    model
        scikit-learn's multinomial regression, fitted to `values` and `codes`.
    values, codes
        Cells × genes of the cells with a label of the finest level, and these.
    coarse
        The others; a coarser label above all or none of the model's labels is left out.
    weights
        Of the cells; None for 1.
    """
    classes = model.classes_
    below = coarse.below[:, classes]
    teaches = (below.any(axis=1) & ~below.all(axis=1))[coarse.nodes]
    if not teaches.any() or len(classes) < 3:
        return
    more, nodes = coarse.values[np.flatnonzero(teaches)], coarse.nodes[teaches]
    weight = np.ones(len(codes)), np.ones(len(nodes))
    if weights is not None:
        weight = weights.labels[codes], weights.nodes[nodes]
    place = np.searchsorted(classes, codes)
    total = float(sum(each.sum(dtype=np.float64) for each in weight))
    n_labels, n_columns = len(classes), values.shape[1]

    def one_label(rows: slice) -> np.ndarray:
        return place[rows, None] == np.arange(n_labels)

    def branch(rows: slice) -> np.ndarray:
        return below[nodes[rows]]

    parts = (values, one_label, weight[0]), (more, branch, weight[1])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(n_labels, n_columns + 1)
        loss, gradient = 0.0, np.zeros_like(parameters)
        for cells, allowed_of, weight_of in parts:
            loss += _add_loss(cells, allowed_of, weight_of, parameters, gradient)
        shrunk = parameters[:, :-1]
        gradient /= total
        gradient[:, :-1] += shrunk / (model.C * total)
        return loss / total + float((shrunk**2).sum()) / (2 * model.C * total), gradient.ravel()

    start = np.column_stack([model.coef_, model.intercept_]).astype(np.float64)
    options = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "maxls": 50}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    parameters = found.x.reshape(n_labels, n_columns + 1)
    model.coef_, model.intercept_ = parameters[:, :-1], parameters[:, -1]


def _add_loss(
    cells: Values,
    allowed_of: Callable[[slice], np.ndarray],
    weights: np.ndarray,
    parameters: np.ndarray,
    gradient: np.ndarray,
) -> float:
    """Add the gradient of cells' loss, -log of the probability of the labels allowed; return the loss."""
    coefficients = parameters[:, :-1].astype(cells.dtype)
    total = 0.0
    for rows in _blocks(cells.shape[0]):
        logits = (cells[rows] @ coefficients.T).astype(np.float64) + parameters[:, -1]
        allowed = allowed_of(rows)
        of_allowed = logsumexp(np.where(allowed, logits, -np.inf), axis=1, keepdims=True)
        of_all = logsumexp(logits, axis=1, keepdims=True)
        weight = weights[rows, None]
        total += float((weight * (of_all - of_allowed)).sum())
        error = np.exp(logits - of_all) - np.where(allowed, np.exp(logits - of_allowed), 0)
        error *= weight
        gradient[:, :-1] += (cells[rows].T @ error.astype(cells.dtype)).T
        gradient[:, -1] += error.sum(axis=0)
    return total


def _blocks(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + ROWS_AT_ONCE) for start in range(0, n_rows, ROWS_AT_ONCE))
