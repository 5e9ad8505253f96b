"""How far a cell is from the reference, as a p-value: how rarely a held-out cell is as far.

Two distances in the latent space: to the nearest reference cells, relative to how far these are from each
other (`NeighborsHead`), and Mahalanobis' distance to the nearest label. The second alone grows with any shift
between laboratories; a cell is outside only where both say so, hence the larger of the two p-values counts.
"""

import numpy as np

from ..artifacts.decision import Tail

TAIL_SHARE = 0.1
"""Share of held-out cells from which the tail beyond them is continued."""


def fit_tail(distances: np.ndarray, *, steps: int = 91) -> Tail:
    """From held-out cells' distances; of no cells everything is inside."""
    if len(distances) == 0:
        return Tail((), 1.0, 0)
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
