"""How far a cell is from the reference, as a p-value: how rarely a held-back cell is as far.

Two distances in the latent space: to the nearest reference cells, relative to how far these are from each
other (`NeighborsHead`), and Mahalanobis' distance to the nearest label. The second alone grows with any shift
between laboratories; a cell is outside only where both say so, hence the larger of the two p-values counts.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

TAIL_SHARE = 0.1
"""Share of held-back cells from which the tail beyond them is continued."""


class LabelDistances:
    """Mahalanobis' distance to the nearest label.

    Parameters
    ----------
    means
        Of the labels: labels × L.
    roots
        Matrices (labels × L × L) that make a label's covariance the unit matrix.
    """

    file_name = "label_distances.npz"

    def __init__(self, means: np.ndarray, roots: np.ndarray) -> None:
        self.means = means
        self.roots = roots

    @classmethod
    def train(cls, latents: np.ndarray, codes: np.ndarray, *, n_labels: int) -> "LabelDistances":
        """From training cells; a label of few cells borrows from the covariance within all labels.

        2 L cells weigh as much as all labels together (Ledoit and Wolf's shrinkage, with a fixed weight).
        """
        n_latent = latents.shape[1]
        means = np.stack([latents[codes == code].mean(axis=0, dtype=np.float64) for code in range(n_labels)])
        pooled = np.zeros((n_latent, n_latent))
        own = []
        for code in range(n_labels):
            centred = latents[codes == code] - means[code]
            own.append((centred.T @ centred, len(centred)))
            pooled += own[-1][0]
        pooled /= max(1, len(codes) - n_labels)
        pooled += np.eye(n_latent) * max(1e-6 * np.trace(pooled) / n_latent, 1e-12)
        borrowed = 2 * n_latent
        covariances = [(scatter + borrowed * pooled) / (n + borrowed) for scatter, n in own]
        roots = np.linalg.inv(np.linalg.cholesky(np.stack(covariances)))
        return cls(means.astype(np.float32), roots.astype(np.float32))

    def nearest(self, latents: np.ndarray) -> np.ndarray:
        """Distance of each cell to its nearest label, float32."""
        least = np.full(len(latents), np.inf, dtype=np.float32)
        for mean, root in zip(self.means, self.roots, strict=True):
            # In float64, where a product's rounding does not depend on how cells are cut into blocks.
            whitened = (latents - mean).astype(np.float64) @ root.T
            np.minimum(least, np.sqrt(np.square(whitened).sum(axis=1)), out=least, casting="unsafe")
        return least

    def without(self, code: int) -> "LabelDistances":
        """The distances to all labels but one."""
        return LabelDistances(np.delete(self.means, code, axis=0), np.delete(self.roots, code, axis=0))

    def save(self, folder: Path) -> None:
        """Write the arrays as npz."""
        np.savez(folder / self.file_name, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> "LabelDistances":
        """Read what `save` wrote."""
        with np.load(folder / cls.file_name, allow_pickle=False) as arrays:
            return cls(**arrays)


@dataclass(frozen=True)
class Tail:
    """How rarely a held-back cell is as far.

    Attributes
    ----------
    quantiles
        Distances of held-back cells at even steps of rank, from the nearest to where the tail begins; none
        if there were no cells.
    scale
        Mean distance beyond there of the cells that are farther.
    cells
        How many these are.
    """

    quantiles: tuple[float, ...]
    scale: float
    cells: int

    @classmethod
    def fit(cls, distances: np.ndarray, *, steps: int = 91) -> "Tail":
        """From held-back cells' distances; of no cells everything is inside."""
        if len(distances) == 0:
            return cls((), 1.0, 0)
        quantiles = np.quantile(distances, np.linspace(0, 1 - TAIL_SHARE, steps))
        beyond = distances[distances >= quantiles[-1]] - quantiles[-1]
        # Not narrower than a hundredth of the distance: few cells may lie close together by chance.
        scale = max(float(beyond.mean()), 0.01 * float(quantiles[-1]), 1e-12)
        return cls(tuple(map(float, quantiles)), scale, len(beyond))

    def p_values(self, distances: np.ndarray) -> np.ndarray:
        """Share of held-back cells that are as far or farther, float32.

        Beyond the nearest nine tenths the distances are taken to fall off exponentially. Of a scale that
        few cells show, the next cell's distance is not exponential but Lomax distributed.
        """
        if not self.quantiles:
            return np.ones(len(distances), dtype=np.float32)
        edge = self.quantiles[-1]
        within = np.interp(distances, self.quantiles, np.linspace(1, TAIL_SHARE, len(self.quantiles)))
        excess = np.maximum(distances - edge, 0) / (self.cells * self.scale)
        return np.where(distances > edge, TAIL_SHARE * (1 + excess) ** -self.cells, within).astype(np.float32)
