"""Two principal axes of the latent space, the same for all queries of a reference."""

from pathlib import Path

import numpy as np

from ..artifacts.latents import blocks, latent_columns, matrix

N_AXES = 2

ROWS = 1 << 12
"""Cells that are held at once, in float64."""


class PrincipalAxes:
    """The two directions of largest variance of the reference's cells.

    Parameters
    ----------
    reference
        Parquet file of the reference's cells that trained the classifiers, sampled evenly over labels; it
        is read in blocks.
    """

    def __init__(self, reference: str | Path) -> None:
        columns = latent_columns([reference])
        n, total = 0, np.zeros(len(columns))
        products = np.zeros((len(columns), len(columns)))
        for block in blocks([reference], columns, rows=ROWS):
            latents = matrix(block, columns).astype(np.float64)
            n += len(latents)
            total += latents.sum(axis=0)
            products += latents.T @ latents
        self._mean = total / n
        # Ascending by the variance along them.
        _, directions = np.linalg.eigh(products / n - np.outer(self._mean, self._mean))
        axes = directions[:, ::-1][:, :N_AXES]
        # The sign of an axis from eigh is arbitrary.
        largest = np.abs(axes).argmax(axis=0)
        self._axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])

    def __call__(self, latents: np.ndarray) -> np.ndarray:
        """Coordinates on the axes: cells × 2, float32; with a single latent the second is 0."""
        places = np.zeros((len(latents), N_AXES), dtype=np.float32)
        places[:, : self._axes.shape[1]] = (latents - self._mean) @ self._axes
        return places
