"""CytoVI's own way to give labels: a vote of the nearest reference cells, each of one voice."""

from pathlib import Path

import numpy as np

from ..resources.memory import CYTOVI_NEIGHBORS
from .neighbors import NeighborsHead


class CytoviHead:
    """Shares of the labels among the 20 nearest reference cells.

    What `scvi.external.CYTOVI.impute_categories_from_reference` answers if it finds the same neighbors: the
    label that most of them have, the first of several; its uncertainty is 1 less the share. On the way it
    holds cells × neighbors × labels in float64, 3 GB for a million cells and 20 labels; here a block's cells
    hear one neighbor after the other.

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
        """The same for cells whose nearest reference cells (rows, nearest first) are known."""
        neighbors = neighbors[:, :CYTOVI_NEIGHBORS]
        votes = np.zeros((len(neighbors), self._cells.n_labels), dtype=np.float32)
        cells = np.arange(len(neighbors))
        for nearest in neighbors.T:
            votes[cells, self._cells.codes[nearest]] += 1
        votes /= neighbors.shape[1]
        return votes

    def save(self, folder: Path) -> None:
        """Nothing: `NeighborsHead` writes the reference cells."""

    @classmethod
    def load(cls, folder: Path) -> "CytoviHead":
        """Read what `NeighborsHead.save` wrote."""
        return cls(NeighborsHead.load(folder, n_searched=CYTOVI_NEIGHBORS))
