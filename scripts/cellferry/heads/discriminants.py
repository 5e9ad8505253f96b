"""Linear discriminants for very many labels (Fisher, Rao), from one factorization.

A multinomial regression takes hundreds of passes over cells × genes × labels; with several candidates of its
shrinkage that is half an hour at 200 labels of 2,000 genes, and grows with their number. If all labels share
one covariance, the same linear model follows from it and from their means. The covariance is that of
cells around the means of their labels, shrunk as Ledoit and Wolf do. Means of few cells are noise in most
directions, so the model is restricted to those few axes in which labels differ most.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_softmax

from ..resources.memory import COVARIANCE_VALUES
from .shrinkage import HeldOut, Values
from .softmax import product
from .temperature import likeliest_temperature

AXES = (25, 50, 100, 200)
"""Numbers of axes to choose from by held-out cells."""

AXES_UNCHECKED = 50
"""Axes without held-out cells."""

LEAST_VARIANCE = 1e-6
"""Minimum variance of a direction, as a share of the mean: constant directions stay finite."""

TEMPERATURES = (0.1, 100.0)


class Discriminants(NamedTuple):
    """Logits of a cell are values @ axes @ coefficients.T + intercepts.

    Attributes
    ----------
    axes
        Genes × axes, float32.
    coefficients, intercepts
        Labels × axes and labels, float32; a label without cells has minus infinity.
    """

    axes: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray


def discriminants(
    values: Values, codes: np.ndarray, held_out: HeldOut | None = None, *, n_labels: int, reduce: bool
) -> Discriminants:
    """Fit the model; all labels weigh the same.

    Parameters
    ----------
    values, codes
        Training cells (cells × genes, dense or CSR) and their labels.
    held_out
        The same of held-out cells, which choose the number of axes and give a temperature, or None.
    n_labels
        Number of labels, of which some may have no cells.
    reduce
        Whether to take the first axes only; all are right where the columns are few.
    """
    sizes = np.bincount(codes, minlength=n_labels)
    known = np.flatnonzero(sizes)
    place = np.full(n_labels, -1)
    place[known] = np.arange(len(known))
    means = label_means(values, place[codes], len(known))
    root = cholesky(_covariance(values, place[codes], means), lower=True)
    whitened = solve_triangular(root, means.T, lower=True).T
    middle = np.average(whitened, axis=0, weights=sizes[known])
    whitened -= middle
    # The error of a mean of n cells is 1 / sqrt(n) in every direction; weights make labels' errors equal.
    weighted = whitened * np.sqrt(sizes[known])[:, None]
    most = min(*whitened.shape)
    if reduce and most > AXES[-1]:
        # Late: only training needs it, and importing it takes longer than predicting a chunk.
        from sklearn.decomposition import TruncatedSVD

        directions = TruncatedSVD(AXES[-1], random_state=0).fit(weighted).components_
    else:
        directions = np.linalg.svd(weighted, full_matrices=False)[2]
    axes = solve_triangular(root, directions.T, lower=True, trans="T")
    places, offset = whitened @ directions.T, directions @ middle
    chosen, temperature = len(directions), 1.0
    if reduce:
        chosen = min(AXES_UNCHECKED, chosen)
        usable = np.flatnonzero(place[held_out[1]] >= 0) if held_out is not None else []
        if len(usable):
            projected = held_out[0][usable] @ axes - offset
            chosen, temperature = _likeliest(projected, place[held_out[1][usable]], places)
    places = places[:, :chosen] / temperature
    coefficients = np.zeros((n_labels, chosen), dtype=np.float32)
    intercepts = np.full(n_labels, -np.inf, dtype=np.float32)
    coefficients[known] = places
    intercepts[known] = -places @ offset[:chosen] - temperature * np.square(places).sum(axis=1) / 2
    return Discriminants(axes[:, :chosen].astype(np.float32), coefficients, intercepts)


def label_means(values: Values, codes: np.ndarray, n_labels: int) -> np.ndarray:
    """Means of labels that all have cells: labels × genes, float64."""
    shares = 1 / np.bincount(codes, minlength=n_labels)[codes]
    means = sparse.csr_matrix((shares, (codes, np.arange(len(codes)))), (n_labels, len(codes))) @ values
    return means.toarray() if sparse.issparse(means) else means


def _covariance(values: Values, codes: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Covariance of cells around their labels' means: genes × genes."""
    n_genes = values.shape[1]
    cells = np.arange(0, len(codes), -(-len(codes) * n_genes // COVARIANCE_VALUES))
    some = values[cells]
    residuals = some.toarray() if sparse.issparse(some) else some.astype(np.float32)
    residuals -= means.astype(np.float32)[codes[cells]]
    # Late: only training needs it, and importing it takes longer than predicting a chunk.
    from sklearn.covariance import ledoit_wolf_shrinkage, shrunk_covariance

    # In two steps: `ledoit_wolf` copies all cells to float64.
    covariance = (residuals.T @ residuals).astype(np.float64) / len(residuals)
    covariance = shrunk_covariance(covariance, ledoit_wolf_shrinkage(residuals, assume_centered=True))
    covariance[np.diag_indices(n_genes)] += max(LEAST_VARIANCE * np.trace(covariance) / n_genes, 1e-12)
    return covariance


def _likeliest(projected: np.ndarray, codes: np.ndarray, places: np.ndarray) -> tuple[int, float]:
    """Number of axes with the lowest log loss on held-out cells (cells × axes), and its temperature."""
    tried = {}
    for n_axes in sorted({min(each, places.shape[1]) for each in AXES}):
        near = places[:, :n_axes]
        logits = product(projected[:, :n_axes], near)
        logits -= (np.square(near).sum(axis=1) / 2).astype(np.float32)
        temperature = likeliest_temperature(
            lambda each, logits=logits: log_softmax(logits / np.float32(each), axis=1),
            codes,
            bounds=TEMPERATURES,
        )
        right = log_softmax(logits / np.float32(temperature), axis=1)[np.arange(len(codes)), codes]
        tried[n_axes] = -float(right.mean(dtype=np.float64)), temperature
    best = min(tried, key=tried.get)
    print(f"{best} axes of linear discriminants: log loss {tried[best][0]:.3f} of held-out cells")
    return best, tried[best][1]
