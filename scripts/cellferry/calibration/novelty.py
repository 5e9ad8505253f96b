"""Novelty of a cell as a p-value: the share of held-out cells that are as unlike the reference.

A cell of a type missing from the reference shows in two ways. Its latents are far from the reference's cells,
or the heads, half of which use expression, are undecided between labels: latents may place an unseen type
among the cells of another type.

Distance has two measures: the distance to the nearest reference cells, relative to their distances from each
other (`NeighborsHead`), and the Mahalanobis distance to the nearest label. The second grows with any shift
between laboratories, so the larger of their p-values is used. Indecision is the entropy of the calibrated
probabilities. Evidence, the negative log of a p-value, is summed (Fisher 1925). The sum's p-value comes from
held-out cells too, since the two are not independent: a cell between two labels has both.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np
from scipy.special import entr

from ..artifacts.decision import Novelty, Tail

TAIL_SHARE = 0.1
"""Share of held-out cells that the fitted tail starts from."""


TORN = float(np.log(2))
"""Entropy of a cell between two labels.

One such cell is added to the held-out ones, so that few certain cells do not make a slightly less certain
query novel (such as 51 cells of a cleaner technology).
"""

LEAST_P = 1e-30
"""Lower bound of p-values, since the log of 0 is infinite."""

NO_TAIL = Tail((), 1.0, 0)
"""Result without held-out cells: nothing is novel."""


def fit_tail(distances: np.ndarray, *, steps: int = 91) -> Tail:
    """Fit to a measure of novelty in held-out cells; without cells nothing is novel."""
    if len(distances) == 0:
        return NO_TAIL
    quantiles = np.quantile(distances, np.linspace(0, 1 - TAIL_SHARE, steps))
    beyond = distances[distances >= quantiles[-1]] - quantiles[-1]
    # At least a hundredth of the distance: a few cells may be close together by chance.
    scale = max(float(beyond.mean()), 0.01 * float(quantiles[-1]), 1e-12)
    return Tail(tuple(map(float, quantiles)), scale, len(beyond))


def p_values(tail: Tail, distances: np.ndarray) -> np.ndarray:
    """Share of held-out cells that are at least as far, float32.

    Beyond the nearest nine tenths, distances are modeled as exponential. With a scale estimated from few
    cells, the predictive distribution is Lomax.
    """
    if not tail.quantiles:
        return np.ones(len(distances), dtype=np.float32)
    edge = tail.quantiles[-1]
    within = np.interp(distances, tail.quantiles, np.linspace(1, TAIL_SHARE, len(tail.quantiles)))
    excess = np.maximum(distances - edge, 0) / (tail.cells * tail.scale)
    return np.where(distances > edge, TAIL_SHARE * (1 + excess) ** -tail.cells, within).astype(np.float32)


class Distances(Protocol):
    """Distances of cells to the reference; see `cellferry.heads.classifier.HeadOutputs`."""

    distance: np.ndarray
    label_distance: np.ndarray


def learn_novelty(probabilities: np.ndarray, cells: Distances) -> Novelty:
    """From held-out cells: their calibrated probabilities (cells × labels) and distances."""
    parts = Novelty(
        distance=fit_tail(cells.distance),
        label_distance=fit_tail(cells.label_distance),
        entropy=fit_tail(np.append(entropies(probabilities), TORN)),
        evidence=NO_TAIL,
    )
    return replace(parts, evidence=fit_tail(evidence(parts, probabilities, cells)))


def ood_pvalues(novelty: Novelty, probabilities: np.ndarray, cells: Distances) -> np.ndarray:
    """Share of held-out cells that are at least as unlike the reference, float32.

    Parameters
    ----------
    novelty
        The fit to held-out cells.
    probabilities, cells
        Calibrated probabilities of the cells (cells × labels), and their distances.

    Returns
    -------
    One per cell; NaN for a cell without a distance.
    """
    found = p_values(novelty.evidence, evidence(novelty, probabilities, cells))
    return np.where(np.isnan(cells.distance), np.float32(np.nan), found)


def evidence(novelty: Novelty, probabilities: np.ndarray, cells: Distances) -> np.ndarray:
    """Evidence (≥ 0) for types missing from the reference: distance plus indecision."""
    far = np.maximum(
        p_values(novelty.distance, cells.distance), p_values(novelty.label_distance, cells.label_distance)
    )
    undecided = p_values(novelty.entropy, entropies(probabilities))
    return sum(-np.log(np.maximum(each, LEAST_P), dtype=np.float64) for each in (far, undecided))


def entropies(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of each cell's probabilities, in nats."""
    return entr(probabilities).sum(axis=1, dtype=np.float64)
