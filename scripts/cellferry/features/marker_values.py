"""Files of marker values in the place of counts, as cytometry has them: transformed, scaled, all stored."""

import numpy as np

from ..artifacts.h5ad_reader import H5adReader
from ..cytometry.marker_names import BACKBONE
from ..resources.memory import BLOCK_BYTES

INTENSITIES = "intensities"
"""What such a file holds by its own words."""


def holds_intensities(cells: H5adReader) -> bool:
    """Whether a part's file holds marker values, and not counts of genes."""
    return cells.uns.get("values") == INTENSITIES


def marker_values(cells: H5adReader, rows: np.ndarray) -> np.ndarray:
    """Values of the given rows (ascending): rows × markers, float32; beyond the backbone all are 0.

    A marker that some reference lacks tells references apart and not labels. Being constant, it gets no
    coefficient and no split from what is trained on these values.
    """
    values = np.zeros((len(rows), cells.n_genes), dtype=np.float32)
    # From front to back: a cell has so few values that seeking it takes longer than reading its neighbors.
    for start, stop in cells.ranges(BLOCK_BYTES):
        first, last = np.searchsorted(rows, [start, stop])
        if first < last:
            values[first:last] = cells.counts(start, stop)[rows[first:last] - start].toarray()
    values[:, ~cells.var[BACKBONE].to_numpy(dtype=bool)] = 0
    return values
