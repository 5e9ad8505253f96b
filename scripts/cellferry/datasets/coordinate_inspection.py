"""A look at the coordinates of a dataset's cells: missing ones, and cells at one place."""

import numpy as np
import pandas as pd

from ..artifacts.inspection import InspectedCoordinates
from ..core.problems import Problem
from ..formats import Cells
from ..formats.cell_names import count_repeated
from .dataset import Dataset
from .findings import Findings

MANY = 0.01
"""Share of cells at the place of another from which on a warning is due."""


class PlaceCounts:
    """Counts of cells with and without coordinates, taken block by block; 8 bytes a cell.

    Attributes
    ----------
    columns
        Columns to read: none where the dataset has no coordinates, or lacks the columns that are named.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        coordinates = dataset.coordinates
        is_there = coordinates.is_element or set(coordinates.columns) <= set(dataset.obs_columns)
        self.columns = dataset.coordinate_columns if is_there else []
        self._n_cells = self._n_missing = 0
        self._hashes: list[np.ndarray] = []

    def add(self, cells: Cells, kept: np.ndarray) -> None:
        """Count some cells, those that are kept."""
        if not self.columns:
            return
        places = pd.DataFrame({column: cells.obs[column][kept] for column in self.columns})
        is_there = np.isfinite(places[self._dataset.coordinates.axes]).all(axis=1)
        self._n_cells += int(is_there.sum())
        self._n_missing += int((~is_there).sum())
        self._hashes.append(pd.util.hash_pandas_object(places[is_there], index=False).to_numpy())

    def findings(self) -> Findings:
        """What was found, and problems and warnings of it."""
        coordinates, path = self._dataset.coordinates, self._dataset.header.path
        key = self._dataset.key("coordinates")
        warnings = [
            f"{path}: coordinates are missing: there is no {table.name} in {table.parent}; copy it there, or "
            f"give a table with them as `obs` and name its columns in {key}"
            for table in coordinates.missing[:1]
        ]
        if not self.columns or not self._n_cells + self._n_missing:
            return Findings(warnings=warnings)
        source, n_cells = coordinates.source.name, self._n_cells + self._n_missing
        repeated = count_repeated(self._hashes)
        found = InspectedCoordinates(source, self._n_cells, self._n_missing, repeated)
        print(f"coordinates of {self._n_cells:,} of {n_cells:,} cells are in {source}")
        if not self._n_cells:
            what = f"{source} holds coordinates for none of the {n_cells:,} cells of {path}"
            remedy = "name the right ones, or set it to none"
            return Findings({"coordinates": found}, problems=[Problem(key, what, remedy)], warnings=warnings)
        if coordinates.others:
            warnings.append(
                f"{path}: has coordinates in {source} and in {coordinates.others[0].name}; the first are "
                f"used: name the right ones in {key}"
            )
        if self._n_missing:
            warnings.append(
                f"{path}: {self._n_missing:,} of {n_cells:,} cells have no coordinates in {source}; they "
                "are labeled, have NaN in obsm/spatial, and are not on the map"
            )
        if repeated > MANY * self._n_cells:
            warnings.append(
                f"{path}: {repeated:,} of {self._n_cells:,} cells lie where another does by {source}: are "
                f"these coordinates within fields of view? Name those of the whole section in {key}"
            )
        return Findings({"coordinates": found}, warnings=warnings)
