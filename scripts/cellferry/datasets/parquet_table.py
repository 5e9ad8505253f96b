"""Parquet table of cell annotation, such as Xenium's `cells.parquet`, joined like a text table."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.reading import readable, state_of
from ..errors import InputError
from .obs_table import ROWS_AT_ONCE, ObsTable

MAGIC = b"PAR1"


def open_table(path: str | Path, key: str, *, by_order: bool = False) -> ObsTable:
    """Open an annotation table, parquet or text; see `ObsTable`."""
    with readable(Path(path)), open(path, "rb") as file:
        is_parquet = file.read(len(MAGIC)) == MAGIC
    return (ParquetTable if is_parquet else ObsTable)(path, key, by_order=by_order)


class ParquetTable(ObsTable):
    """An `ObsTable` in a parquet file: the first column contains the cells' names.

    Nested columns are left out.
    """

    def _open(self) -> None:
        with readable(self.path):
            self.state = state_of(self.path)
            try:
                schema = pq.read_schema(self.path)
            except pa.ArrowInvalid as error:
                raise InputError(
                    f"{self.path} ({self._key}): is a broken parquet file ({error}); copy it again"
                ) from error
        self._names = [field.name for field in schema if not pa.types.is_nested(field.type)]
        self._set_columns(self._names, is_short=False)

    def _chunks(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        named = self._names[: 0 if self.by_order else 2 if self._keys else 1]
        wanted = list(dict.fromkeys([*named, *columns]))
        with readable(self.path), pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                yield pd.DataFrame(
                    {
                        self._names.index(name): _values(batch.column(name), name in self._numbers_only)
                        for name in wanted
                    }
                )


def _values(column: pa.Array, as_numbers: bool) -> pd.Series:
    """Values as text, None if missing; or numbers unchanged."""
    if as_numbers and (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return column.to_pandas()
    values = map(_text, column.to_pylist())
    return pd.Series(list(values), dtype=object)


def _text(value: object) -> str | None:
    # Xenium's first versions store names as bytes.
    if value is None or isinstance(value, str):
        return value
    return value.decode() if isinstance(value, bytes) else str(value)
