"""A vote of the nearest reference cells in the latent space; stored as parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..artifacts.latents import REFERENCE_CELLS, matrix
from .nearest import MIN_SEARCHED, NearestCells, grouped

FAR_QUANTILE = 0.99
"""Share of held-out cells that are nearer to the reference than `far`."""

TINY = np.finfo(np.float32).tiny


class NeighborsHead:
    """A vote of the nearest reference cells, weighted by inverse distance.

    Parameters
    ----------
    latents, codes
        The reference cells.
    spread
        Mean distance of each reference cell to its own nearest neighbors.
    groups
        Group of each reference cell, see `cellferry.heads.nearest`.
    n_neighbors
        Cells that vote; all of them if the reference has fewer.
    n_labels
        Number of labels.
    n_searched
        Nearest cells to find, if another head needs more than `n_neighbors`.
    far
        The relative distance that 1 % of held-out cells exceed, see `vote`.
    min_searched
        See `cellferry.heads.nearest.NearestCells`.
    """

    file_name = REFERENCE_CELLS

    def __init__(
        self,
        latents: np.ndarray,
        codes: np.ndarray,
        spread: np.ndarray,
        groups: np.ndarray,
        *,
        n_neighbors: int,
        n_labels: int,
        n_searched: int = 0,
        far: float = 1.0,
        min_searched: int = MIN_SEARCHED,
    ) -> None:
        self.latents = latents
        self.codes = codes
        self.spread = spread
        self.groups = groups
        self.n_neighbors = min(n_neighbors, len(codes))
        self.n_labels = n_labels
        self.n_searched = min(max(n_neighbors, n_searched), len(codes))
        self.far = far
        self._nearest = NearestCells(latents, groups, self.n_searched, min_searched=min_searched)

    @classmethod
    def train(
        cls,
        latents: np.ndarray,
        codes: np.ndarray,
        validation_latents: np.ndarray,
        *,
        n_neighbors: int,
        n_labels: int,
    ) -> "NeighborsHead":
        """Keep all cells, and set `far` from the validation's latents if there are any."""
        # One more neighbor, since the first one is the cell itself.
        n_others = min(n_neighbors, len(latents) - 1)
        groups = grouped(latents)
        nearest, distances = NearestCells(latents, groups, n_others + 1).search(latents)
        spread = distances[:, 1:].mean(axis=1)
        head = cls(latents, codes, spread, groups, n_neighbors=n_neighbors, n_labels=n_labels)
        if len(validation_latents):
            head.far = float(np.quantile(head.distance_of(*head.search(validation_latents)), FAR_QUANTILE))
        else:
            relative = spread / np.maximum(spread[nearest[:, 1:]].mean(axis=1), TINY)
            head.far = float(np.quantile(relative, FAR_QUANTILE))
        return head

    def search(self, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the nearest reference cells, nearest first, and their distances: cells × `n_searched`."""
        return self._nearest.search(latents)

    def vote(self, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the labels, and how far the cells are from the reference; see `vote_of`."""
        return self.vote_of(*self.search(latents))

    def vote_of(self, neighbors: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vote of the nearest of what `search` found.

        Returns
        -------
        probabilities
            Cells × labels.
        distance
            See `distance_of`.
        """
        relative = self.distance_of(neighbors, distances)
        neighbors, distances = neighbors[:, : self.n_neighbors], distances[:, : self.n_neighbors]
        votes = np.zeros((len(neighbors), self.n_labels), dtype=np.float32)
        # A duplicate of a reference cell must not outweigh all other neighbors: distances are at least a
        # tenth of their mean.
        mean = np.maximum(distances.mean(axis=1), TINY)
        weights = 1 / np.maximum(distances, mean[:, None] / 10)
        weights /= weights.sum(axis=1, keepdims=True)
        cells = np.arange(len(neighbors))
        for nearest, weight in zip(neighbors.T, weights.T, strict=True):
            votes[cells, self.codes[nearest]] += weight
        return votes, relative

    def distance_of(self, neighbors: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """How far cells are from the reference, by the nearest of what `search` found.

        Per cell (float32), the mean distance to its neighbors over the neighbors' own `spread`, so that
        sparse and dense parts of the reference are comparable. Divided by `far`: 1 is the 99th percentile of
        held-out cells; a cell above may be of a new type.
        """
        neighbors, distances = neighbors[:, : self.n_neighbors], distances[:, : self.n_neighbors]
        mean = np.maximum(distances.mean(axis=1), TINY)
        spread = np.maximum(self.spread[neighbors].mean(axis=1), TINY)
        return (mean / spread / self.far).astype(np.float32)

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels."""
        return self.vote(latents)[0]

    def drop_label(self, code: int) -> "NeighborsHead":
        """The same head on the cells of all labels but one; labels behind it move up."""
        kept = self.codes != code
        return NeighborsHead(
            self.latents[kept],
            self.codes[kept] - (self.codes[kept] > code),
            self.spread[kept],
            np.unique(self.groups[kept], return_inverse=True)[1].astype(np.int32),
            n_neighbors=self.n_neighbors,
            n_labels=self.n_labels - 1,
            n_searched=self.n_searched,
            far=self.far,
        )

    def save(self, folder: Path) -> None:
        """Write the reference cells as parquet, with the three numbers of the vote beside its schema."""
        columns = {"code": self.codes.astype(np.int32), "spread": self.spread, "group": self.groups}
        columns |= {f"latent_{number}": column for number, column in enumerate(self.latents.T)}
        settings = {name: str(getattr(self, name)) for name in ("n_neighbors", "n_labels", "far")}
        pq.write_table(pa.table(columns).replace_schema_metadata(settings), folder / self.file_name)

    @classmethod
    def load(cls, folder: Path, *, n_searched: int = 0) -> "NeighborsHead":
        """Read what `save` wrote; for `n_searched` see the class."""
        table = pq.read_table(folder / cls.file_name)
        settings = table.schema.metadata
        return cls(
            matrix(table, table.column_names[3:]),
            *(table.column(name).to_numpy() for name in ("code", "spread", "group")),
            n_neighbors=int(settings[b"n_neighbors"]),
            n_labels=int(settings[b"n_labels"]),
            n_searched=n_searched,
            far=float(settings[b"far"]),
        )
