"""Latents in two dimensions, to look at: the same axes for all queries of a reference."""

from pathlib import Path

import numpy as np

from ..artifacts.latents import blocks, latent_columns, matrix

N_AXES = 2

ROWS = 1 << 12
"""Cells that are held at once, in float64."""


class PrincipalAxes:
    """The two directions in which the reference's cells lie farthest apart.

    Parameters
    ----------
    reference
        Parquet file of the reference's cells that the classifiers learned from, which were drawn evenly over
        labels; it is read in blocks.
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
        # An axis has two directions, of which eigh may give either.
        largest = np.abs(axes).argmax(axis=0)
        self._axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])

    def __call__(self, latents: np.ndarray) -> np.ndarray:
        """Places on the axes: cells × 2, float32; the second is 0 where there is only one latent."""
        places = np.zeros((len(latents), N_AXES), dtype=np.float32)
        places[:, : self._axes.shape[1]] = (latents - self._mean) @ self._axes
        return places
