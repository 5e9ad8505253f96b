"""The nearest reference dataset of a cell, by the distance to the dataset's own cells.

Several references that are trained together have one latent space. A cell's distance to one of them is that
of `NeighborsHead` among the cells of this dataset alone: relative to how far these lie from each other, so
that large and small, dense and sparse datasets are comparable. Shares among the nearest cells of all datasets
are not: a dataset with a hundredth of the cells is rarely among the nearest 15, even for cells like its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .nearest import MIN_SEARCHED
from .neighbors import NeighborsHead


class NearestReferences(NamedTuple):
    """The nearest reference datasets of a block of cells.

    Attributes
    ----------
    names
        Name of the nearest dataset of each cell.
    distance, next_distance
        Distance to it and to the second nearest; 1 is as far as the farthest 1 % of a dataset's own cells lie
        from its others.
    """

    names: np.ndarray
    distance: np.ndarray
    next_distance: np.ndarray


class ReferenceDatasets:
    """Distances to the cells of each of several reference datasets; stored as npz.

    Parameters
    ----------
    names
        Names of the datasets.
    codes
        Dataset of each searched cell, -1 for a dataset with too few cells to compare.
    datasets
        By dataset, the search among its cells.
    """

    file_name = "reference_datasets.npz"

    def __init__(self, names: list[str], codes: np.ndarray, datasets: list[NeighborsHead]) -> None:
        self.names = names
        self.codes = codes
        self.datasets = datasets

    @classmethod
    def train(
        cls, latents: np.ndarray, codes: np.ndarray, names: list[str], *, n_neighbors: int
    ) -> "ReferenceDatasets | None":
        """Build it from the cells to search.

        `far` is set from these cells, not from held-out ones: some datasets hold out whole donors and others
        do not, which would make their distances incomparable.

        Parameters
        ----------
        latents, codes
            The cells, and the dataset of each.
        names
            Datasets by code.
        n_neighbors
            Nearest cells whose mean distance counts; a dataset of no more cells than these is not compared.

        Returns
        -------
        None where fewer than two datasets can be compared.
        """
        sizes = np.bincount(codes, minlength=len(names))
        compared = np.flatnonzero(sizes > n_neighbors)
        for code in np.flatnonzero(sizes <= n_neighbors):
            print(f"{names[code]}: {sizes[code]} training cells are too few to be a cell's nearest reference")
        if len(compared) < 2:
            return None
        number = np.full(len(names), -1, dtype=np.int16)
        number[compared] = np.arange(len(compared))
        datasets = [
            NeighborsHead.train(
                own := latents[codes == code],
                np.zeros(len(own), dtype=np.int32),
                own[:0],
                n_neighbors=n_neighbors,
                n_labels=1,
            )
            for code in compared
        ]
        return cls([names[code] for code in compared], number[codes], datasets)

    def nearest(self, latents: Sequence[np.ndarray]) -> NearestReferences:
        """Nearest datasets of cells; of two mappings the smaller distance to each counts.

        Parameters
        ----------
        latents
            Of the cells, by each mapping.
        """
        distances = np.stack(
            [
                np.minimum.reduce([dataset.distance_of(*dataset.search(each)) for each in latents])
                for dataset in self.datasets
            ],
            axis=1,
        )
        order = np.argsort(distances, axis=1, kind="stable")
        best, second = (np.take_along_axis(distances, order[:, [place]], axis=1)[:, 0] for place in (0, 1))
        return NearestReferences(np.array(self.names, dtype=object)[order[:, 0]], best, second)

    @property
    def held_bytes(self) -> int:
        """Bytes of the datasets' cells and of searching them."""
        return 3 * sum(dataset.latents.nbytes for dataset in self.datasets)

    def save(self, folder: Path) -> None:
        """Write all but the latents, which `NeighborsHead` writes."""
        spread = np.zeros(len(self.codes), dtype=np.float32)
        groups = np.zeros(len(self.codes), dtype=np.int32)
        for number, dataset in enumerate(self.datasets):
            spread[self.codes == number], groups[self.codes == number] = dataset.spread, dataset.groups
        np.savez(
            folder / self.file_name,
            names=np.array(self.names, dtype=np.str_),
            codes=self.codes,
            spread=spread,
            groups=groups,
            far=np.array([dataset.far for dataset in self.datasets]),
            n_neighbors=self.datasets[0].n_neighbors,
        )

    @classmethod
    def load(cls, folder: Path, latents: np.ndarray) -> "ReferenceDatasets | None":
        """Read what `save` wrote; None of a reference of one dataset.

        Parameters
        ----------
        folder
            Folder of the classifiers.
        latents
            Those that `NeighborsHead` read from it.
        """
        if not (folder / cls.file_name).exists():
            return None
        with np.load(folder / cls.file_name, allow_pickle=False) as arrays:
            stored = dict(arrays)
        codes, names = stored["codes"], stored["names"].tolist()
        datasets = []
        for number, far in enumerate(stored["far"].tolist()):
            rows = np.flatnonzero(codes == number)
            datasets.append(
                NeighborsHead(
                    latents[rows],
                    np.zeros(len(rows), dtype=np.int32),
                    stored["spread"][rows],
                    stored["groups"][rows],
                    n_neighbors=int(stored["n_neighbors"]),
                    n_labels=1,
                    far=far,
                    # Together the datasets' searches cost no more than the one among all cells.
                    min_searched=MIN_SEARCHED // len(names),
                )
            )
        return cls(names, codes, datasets)
