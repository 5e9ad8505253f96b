"""Table of cell annotation beside a file, joined by cell name or by line."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..config.spatial import key_order
from ..core.reading import check_unchanged, readable, state_of
from ..core.table_start import skip_to_rows, table_start
from ..core.text import open_text
from ..errors import InputError
from ..formats.cell_names import hashes, repeated_hashes, repeated_names
from ..formats.cosmx import names_in

ROWS_AT_ONCE = 20_000
MISSING = ["", "NA"]
"""Missing values as pandas and R write them."""


class ObsTable:
    """Annotation of cells in a csv or tsv file, gzipped or not, with cell names in the first column.

    Also supported: R's header, which has one name fewer than there are columns, and CosMx's two columns of
    cell names.

    Parameters
    ----------
    path
        Path of the table.
    key
        Configuration key of the table, for messages.
    by_order
        True if the lines are in the cells' order: names are not needed, and the first column is annotation.

    Attributes
    ----------
    columns
        Names of the columns after the first; all columns with `by_order` and for CosMx.
    state
        State of the file before it was read; see `core.reading.state_of`.
    n_rows
        Lines after the header, set when columns are loaded.
    n_cells, n_matched, first_cell
        Cells passed to `join` since `count_from_here`, how many of them the table names, and the first one's
        name.
    """

    def __init__(self, path: str | Path, key: str, *, by_order: bool = False) -> None:
        self.path = Path(path)
        self.by_order = by_order
        self.n_rows = 0
        self._key = key
        self.count_from_here()
        self._hashes = np.empty(0, dtype=np.uint64)
        self._values: dict[str, pd.Categorical | np.ndarray] = {}
        self._numbers_only: frozenset[str] = frozenset()
        self._open()

    def _open(self) -> None:
        """Read the header."""
        key, by_order = self._key, self.by_order
        with readable(self.path):
            self.state = state_of(self.path)
            start = table_start(self.path, blanks="quoted" if by_order else "regular")
        if start is None:
            raise InputError(f"{self.path} ({key}): the table is empty; name another or remove the key")
        if not start.is_regular:
            raise InputError(
                f"{self.path} ({key}): is not a regular table: the header has {len(start.names)} names and "
                f"line {start.row_line} {start.n_fields} values; correct the header"
            )
        self._start = start
        self._set_columns(start.names, is_short=start.is_short)

    def _set_columns(self, names: list[str], *, is_short: bool) -> None:
        """Set the names of all columns."""
        # CosMx names its cells in two columns.
        self._keys = None if self.by_order else key_order(names)
        # Position of the first annotation column.
        self._first = 0 if self._keys or (self.by_order and not is_short) else 1
        self.columns = names[self._first :]
        if not self.columns:
            raise InputError(
                f"{self.path} ({self._key}): has one column only, '{names[0][:80]}', and cell names and "
                "annotation are needed: its fields must be separated by tabs, commas or semicolons (or by "
                "blanks, labels in quotes)"
            )

    def count_from_here(self) -> None:
        """Reset the counts of cells that are passed and named."""
        self.n_cells = self.n_matched = 0
        self.first_cell = ""

    def load(
        self,
        columns: list[str],
        *,
        numeric: set[str] | frozenset[str] = frozenset(),
        numbers_only: set[str] | frozenset[str] = frozenset(),
    ) -> None:
        """Read columns into memory: 8 bytes per cell for the name, 4 (strings) or 8 (numbers) per value.

        Columns in `numeric` become numbers if all their values are numbers. All others keep their text:
        donors `001` and `01` are different. Strings are stored as codes. Columns in `numbers_only` are never
        stored as strings, since all their values may differ.

        Raises
        ------
        InputError
            If the table is irregular, contains a cell twice, or has changed since it was opened, or if a
            column in `numbers_only` contains anything else.
        """
        self.n_rows = 0
        self._numbers_only = frozenset(numbers_only)
        numeric = {*numeric, *numbers_only}
        parts: list[np.ndarray] = []
        numbers: dict[str, list[np.ndarray]] = {column: [] for column in columns if column in numeric}
        codes: dict[str, list[np.ndarray]] = {column: [] for column in columns}
        known: dict[str, dict[str, int]] = {column: {} for column in columns}
        # Both readings are collected; the numeric one is dropped at the first text.
        for chunk in self._chunks(columns):
            if not self.by_order:
                parts.append(hashes(self._names_in(chunk)))
            self.n_rows += len(chunk)
            for column in columns:
                values = chunk[self.columns.index(column) + self._first]
                if column in numbers:
                    as_numbers = pd.to_numeric(values, errors="coerce")
                    is_text = as_numbers.isna() & values.notna()
                    if is_text.any() and column in numbers_only:
                        raise InputError(
                            f"{self.path} ({self._key}): the column '{column}' holds "
                            f"'{values[is_text].iloc[0]}', which is not a number; correct it or name another "
                            "column"
                        )
                    if is_text.any():
                        del numbers[column]
                    else:
                        numbers[column].append(as_numbers.to_numpy(dtype=np.float64))
                if column in numbers_only:
                    continue
                found, categories = pd.factorize(values)
                entries = known[column]
                table = np.array([entries.setdefault(value, len(entries)) for value in categories] + [-1])
                codes[column].append(table[found].astype(np.int32))
        check_unchanged(self.path, self.state)
        self._hashes = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
        self._check_unique()
        order = np.arange(self.n_rows) if self.by_order else np.argsort(self._hashes)
        self._hashes = self._hashes[order] if parts else self._hashes
        for column in columns:
            if column in numbers and self.n_rows:
                self._values[column] = np.concatenate(numbers.pop(column))[order]
            else:
                every = np.concatenate(codes[column]) if self.n_rows else np.empty(0, dtype=np.int32)
                self._values[column] = pd.Categorical.from_codes(every[order], list(known[column]))
            del codes[column]

    def _names_in(self, chunk: pd.DataFrame) -> np.ndarray:
        """Names of the cells in a chunk of rows."""
        texts = [chunk[at].fillna("").to_numpy(dtype=object) for at in self._keys or (0,)]
        return names_in(*texts) if self._keys else texts[0]

    def _chunks(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        """Rows as text, columns by position: at least the given ones and those with cell names."""
        # All columns are read: with `usecols` pandas would accept rows with too many fields.
        with readable(self.path), open_text(self.path) as file:
            skip_to_rows(file, self._start)
            try:
                yield from pd.read_csv(
                    file,
                    sep=self._start.separator,
                    header=None,
                    names=range(len(self.columns) + self._first + self._start.n_empty),
                    index_col=False,
                    # In a table of labels only, an empty line is a cell without a label.
                    skip_blank_lines=not self.by_order or len(self.columns) > 1,
                    dtype=str,
                    keep_default_na=False,
                    na_values=MISSING,
                    chunksize=ROWS_AT_ONCE,
                )
            except pd.errors.EmptyDataError:  # only a header
                return
            except pd.errors.ParserError as error:
                raise InputError(
                    f"{self.path} ({self._key}): is not a regular table ({self._in_file(error)}); "
                    "correct the row"
                ) from error

    def _in_file(self, error: pd.errors.ParserError) -> str:
        """Message of pandas with line numbers of the file; pandas counts from the header on."""
        skipped = self._start.n_lines
        return re.sub(r"(?<=in line )\d+", lambda match: str(int(match[0]) + skipped), str(error).strip())

    def _check_unique(self) -> None:
        repeated = repeated_hashes([self._hashes])
        if len(repeated) == 0:
            return
        names = map(self._names_in, self._chunks([]))
        for name in repeated_names(names, repeated):
            raise InputError(
                f"{self.path} ({self._key}): the cell '{name}' has more than one row; leave one row per cell"
            )

    def join(self, names: np.ndarray, columns: list[str]) -> dict[str, np.ndarray]:
        """Annotation of the given cells: None or NaN for cells that the table does not name.

        The columns must have been loaded.
        """
        if len(self._hashes) == 0:
            found = np.zeros(len(names), dtype=bool)
            rows = np.zeros(len(names), dtype=np.int64)
        else:
            wanted = hashes(names)
            rows = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
            found = self._hashes[rows] == wanted
        if len(names) and not self.n_cells:
            self.first_cell = names[0]
        self.n_cells += len(names)
        self.n_matched += int(np.count_nonzero(found))
        return self._values_at(rows, found, columns)

    def lines(self, start: int, stop: int, columns: list[str]) -> dict[str, np.ndarray]:
        """Annotation in the given lines, counted after the header; None or NaN if missing."""
        return self._values_at(np.arange(start, stop), np.ones(stop - start, dtype=bool), columns)

    def _values_at(self, rows: np.ndarray, found: np.ndarray, columns: list[str]) -> dict[str, np.ndarray]:
        joined = {}
        for column in columns:
            values = self._values[column]
            if isinstance(values, pd.Categorical):
                categories = np.append(values.categories.to_numpy(dtype=object), None)
                codes = np.full(len(rows), -1)
                codes[found] = values.codes[rows[found]]
                joined[column] = categories[codes]
            else:
                joined[column] = np.full(len(rows), np.nan)
                joined[column][found] = values[rows[found]]
        return joined
