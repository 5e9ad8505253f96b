"""How unlike the reference a cell is, as a p-value: how rarely a held-out cell is as unlike it.

Two things speak for a cell of a type that the reference lacks. It lies far from the reference's cells in the
latent space, or the heads, half of which see its expression itself, cannot tell which label it is: a latent
space that never saw the type may put its cells right among those of another one.

Far is what two distances call far: to the nearest reference cells, relative to how far these are from each
other (`NeighborsHead`), and Mahalanobis' distance to the nearest label. The second alone grows with any shift
between laboratories, so the larger of their two p-values counts. Undecided is the entropy of the calibrated
probabilities. Evidence, minus the log of a p-value, is added up (Fisher 1925). The sum's own p-value is again
taken from held-out cells, for the two are not independent: a cell between two known labels is both.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np
from scipy.special import entr

from ..artifacts.decision import Novelty, Tail

TAIL_SHARE = 0.1
"""Share of held-out cells from which the tail beyond them is continued."""


TORN = float(np.log(2))
"""Entropy of a cell between two labels. One more held-out cell is thought to be one, so that few sure ones do
not put a query outside that is a little less sure (of 51 cells of a cleaner technology, say)."""

LEAST_P = 1e-30
"""What is rarer is as rare as this: the log of 0 is no evidence."""

NO_TAIL = Tail((), 1.0, 0)
"""Of no cells: everything is inside."""


def fit_tail(distances: np.ndarray, *, steps: int = 91) -> Tail:
    """From held-out cells' distances, or what else says how far a cell is; of none everything is inside."""
    if len(distances) == 0:
        return NO_TAIL
    quantiles = np.quantile(distances, np.linspace(0, 1 - TAIL_SHARE, steps))
    beyond = distances[distances >= quantiles[-1]] - quantiles[-1]
    # Not narrower than a hundredth of the distance: few cells may lie close together by chance.
    scale = max(float(beyond.mean()), 0.01 * float(quantiles[-1]), 1e-12)
    return Tail(tuple(map(float, quantiles)), scale, len(beyond))


def p_values(tail: Tail, distances: np.ndarray) -> np.ndarray:
    """Share of held-out cells that are as far or farther, float32.

    Beyond the nearest nine tenths the distances are taken to fall off exponentially. Of a scale that
    few cells show, the next cell's distance is not exponential but Lomax distributed.
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
    """Share of held-out cells that are as unlike the reference or more, float32.

    Parameters
    ----------
    novelty
        What held-out cells taught.
    probabilities, cells
        Calibrated probabilities of the cells (cells × labels), and their distances.

    Returns
    -------
    One per cell; NaN for a cell without a distance, of which nothing is known.
    """
    found = p_values(novelty.evidence, evidence(novelty, probabilities, cells))
    return np.where(np.isnan(cells.distance), np.float32(np.nan), found)


def evidence(novelty: Novelty, probabilities: np.ndarray, cells: Distances) -> np.ndarray:
    """Evidence, 0 or more, that cells are of a type that the reference lacks: far, and undecided."""
    far = np.maximum(
        p_values(novelty.distance, cells.distance), p_values(novelty.label_distance, cells.label_distance)
    )
    undecided = p_values(novelty.entropy, entropies(probabilities))
    return sum(-np.log(np.maximum(each, LEAST_P), dtype=np.float64) for each in (far, undecided))


def entropies(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of each cell's probabilities, in nats."""
    return entr(probabilities).sum(axis=1, dtype=np.float64)
