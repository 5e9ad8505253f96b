"""Distances of cells to the labels of the reference in the latent space."""

from functools import cached_property

import numba
import numpy as np

from ..config.available_heads import MANY_LABELS
from .arrays import ArraysHead
from .softmax import product

MEASURED = 1.5
"""Search radius for very many labels: multiple of the smallest distance under one shared covariance."""


class LabelDistances(ArraysHead):
    """Mahalanobis' distance to the nearest label.

    Parameters
    ----------
    means
        Means of the labels: labels × L.
    roots
        Whitening matrices (labels × L × L): a label's covariance becomes the unit matrix.
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
        of_labels = []
        for code in range(n_labels):
            centered = latents[codes == code] - means[code]
            of_labels.append((centered.T @ centered, len(centered)))
            pooled += of_labels[-1][0]
        pooled /= max(1, len(codes) - n_labels)
        pooled += np.eye(n_latent) * max(1e-6 * np.trace(pooled) / n_latent, 1e-12)
        borrowed = 2 * n_latent
        covariances = [(scatter + borrowed * pooled) / (n + borrowed) for scatter, n in of_labels]
        roots = np.linalg.inv(np.linalg.cholesky(np.stack(covariances)))
        return cls(means.astype(np.float32), roots.astype(np.float32))

    def nearest(self, latents: np.ndarray) -> np.ndarray:
        """Distance of each cell to its nearest label, float32."""
        least = np.full(len(latents), np.inf, dtype=np.float32)
        if len(self.means) > MANY_LABELS:
            _measure_near(latents, self.means, self.roots, self._by_mean_root(latents), least)
            return least
        for mean, root in zip(self.means, self.roots, strict=True):
            # In float64, where a product's rounding does not depend on how cells are cut into blocks.
            whitened = (latents - mean).astype(np.float64) @ root.T
            np.minimum(least, np.sqrt(np.square(whitened).sum(axis=1)), out=least, casting="unsafe")
        return least

    @cached_property
    def _mean_root(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean root, the middle of the labels, and by these the labels' means."""
        root, middle = self.roots.mean(axis=0), self.means.mean(axis=0)
        return root, middle, (self.means - middle) @ root.T

    def _by_mean_root(self, latents: np.ndarray) -> np.ndarray:
        """Squared distances to all labels under one shared covariance: cells × labels, float32."""
        root, middle, means = self._mean_root
        cells = (latents - middle) @ root.T
        found = product(cells, -2 * means)
        found += np.square(means).sum(axis=1)
        found += np.square(cells).sum(axis=1)[:, None]
        return found

    def drop_label(self, code: int) -> "LabelDistances":
        """The distances to all labels but one."""
        return LabelDistances(np.delete(self.means, code, axis=0), np.delete(self.roots, code, axis=0))


@numba.njit(cache=True)
def _measure_near(
    latents: np.ndarray, means: np.ndarray, roots: np.ndarray, near: np.ndarray, least: np.ndarray
) -> None:
    """Write to `least` each cell's distance to the nearest label, of those that are near by `near`.

    Roots are lower triangles. The sum for a label stops as soon as it exceeds the smallest.
    """
    n_latents = latents.shape[1]
    centered = np.empty(n_latents, dtype=np.float64)
    for cell in range(len(latents)):
        # Rounding may leave less than 0.
        bound = MEASURED * MEASURED * max(near[cell].min(), 1e-3)
        best = np.inf
        for label in range(len(means)):
            if near[cell, label] > bound:
                continue
            squared = 0.0
            for row in range(n_latents):
                centered[row] = latents[cell, row] - means[label, row]
                whitened = 0.0
                for column in range(row + 1):
                    whitened += roots[label, row, column] * centered[column]
                squared += whitened * whitened
                if squared >= best:
                    break
            best = min(best, squared)
        least[cell] = np.sqrt(best)
