"""Coordinates of cells in h5ad files between rules: obs columns, one per axis, float64.

float32 would hold pixels of a whole slide to some hundredths only; squidpy and scanpy take either.
"""

import numpy as np

from .h5ad_layout import AXES
from .h5ad_reader import H5adReader


def axes_of(reader: H5adReader) -> list[str]:
    """The axes that a file has; empty without coordinates."""
    return [axis for axis in AXES if axis in reader.obs_columns]


def read_places(reader: H5adReader, axes: list[str], start: int, stop: int) -> np.ndarray:
    """Coordinates of cells `start` to `stop`: cells × axes, float64, NaN where they are missing."""
    return np.column_stack([reader.obs(axis, start, stop) for axis in axes])
