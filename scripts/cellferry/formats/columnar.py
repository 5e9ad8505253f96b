"""Parquet and Arrow files, read batch by batch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.text import in_one_line
from ..errors import InputError
from .hdf5 import MISSHAPEN, misshapen
from .interface import Cells

COLUMN_BYTES = 1 << 16
"""Memory that Arrow needs per column of a parquet file while reading, besides the values."""

DESCRIPTION_BYTES = 1100
"""Memory that Arrow needs per column and group of an open parquet file."""

READING_MB = 250
"""Largest additional memory that Arrow was measured to need."""


@contextmanager
def opened(path: Path) -> Iterator["Table"]:
    """Open a table; errors of Arrow become an `InputError`."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(ARROW))
        if start.startswith(OLD_FEATHER):
            raise InputError(f"{path}: is a feather file of version 1; write it again with a recent version")
        yield ParquetTable(path) if start.startswith(PARQUET) else ArrowTable(path)
    except (pa.ArrowException, SystemError) as error:  # SystemError: a length became negative
        raise InputError(
            f"{path}: cannot be read, the table is broken or incomplete ({in_one_line(error)}); compare its "
            "size or checksum with the original and copy or download it again"
        ) from error
    except UnicodeDecodeError:  # text in another encoding, reported by `readable`
        raise
    except MISSHAPEN as error:
        raise InputError(misshapen(path, error)) from error


class Table(ABC):
    """A table in groups of rows.

    Attributes
    ----------
    schema
        Names and types of the columns.
    lengths
        Number of rows in each group.
    """

    schema: pa.Schema
    lengths: list[int]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(self.lengths)

    @abstractmethod
    def largest_group(self) -> int:
        """Largest number of bytes that reading a group takes."""

    @abstractmethod
    def group_bytes(self, group: int) -> dict[str, int]:
        """Bytes per column that reading a group takes."""

    @abstractmethod
    def read_group(self, group: int, columns: list[str], n_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a group in order, `n_rows` at a time."""

    def read(
        self, columns: list[str], n_rows: int, start: int = 0, stop: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows `start` to `stop` of the given columns, at most `n_rows` at a time."""
        stop = self.n_rows if stop is None else stop
        first = 0
        for group, length in enumerate(self.lengths):
            if first + length > start and first < stop:
                position = first
                for batch in self.read_group(group, columns, n_rows):
                    begin, end = max(0, start - position), min(len(batch), stop - position)
                    if begin < end:
                        # By name: Arrow reads a dot in a name as nesting and may return more columns.
                        yield batch.slice(begin, end - begin).select(columns)
                    position += len(batch)
            first += length


class ParquetTable(Table):
    """A parquet file with its row groups."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, page_checksum_verification=True)
        self.schema = self._file.schema_arrow
        metadata = self._file.metadata
        self.lengths = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def largest_group(self) -> int:
        """See `Table`."""
        metadata = self._file.metadata
        sizes = (metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        return max(sizes, default=0)

    def group_bytes(self, group: int) -> dict[str, int]:
        """See `Table`."""
        row_group = self._file.metadata.row_group(group)
        columns = map(row_group.column, range(row_group.num_columns))
        return {column.path_in_schema: column.total_uncompressed_size + COLUMN_BYTES for column in columns}

    def read_group(self, group: int, columns: list[str], n_rows: int) -> Iterator[pa.RecordBatch]:
        """See `Table`."""
        return self._file.iter_batches(n_rows, row_groups=[group], columns=columns, use_threads=False)


class ArrowTable(Table):
    """A feather (Arrow) file with its record batches."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pa.OSFile(str(path)) as file:
            self.schema = pa.ipc.open_file(file).schema
            reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=[0]))
            self.lengths = [len(reader.get_batch(group)) for group in range(reader.num_record_batches)]

    def largest_group(self) -> int:
        """See `Table`."""
        return sum(self.group_bytes(int(np.argmax(self.lengths))).values()) if self.lengths else 0

    def group_bytes(self, group: int) -> dict[str, int]:
        """See `Table`."""
        return {
            field.name: self.lengths[group] * (field.type.bit_width // 8 if is_number(field.type) else 32)
            for field in self.schema
        }

    def read_group(self, group: int, columns: list[str], n_rows: int) -> Iterator[pa.RecordBatch]:
        """See `Table`."""
        positions = {name: position for position, name in enumerate(self.schema.names)}
        wanted = pa.ipc.IpcReadOptions(
            included_fields=[positions[name] for name in columns], use_threads=False
        )
        with pa.OSFile(str(self._path)) as file:
            batch = pa.ipc.open_file(file, options=wanted).get_batch(group)
        for start in range(0, len(batch), n_rows):
            yield batch.slice(start, n_rows)


class BoundedQueue:
    """Cells that arrive in batches and are taken in other numbers."""

    def __init__(self, batches: Iterator[Cells], columns: list[str]) -> None:
        self._batches = batches
        self._held = Cells(np.empty(0, dtype=object), {})
        self._columns = columns

    def take(self, n: int) -> Cells:
        """The next `n` cells, or the remaining ones."""
        parts = [self._held]
        while sum(len(part.names) for part in parts) < n:
            parts.append(next(self._batches))
        parts = [part for part in parts if len(part.names)] or parts
        names = np.concatenate([part.names for part in parts])
        obs = {
            column: np.concatenate([part.obs[column] for part in parts])
            for column in self._columns
            if all(column in part.obs for part in parts)
        }
        self._held = Cells(names[n:], {column: values[n:] for column, values in obs.items()})
        return Cells(names[:n], {column: values[:n] for column, values in obs.items()})


def as_texts(values: pa.Array) -> np.ndarray:
    """Strings, categories or booleans as an object array of str, None if missing."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    strings = np.empty(len(values), dtype=object)
    strings[:] = [None if value is None else str(value) for value in values.to_pylist()]
    return strings


PARQUET, ARROW, OLD_FEATHER = b"PAR1", b"ARROW1", b"FEA1"
"""First bytes of the files."""


def is_number(kind: pa.DataType) -> bool:
    """True if a column contains numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
