"""CytoVI's labels: an unweighted vote of the nearest reference cells."""

from pathlib import Path

import numpy as np

from ..resources.memory import CYTOVI_NEIGHBORS
from .neighbors import NeighborsHead


class CytoviHead:
    """Shares of the labels among the 20 nearest reference cells.

    The result is that of `scvi.external.CYTOVI.impute_categories_from_reference` for the same neighbors: the
    most frequent label, the first of several; its uncertainty is 1 minus the share. That function stores
    cells × neighbors × labels in float64, 3 GB for a million cells and 20 labels; here neighbors are added
    one by one.

    Parameters
    ----------
    cells
        The reference cells, and the search among them.
    """

    file_name = NeighborsHead.file_name

    def __init__(self, cells: NeighborsHead) -> None:
        self._cells = cells

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Shares of the labels: cells × labels, float32."""
        return self.shares(self._cells.search(latents)[0])

    def shares(self, neighbors: np.ndarray) -> np.ndarray:
        """The same from given nearest reference cells (rows, nearest first)."""
        neighbors = neighbors[:, :CYTOVI_NEIGHBORS]
        votes = np.zeros((len(neighbors), self._cells.n_labels), dtype=np.float32)
        cells = np.arange(len(neighbors))
        for nearest in neighbors.T:
            votes[cells, self._cells.codes[nearest]] += 1
        votes /= neighbors.shape[1]
        return votes

    def save(self, folder: Path) -> None:
        """Write nothing: `NeighborsHead` writes the reference cells."""

    @classmethod
    def load(cls, folder: Path) -> "CytoviHead":
        """Read what `NeighborsHead.save` wrote."""
        return cls(NeighborsHead.load(folder, n_searched=CYTOVI_NEIGHBORS))
