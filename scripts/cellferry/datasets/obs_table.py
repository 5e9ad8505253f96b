"""A table of cells' annotation beside a file that holds none, joined by cell name, or line by line."""

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
"""What pandas and R write for a missing value."""


class ObsTable:
    """Annotation of cells in a csv or tsv file, gzipped or not, cell names in the first column.

    A header with one name fewer than there are columns, as R writes it, is understood, and the two columns
    that name the cells of CosMx.

    Parameters
    ----------
    path
        The table.
    key
        Its configuration key, for messages.
    by_order
        Its lines are in the cells' order, so that names are not needed; the first column is one like others.

    Attributes
    ----------
    columns
        Names of the columns after the first; with `by_order`, and of CosMx, of all.
    state
        See `core.reading.state_of`: what the file was like before it was read.
    n_rows
        Lines after the header, known when columns are loaded.
    n_cells, n_matched, first_cell
        Cells that `join` was asked for since `count_from_here`, how many of them the table names, and the
        first one's name.
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
        """Take over the names of all columns."""
        # The two that name the cells of CosMx.
        self._keys = None if self.by_order else key_order(names)
        # Where the first of the columns stands.
        self._first = 0 if self._keys or (self.by_order and not is_short) else 1
        self.columns = names[self._first :]
        if not self.columns:
            raise InputError(
                f"{self.path} ({self._key}): has one column only, '{names[0][:80]}', and cell names and "
                "annotation are needed: its fields must be separated by tabs, commas or semicolons (or by "
                "blanks, labels in quotes)"
            )

    def count_from_here(self) -> None:
        """Begin to count the cells that are asked for and found."""
        self.n_cells = self.n_matched = 0
        self.first_cell = ""

    def load(
        self,
        columns: list[str],
        *,
        numeric: set[str] | frozenset[str] = frozenset(),
        numbers_only: set[str] | frozenset[str] = frozenset(),
    ) -> None:
        """Read columns into memory: 8 bytes a cell for the name, and 4 (strings) or 8 (numbers) per column.

        Of the columns in `numeric`, those whose values all are numbers become numbers. All others stay as
        they are written: donors `001` and `01` are two. Strings are kept as codes. Columns in `numbers_only`
        are never held as strings, since each of these may be another.

        Raises
        ------
        InputError
            If the table is irregular, names a cell twice, or was changed since it was opened, or a column in
            `numbers_only` holds something else.
        """
        self.n_rows = 0
        self._numbers_only = frozenset(numbers_only)
        numeric = {*numeric, *numbers_only}
        parts: list[np.ndarray] = []
        numbers: dict[str, list[np.ndarray]] = {column: [] for column in columns if column in numeric}
        codes: dict[str, list[np.ndarray]] = {column: [] for column in columns}
        known: dict[str, dict[str, int]] = {column: {} for column in columns}
        # Both are tried side by side; the numeric reading is given up at the first text.
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
        """Names of the cells in some rows."""
        texts = [chunk[at].fillna("").to_numpy(dtype=object) for at in self._keys or (0,)]
        return names_in(*texts) if self._keys else texts[0]

    def _chunks(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        """Rows as text, columns by position, those at least that are named and those of the cells' names."""
        # All columns, though few are wanted: with `usecols` pandas says nothing of rows with too many.
        with readable(self.path), open_text(self.path) as file:
            skip_to_rows(file, self._start)
            try:
                yield from pd.read_csv(
                    file,
                    sep=self._start.separator,
                    header=None,
                    names=range(len(self.columns) + self._first + self._start.n_empty),
                    index_col=False,
                    # Where labels are all there is, an empty line is a cell without one.
                    skip_blank_lines=not self.by_order or len(self.columns) > 1,
                    dtype=str,
                    keep_default_na=False,
                    na_values=MISSING,
                    chunksize=ROWS_AT_ONCE,
                )
            except pd.errors.EmptyDataError:  # a header and nothing else
                return
            except pd.errors.ParserError as error:
                raise InputError(
                    f"{self.path} ({self._key}): is not a regular table ({self._in_file(error)}); "
                    "correct the row"
                ) from error

    def _in_file(self, error: pd.errors.ParserError) -> str:
        """What pandas says of a line, which it counts from the header on."""
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
        """Annotation of the given cells: None or NaN for those the table does not name.

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
        """Annotation in the given lines, counted after the header; None or NaN where there is none."""
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
