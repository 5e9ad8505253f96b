"""Coordinates of a dataset's cells: their source and their values.

A source is an element of obsm, a pair of obs columns, or a table that an instrument wrote beside the counts.
Coordinates stay unchanged, in float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..artifacts.h5ad_layout import AXES
from ..config.spatial import INSTRUMENTS, CellTable, cell_table
from ..errors import InputError
from ..formats import Header
from ..formats.anndata_store import OBSM
from .obs_table import ObsTable
from .parquet_table import open_table

ELEMENTS = ("spatial", "X_spatial")
"""Elements of obsm that may contain coordinates."""


@dataclass(frozen=True)
class CoordinateSource:
    """A source of coordinates.

    Attributes
    ----------
    name
        Name for messages.
    columns
        One column per axis, of the dataset or of the tables.
    tables
        Table beside each file, by number of the file.
    """

    name: str
    columns: tuple[str, ...]
    tables: dict[int, ObsTable] = field(default_factory=dict)


class Coordinates:
    """The coordinates of a dataset.

    Parameters
    ----------
    setting
        Value of the key `coordinates`.
    key
        Full name of the key, for messages.
    headers
        Headers of the files.
    obs_columns
        Columns of the files and of annotation tables.

    Attributes
    ----------
    source
        The source, or None.
    others
        Further sources, not read.
    missing
        Tables that are expected beside files but missing.

    Raises
    ------
    InputError
        If the element of obsm in the configuration is missing or contains no coordinates.
    """

    def __init__(
        self, setting: str | list[str], key: str, headers: Sequence[Header], obs_columns: list[str]
    ) -> None:
        self._key = key
        self.missing: list[Path] = []
        found: list[CoordinateSource] = []
        if isinstance(setting, list):
            found.append(CoordinateSource(f"obs columns {', '.join(setting)}", tuple(setting)))
        elif setting == "auto":
            found = list(self._automatic(headers, obs_columns))
        elif setting.startswith(OBSM):
            found.append(self._element(setting.removeprefix(OBSM), headers))
        self.source = found[0] if found else None
        self.others = found[1:]

    def _automatic(self, headers: Sequence[Header], obs_columns: list[str]) -> Iterator[CoordinateSource]:
        for name in ELEMENTS:
            widths = {header.obsm.get(name) for header in headers}
            if widths in ({2}, {3}):
                yield _element(name, widths.pop())
        beside = {
            number: table for number, header in enumerate(headers) if (table := cell_table(header.path))
        }
        there = {number: table for number, table in beside.items() if table.paths}
        self.missing = [
            headers[number].path.parent / table.expected
            for number, table in beside.items()
            if number not in there and not obs_columns
        ]
        if there:
            yield self._tables(there)
        for instrument in INSTRUMENTS:
            if set(instrument.columns) <= set(obs_columns):
                yield CoordinateSource(f"obs columns {', '.join(instrument.columns)}", instrument.columns)

    def _tables(self, beside: dict[int, CellTable]) -> CoordinateSource:
        opened = {number: open_table(table.paths[0], self._key) for number, table in beside.items()}
        columns = next(iter(beside.values())).columns
        for table in opened.values():
            if lacking := [column for column in columns if column not in table.columns]:
                raise InputError(
                    f"{table.path}: has no column '{lacking[0]}' for the coordinates of the cells; it has: "
                    f"{', '.join(table.columns[:20])}; name the right columns of an `obs` table in "
                    f"{self._key}, or set it to none"
                )
        paths = [str(table.path) for table in opened.values()]
        return CoordinateSource(f"{paths[0]}{' and more' if len(paths) > 1 else ''}", columns, opened)

    def _element(self, name: str, headers: Sequence[Header]) -> CoordinateSource:
        for header in headers:
            width = header.obsm.get(name)
            if width not in (2, 3):
                what = f"has {width} columns" if width else "is missing, or is not an array of numbers"
                raise InputError(
                    f"{self._key}: {OBSM}{name} of {header.path} {what}; name an element with two or three "
                    f"columns, of: {', '.join(header.obsm) or 'none'}"
                )
        if len({header.obsm[name] for header in headers}) > 1:
            raise InputError(
                f"{self._key}: {OBSM}{name} has two columns in some files and three in others; make them the "
                "same"
            )
        return _element(name, headers[0].obsm[name])

    @property
    def axes(self) -> list[str]:
        """Names of the axes; empty without a source."""
        return list(AXES[: len(self.source.columns)]) if self.source else []

    @property
    def tables(self) -> list[ObsTable]:
        """Tables that contain the coordinates."""
        return list(self.source.tables.values()) if self.source else []

    @property
    def is_element(self) -> bool:
        """True if the source is an element of obsm."""
        return self.source is not None and self.source.name.startswith(OBSM)

    @property
    def columns(self) -> list[str]:
        """The dataset's columns that contain the coordinates."""
        return list(self.source.columns) if self.source and not self.source.tables else []

    def load(self) -> None:
        """Read tables into memory, 24 bytes per cell."""
        for table in self.tables:
            table.load(list(self.source.columns), numbers_only=set(self.source.columns))

    def of(self, number: int, names: np.ndarray, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Coordinates of cells by axis: float64, NaN if missing.

        Parameters
        ----------
        number
            Number of the file.
        names
            Names of the cells in the file.
        obs
            The columns in `columns`.

        Raises
        ------
        InputError
            If a column contains anything but numbers.
        """
        if self.source.tables:
            table = self.source.tables.get(number)
            if table is None:
                return {axis: np.full(len(names), np.nan) for axis in self.axes}
            obs = table.join(names, list(self.source.columns))
        return {
            axis: self._numbers(column, obs[column])
            for axis, column in zip(self.axes, self.source.columns, strict=True)
        }

    def _numbers(self, column: str, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind in "iuf":
            numbers = values.astype(np.float64)
            return np.where(np.isfinite(numbers), numbers, np.nan)
        numbers = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(dtype=np.float64, copy=True)
        is_text = np.isnan(numbers) & pd.Series(values).notna().to_numpy()
        if values.dtype.kind == "b" or is_text.any():
            example = values[int(np.argmax(is_text))]
            raise InputError(
                f"{self._key}: the column '{column}' of {self.source.name} holds '{example}', which is not a "
                "coordinate; name columns of numbers, or set the key to none"
            )
        return numbers


def _element(name: str, width: int) -> CoordinateSource:
    return CoordinateSource(f"{OBSM}{name}", tuple(f"{OBSM}{name}/{axis}" for axis in range(width)))
