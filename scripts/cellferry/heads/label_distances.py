"""Distances of cells to the labels of the reference in the latent space."""

import numpy as np

from .arrays import ArraysHead


class LabelDistances(ArraysHead):
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
        of_labels = []
        for code in range(n_labels):
            centred = latents[codes == code] - means[code]
            of_labels.append((centred.T @ centred, len(centred)))
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
        for mean, root in zip(self.means, self.roots, strict=True):
            # In float64, where a product's rounding does not depend on how cells are cut into blocks.
            whitened = (latents - mean).astype(np.float64) @ root.T
            np.minimum(least, np.sqrt(np.square(whitened).sum(axis=1)), out=least, casting="unsafe")
        return least

    def drop_label(self, code: int) -> "LabelDistances":
        """The distances to all labels but one."""
        return LabelDistances(np.delete(self.means, code, axis=0), np.delete(self.roots, code, axis=0))
