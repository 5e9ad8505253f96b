"""One of the user's datasets: its file, its annotation table, and which of its cells are used."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import formats
from .cells import as_labels, keep, repeated_hashes, repeated_names
from .errors import InputError
from .formats import Block, Cells, Options
from .obs_table import ObsTable


class Dataset:
    """A dataset as the configuration describes it; nothing is read before it is asked for.

    Parameters
    ----------
    name
        Its name in the configuration.
    path
        File or folder.
    obs
        Annotation table, or nothing.
    config
        Its part of the configuration, with defaults.

    Attributes
    ----------
    header
        See `formats.interface.Header`.
    obs_columns
        Annotation columns of the file and of the table; the table's come before the file's of the same name.

    Raises
    ------
    InputError
        If the file or the table cannot be read.
    """

    def __init__(self, name: str, path: str, obs: str | None, config: dict[str, Any]) -> None:
        self.name = name
        self.config = config
        options = Options(
            dataset=name,
            **{key: config[key] for key in ("counts", "assay", "genome", "orientation", "compensate")},
        )
        self.header = formats.header(path, options, config["format"])
        self.table = ObsTable(obs, options.key("obs")) if obs else None
        from_table = self.table.columns if self.table else []
        from_file = [column for column in self.header.obs_columns if column not in from_table]
        self.obs_columns = [*from_table, *from_file]

    def key(self, name: str) -> str:
        """Full name of one of the dataset's configuration keys."""
        return self.header.options.key(name)

    def load_table(self, columns: list[str]) -> None:
        """Read the columns that the annotation table has into memory."""
        if self.table:
            names = {self.config["label"], self.config["batch"], *self.config["cells"]}
            wanted = [column for column in columns if column in self.table.columns]
            self.table.load(wanted, numeric=set(self.config["keep_obs"]) - names)

    def cells(self, columns: list[str]) -> Iterator[Cells]:
        """Names and annotation of all cells; `load_table` first.

        Raises
        ------
        InputError
            At the end, if there is an annotation table and it names none of the cells.
        """
        in_table, in_file = self._split(columns)
        if self.table:
            self.table.n_matched = 0
        some = None
        for names, obs in formats.cells(self.header, in_file):
            some = names[0] if some is None and len(names) else some
            yield Cells(names, obs | (self.table.join(names, in_table) if self.table else {}))
        if self.table and self.table.n_matched == 0 and some is not None:
            raise InputError(
                f"{self.table.path} ({self.key('obs')}): names none of the cells of {self.header.path} "
                f"(the first of them is '{some}'); its first column must hold the cell names"
            )

    def blocks(self, columns: list[str], max_bytes: int, scratch: Path) -> Iterator[Block]:
        """Counts, names and annotation of all cells; `load_table` first."""
        in_table, in_file = self._split(columns)
        for block in formats.blocks(self.header, in_file, max_bytes, scratch):
            if self.table:
                block.obs |= self.table.join(block.names, in_table)
            yield block

    def _split(self, columns: list[str]) -> tuple[list[str], list[str]]:
        in_table = [column for column in columns if self.table and column in self.table.columns]
        return in_table, [column for column in columns if column not in in_table]

    def kept(self, cells: Cells) -> np.ndarray:
        """Which of the given cells the `cells` filter keeps, as a boolean array."""
        return keep(cells.obs, self.config["cells"], len(cells.names))

    def repeated_name(self, seen: list[np.ndarray]) -> str | None:
        """A name that repeats among the kept cells, given the hashes of their names; None if none does."""
        suspects = repeated_hashes(seen)
        if len(suspects) == 0:
            return None
        filters = list(self.config["cells"])
        names = (cells.names[self.kept(cells)] for cells in self.cells(filters))
        return next(repeated_names(names, suspects), None)

    def batches(self, obs: dict[str, np.ndarray], n_cells: int) -> np.ndarray:
        """Batch of each cell as it is called from here on: `DATASET/VALUE`."""
        column = self.config["batch"]
        if not column:
            return np.full(n_cells, f"{self.name}/all", dtype=object)
        values = as_labels(obs[column])
        return np.array(
            [f"{self.name}/{'missing' if value is None else value}" for value in values], dtype=object
        )


def run_bounds(n_cells: int, n_chunks: int) -> np.ndarray:
    """Where to cut `n_cells` into equal runs: bounds k·n // N for k = 0 … N (int64)."""
    return np.arange(n_chunks + 1, dtype=np.int64) * n_cells // n_chunks
