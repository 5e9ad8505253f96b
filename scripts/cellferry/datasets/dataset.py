"""A user's dataset: its files, its annotation, and its cell filter."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.h5ad_layout import SECTION
from ..config.samples import sample_files, table_files
from ..errors import InputError
from ..formats import Block, Cells, Header, Options
from ..formats.cell_names import repeated_hashes, repeated_names
from ..labels.names import as_labels
from ..resources.memory import MB
from .cell_filter import keep
from .concatenation import Concatenation
from .coordinates import Coordinates
from .obs_table import ObsTable
from .parquet_table import open_table

SAMPLE = "sample"
"""The obs column with the names of a dataset's files."""

WELL_NAMED = 0.9
"""Share of the cells that an annotation table must match to avoid a warning."""


class Dataset:
    """A dataset as configured; data are read only when requested.

    Parameters
    ----------
    name
        Name in the configuration.
    config
        Section of the configuration, with defaults.

    Attributes
    ----------
    header, headers
        See `formats.interface.Header`: of all files together, and of each file.
    starts
        First cell of each file, and the end of the last one, counted over all files.
    coordinates
        Coordinates of its cells, for queries only; see `Coordinates`.
    obs_columns
        Annotation columns of files and tables; a table's column replaces a file's of the same name. With
        several files there is also the column `sample`: the file of the cell, unless a table has that column.

    Raises
    ------
    InputError
        If a file or table cannot be read.
    """

    def __init__(self, name: str, config: dict[str, Any]) -> None:
        self.name = name
        self.config = config
        known = {field.name for field in dataclasses.fields(Options)}
        options = Options(dataset=name, **{key: value for key, value in config.items() if key in known})
        files = sample_files(config["path"])
        if not files:
            raise InputError(f"{options.key('path')}: no file matches {config['path']}; correct it")
        self._files = Concatenation(files, options, config["format"])
        self.header, self.headers = self._files.header, self._files.headers
        self.starts = self._files.starts
        self._tables = self._annotation(options, n_files=len(files))
        self._is_one = "" in files
        from_tables = [column for table in self._tables for column in table.columns]
        from_files = [*self.header.obs_columns, *([] if self._is_one else [SAMPLE])]
        self.obs_columns = list(dict.fromkeys([*from_tables, *from_files]))
        # Coordinates are written to labeled files only, which a reference does not get.
        setting = "none" if config.get("role") == "reference" else config.get("coordinates", "none")
        key = options.key("coordinates")
        self.coordinates = Coordinates(setting, key, self.headers, self.obs_columns)

    def _annotation(self, options: Options, *, n_files: int) -> list[ObsTable]:
        """The annotation tables: none, one for all files, or one per file."""
        paths = table_files(self.config["obs"])
        if len(paths) > 1 and len(paths) != n_files:
            raise InputError(
                f"{options.key('obs')}: names {len(paths)} tables, but the dataset has {n_files} files; name "
                "one per file, in the same order, or one for all"
            )
        by_order = self.config.get("obs_by") == "order"
        return [open_table(path, options.key("obs"), by_order=by_order) for path in paths]

    def key(self, name: str) -> str:
        """Full name of a configuration key of the dataset."""
        return self.header.options.key(name)

    @property
    def table_paths(self) -> list[Path]:
        """Paths of the annotation tables."""
        return [table.path for table in self._tables]

    @property
    def states(self) -> dict[str, str]:
        """States of its files and tables before they were read, by path (`core.reading.state_of`)."""
        files = {str(file): state for header in self.headers for file, state in header.states.items()}
        tables = [*self._tables, *self.coordinates.tables]
        return files | {str(table.path): table.state for table in tables}

    @property
    def coordinate_columns(self) -> list[str]:
        """Columns with coordinates in `cells` and `blocks`, and with the file of each cell if several."""
        axes = self.coordinates.axes
        return axes if self._is_one or not axes else [*axes, SECTION]

    @property
    def is_cytometry(self) -> bool:
        """True if the configuration declares intensities of markers."""
        return self.header.options.modality == "cytometry"

    @property
    def in_order(self) -> bool:
        """True if the first cells' counts are available without reading a whole file."""
        return self._files.in_order

    def held_mb(self, columns: list[str]) -> int:
        """MB that are held besides the blocks.

        These are annotation tables with the given columns, twice the size of their names for sorting, and the
        needs of the format.
        """
        tables = 16 * (1 + len(columns)) * self.header.n_cells // MB if self._tables else 0
        if self.coordinates.tables and self._has_axes(columns):
            tables += 16 * (1 + len(self.coordinates.axes)) * self.header.n_cells // MB
        return tables + self.header.held_mb

    def load_tables(self, columns: list[str]) -> None:
        """Read columns of annotation tables, and coordinates if among them, into memory."""
        names = {self.config["label"], self.config["batch"], *self.config["cells"]}
        numeric = set(self.config["keep_obs"]) - names
        # Coordinates differ between all cells: as text, each value would be stored.
        places = set(self.coordinates.columns) - {*columns, *names}
        if self._has_axes(columns):
            self.coordinates.load()
        columns = self._in_dataset(columns)
        for number, table in enumerate(self._tables):
            in_table = [column for column in columns if column in table.columns]
            table.load(in_table, numeric=numeric, numbers_only=places)
            header = self.headers[number] if len(self._tables) > 1 else self.header
            if table.by_order and table.n_rows != header.n_cells:
                lacks_header = table.n_rows + 1 == header.n_cells
                raise InputError(
                    f"{table.path} ({self.key('obs')}): has {table.n_rows} lines after its header, but "
                    f"{header.path} has {header.n_cells} cells; {self.key('obs_by')} is `order`, which needs "
                    "a header and one line per cell"
                    + (f": is '{table.columns[0]}' the first cell's, and no header?" if lacks_header else "")
                )

    def _has_axes(self, columns: list[str]) -> bool:
        """True if coordinates are among the columns."""
        return not set(columns).isdisjoint(self.coordinates.axes)

    def _in_dataset(self, columns: list[str]) -> list[str]:
        """The given columns, with coordinates replaced by the columns that contain them."""
        own = [column for column in columns if column not in self.coordinate_columns]
        more = self.coordinates.columns if self._has_axes(columns) else []
        return list(dict.fromkeys([*own, *more]))

    def cells(self, columns: list[str]) -> Iterator[Cells]:
        """Yield names and annotation of all cells; call `load_tables` first.

        Raises
        ------
        InputError
            At the end, if an annotation table names too few of its cells.
        """
        for table in self._tables:
            table.count_from_here()
        start = 0
        for number, cells in self._files.cells(self._in_files(columns)):
            yield Cells(self._cell_names(number, cells.names), self._annotated(number, cells, columns, start))
            start += len(cells.names)
        for table in self._joined_tables():
            self._check_names(table)

    def _joined_tables(self) -> list[ObsTable]:
        """The annotation tables that were joined by cell name."""
        return [table for table in self._tables if table.n_cells]

    def _check_names(self, table: ObsTable) -> None:
        """Raise an `InputError` if a table names too few of its cells."""
        where = f"{table.path} ({self.key('obs')})"
        cells = f"{self.config['path']} (the first is '{table.first_cell}')"
        if table.n_matched == 0:
            raise InputError(
                f"{where}: names none of the {table.n_cells} cells of {cells}; its first column must hold "
                f"the cell names, or its lines be in the cells' order ({self.key('obs_by')}: order)"
            )
        least = self.config["obs_min_common"]
        if table.n_matched < table.n_cells * least:
            raise InputError(
                f"{where}: names {table.n_matched} of the {table.n_cells} cells of {cells}; if it is not "
                f"that of another sample, lower {self.key('obs_min_common')}, now {least:g}: the other cells "
                "are used without annotation"
            )

    def annotation_in_words(self, columns: list[str]) -> tuple[list[str], list[str]]:
        """Remarks on the cells matched by each annotation table, and warnings; call `cells` first."""
        remarks, warnings = [], []
        if SAMPLE in columns and not self._is_one and SAMPLE in self.header.obs_columns:
            warnings.append(
                f"{self.header.path}: the files' obs column '{SAMPLE}' is left out, since `{SAMPLE}` is the "
                "file name here; to use it, rename it in the files"
            )
        for table in self._joined_tables():
            summary = f"{table.path}: names {table.n_matched} of {table.n_cells} cells"
            if table.n_matched < table.n_cells * WELL_NAMED:
                warnings.append(f"{summary}; the others are used without annotation")
            else:
                remarks.append(summary)
        return remarks, warnings

    def blocks(
        self, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[Header, Block]]:
        """Yield a file's header, and counts, names and annotation of its cells; call `load_tables` first.

        Parameters
        ----------
        start, stop
            The first cell, and the one after the last, counted over all files.
        """
        for number, block in self._files.blocks(self._in_files(columns), max_bytes, scratch, start, stop):
            obs = self._annotated(number, Cells(block.names, block.obs), columns, start)
            start += len(block)
            names = self._cell_names(number, block.names)
            yield self.headers[number], Block(block.counts, names, obs, block.controls)

    def _in_files(self, columns: list[str]) -> list[str]:
        """Columns to read from the files: not in tables, and not `sample` if that is the file."""
        columns = self._in_dataset(columns)
        others = {column for table in self._tables for column in table.columns}
        if not self._is_one:
            others.add(SAMPLE)
        known = {*self.header.obs_columns, *(self.coordinates.columns if self.coordinates.is_element else ())}
        return [column for column in columns if column in known - others]

    def _annotated(self, number: int, cells: Cells, columns: list[str], start: int) -> dict[str, np.ndarray]:
        """Annotation of a file's cells, and their coordinates if among the columns."""
        obs = self._annotation_of(number, cells, self._in_dataset(columns), start)
        if not self._has_axes(columns):
            return obs
        placed = self.coordinates.of(number, cells.names, obs)
        placed[SECTION] = np.full(len(cells.names), self._files.samples[number], dtype=object)
        return {column: placed[column] if column in placed else obs[column] for column in columns}

    def _annotation_of(
        self, number: int, cells: Cells, columns: list[str], start: int
    ) -> dict[str, np.ndarray]:
        """Annotation of a file's cells: from the table, else from the file, else the sample.

        `start` is the position of the first cell, counted over all files.
        """
        obs = dict(cells.obs)
        if self._tables:
            table = self._tables[self._table_number(number)]
            in_table = [column for column in columns if column in table.columns]
            if table.by_order:
                line = start - (int(self.starts[number]) if len(self._tables) > 1 else 0)
                obs |= table.lines(line, line + len(cells.names), in_table)
            else:
                obs |= table.join(self._joined_by(number, cells.names), in_table)
        for column in columns:
            if column not in obs:  # the sample, or a column of other files' tables
                value = self._files.samples[number] if column == SAMPLE and not self._is_one else None
                obs[column] = np.full(len(cells.names), value, dtype=object)
        return obs

    def _table_number(self, number: int) -> int:
        return number if len(self._tables) > 1 else 0

    def _joined_by(self, number: int, names: np.ndarray) -> np.ndarray:
        """Names of cells in a table: a file's own table has the names in the file."""
        return names if len(self._tables) > 1 else self._cell_names(number, names)

    def _cell_names(self, number: int, names: np.ndarray) -> np.ndarray:
        """Names of a file's cells, with the sample as prefix if there are several files."""
        if self._is_one or not self.config["prefix"]:
            return names
        return np.array([f"{self._files.samples[number]}_{name}" for name in names], dtype=object)

    def kept(self, cells: Cells) -> np.ndarray:
        """Mask (boolean array) of the given cells that the `cells` filter keeps."""
        return keep(cells.obs, self.config["cells"], len(cells.names))

    def repeated_name(self, seen: list[np.ndarray]) -> str | None:
        """A duplicate name among the kept cells, given the hashes of their names; None without any."""
        suspects = repeated_hashes(seen)
        if len(suspects) == 0:
            return None
        filters = list(self.config["cells"])
        names = (cells.names[self.kept(cells)] for cells in self.cells(filters))
        return next(repeated_names(names, suspects), None)

    @property
    def ways_to_differ(self) -> str:
        """Remedy for duplicate cell names, for messages."""
        if not self._is_one and not self.config["prefix"]:
            return f"set {self.key('prefix')} to true, which puts the file's name before them"
        chosen = f", or select cells of one sample with {self.key('cells')}" if self.obs_columns else ""
        where = "file" if self._is_one else "files"
        return f"make them unique in the {where} (AnnData: obs_names_make_unique){chosen}"

    def batches(self, obs: dict[str, np.ndarray], n_cells: int) -> np.ndarray:
        """Batch of each cell in all later steps: `DATASET/VALUE`."""
        column = self.config["batch"]
        if not column:
            return np.full(n_cells, f"{self.name}/all", dtype=object)
        values = as_labels(obs[column])
        return np.array(
            [f"{self.name}/{'missing' if value is None else value}" for value in values], dtype=object
        )


def run_bounds(n_cells: int, n_chunks: int) -> np.ndarray:
    """Bounds of `n_chunks` equal runs of `n_cells`: k·n // N for k = 0 … N (int64)."""
    return np.arange(n_chunks + 1, dtype=np.int64) * n_cells // n_chunks
