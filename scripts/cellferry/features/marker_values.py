"""Files of marker values instead of counts, for cytometry: transformed, scaled, all stored."""

import numpy as np

from ..artifacts.h5ad_reader import H5adReader
from ..cytometry.marker_names import BACKBONE
from ..resources.memory import BLOCK_BYTES

INTENSITIES = "intensities"
"""Mark of such a file in its annotation."""


def holds_intensities(cells: H5adReader) -> bool:
    """Whether a part's file holds marker values, and not counts of genes."""
    return cells.uns.get("values") == INTENSITIES


def marker_values(cells: H5adReader, rows: np.ndarray) -> np.ndarray:
    """Values of the given rows (ascending): rows × markers, float32; beyond the backbone all are 0.

    A marker missing from a reference would identify references, not labels. As a constant it gets no
    coefficient and no split in training.
    """
    values = np.zeros((len(rows), cells.n_genes), dtype=np.float32)
    # In order: a cell has so few values that a seek takes longer than reading its neighbors.
    for start, stop in cells.ranges(BLOCK_BYTES):
        first, last = np.searchsorted(rows, [start, stop])
        if first < last:
            values[first:last] = cells.counts(start, stop)[rows[first:last] - start].toarray()
    values[:, ~cells.var[BACKBONE].to_numpy(dtype=bool)] = 0
    return values
