"""Inspection of a dataset's coordinates: missing ones, and cells at the same place."""

import numpy as np
import pandas as pd

from ..artifacts.inspection import InspectedCoordinates
from ..core.problems import Problem
from ..formats import Cells
from ..formats.cell_names import count_repeated
from .dataset import Dataset
from .findings import Findings

MANY = 0.01
"""Share of cells at the same place as another above which a warning is printed."""


class PlaceCounts:
    """Counts of cells with and without coordinates, collected block by block; 8 bytes per cell.

    Attributes
    ----------
    columns
        Columns to read; empty if the dataset has no coordinates or lacks the named columns.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        coordinates = dataset.coordinates
        is_there = coordinates.is_element or set(coordinates.columns) <= set(dataset.obs_columns)
        self.columns = dataset.coordinate_columns if is_there else []
        self._n_cells = self._n_missing = 0
        self._hashes: list[np.ndarray] = []

    def add(self, cells: Cells, kept: np.ndarray) -> None:
        """Count the kept cells of a block."""
        if not self.columns:
            return
        places = pd.DataFrame({column: cells.obs[column][kept] for column in self.columns})
        is_there = np.isfinite(places[self._dataset.coordinates.axes]).all(axis=1)
        self._n_cells += int(is_there.sum())
        self._n_missing += int((~is_there).sum())
        self._hashes.append(pd.util.hash_pandas_object(places[is_there], index=False).to_numpy())

    def findings(self) -> Findings:
        """Counts of cells with and without coordinates, with problems and warnings."""
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
            what = f"{source} contains no coordinates for any of the {n_cells:,} cells of {path}"
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
                "are labeled, with NaN in obsm/spatial, and are not on the map"
            )
        if repeated > MANY * self._n_cells:
            warnings.append(
                f"{path}: {repeated:,} of {self._n_cells:,} cells have the same place as another in "
                f"{source}; if these are coordinates within fields of view, name those of the "
                f"whole section in {key}"
            )
        return Findings({"coordinates": found}, warnings=warnings)
