"""Latents and annotation of cells in files of other tools: h5ad, parquet or text tables, read in blocks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ..artifacts.latents import strings
from ..core.reading import readable
from ..core.table_start import skip_to_rows, table_start
from ..core.text import first_bytes, open_text
from ..errors import InputError
from ..labels.names import as_labels
from .frame import Frame
from .hdf5 import open_hdf5
from .matrix import is_array
from .pieces import read_part

MINIFIED_KEYS = (
    "scvi_latent_qzm",
    "scanvi_latent_qzm",
    "_scvi_latent_qzm",
    "_scanvi_latent_qzm",
    "X_latent_qzm",
)
"""Elements of obsm with scvi-tools' posterior means of cells without counts (its minified data).

Those with a leading underscore are from older versions; `minify_adata` reads them from the last.
"""

KEYS = ("X_scVI", "X_scvi", "X_scANVI", "X_CytoVI", "X_cellferry", *MINIFIED_KEYS)
"""Elements of obsm that are tried without a configured one."""

COLUMN_KEY = "latent"
"""The same for tables: columns named `latent_0` and so on."""

ROWS = 1 << 14
"""Cells per block."""

TEXT_BYTES = 4 << 20
"""Bytes of a text table read at once."""


class LatentBlock(NamedTuple):
    """Some cells: names, obs columns (str objects, None if missing), and cells × latents float32."""

    names: np.ndarray
    obs: dict[str, np.ndarray]
    latents: np.ndarray


class LatentTable(Protocol):
    """A file with latents.

    Attributes
    ----------
    columns
        Names of the annotation columns.
    width
        Dimensions of the latent space.
    """

    columns: list[str]
    width: int

    def blocks(self, wanted: list[str]) -> Iterator[LatentBlock]:
        """Yield all cells in order, with the given annotation columns."""


def open_latents(path: str, key: str | None) -> LatentTable:
    """Open the latents of a file; its content determines the reader.

    Parameters
    ----------
    path
        An h5ad file with the latents in obsm; or a parquet, csv or tsv file with one row per cell and the
        latents in columns `KEY_0`, `KEY_1`, and so on.
    key
        Name of the element of obsm, or prefix of the columns; None tries the usual names.

    Raises
    ------
    InputError
        If the file cannot be read or has no such latents.
    """
    with readable(Path(path)):
        start = first_bytes(Path(path), 8)
        if start.startswith(b"\x89HDF"):
            return _StoredLatents(path, key)
        return _ParquetLatents(path, key) if start.startswith(b"PAR1") else _TextLatents(path, key)


def obsm_shapes(path: str | Path) -> dict[str, tuple[int, int]]:
    """Rows and columns of the arrays in an h5ad file's obsm, by name.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    with readable(Path(path)), open_hdf5(path) as file:
        return _arrays(file)


def _arrays(file: h5py.File) -> dict[str, tuple[int, int]]:
    obsm = file.get("obsm", {})
    return {name: item.shape for name, item in obsm.items() if is_array(item) and item.ndim == 2}


class _StoredLatents:
    """Latents in obsm of an h5ad file."""

    def __init__(self, path: str, key: str | None) -> None:
        self.path = path
        with open_hdf5(path) as file:
            arrays = _arrays(file)
            wanted = [key] if key else [name for name in KEYS if name in arrays]
            if not wanted or wanted[0] not in arrays:
                raise InputError(
                    f"pretrained.key: {path} has no obsm {' or '.join([key] if key else KEYS)}; name the "
                    f"element with the model's latents, one of: {', '.join(arrays) or 'none'}"
                )
            self.key = wanted[0]
            n_cells, self.width = arrays[self.key]
            obs = Frame(file, "obs")
            self.columns = obs.columns
            if n_cells != len(obs):
                raise InputError(
                    f"{path}: obsm {self.key} has {n_cells} rows, but obs has {len(obs)}; export it again"
                )

    def blocks(self, wanted: list[str]) -> Iterator[LatentBlock]:
        with readable(Path(self.path)), open_hdf5(self.path) as file:
            obs, latents = Frame(file, "obs"), file["obsm"][self.key]
            for start in range(0, len(obs), ROWS):
                stop = start + ROWS
                columns = {column: as_labels(obs.values(column, start, stop)) for column in wanted}
                yield LatentBlock(
                    obs.names(start, stop), columns, read_part(latents, slice(start, stop)).astype(np.float32)
                )


class _TabularLatents:
    """Common part of parquet and text tables: a column of names, and a column per latent."""

    def __init__(self, path: str, key: str | None, index: str, names: list[str]) -> None:
        self.path, self._index = path, index
        key = key or COLUMN_KEY
        pattern = re.compile(re.escape(key) + r"_?(\d+)")
        numbered = {int(match[1]): name for name in names if (match := pattern.fullmatch(name))}
        first = min(numbered, default=0)
        if not numbered or first > 1 or max(numbered) - first + 1 != len(numbered):
            raise InputError(
                f"pretrained.key: {path} has no columns {key}_0, {key}_1 and so on; set the prefix of the "
                "columns with the model's latents"
            )
        self._latents = [numbered[number] for number in sorted(numbered)]
        self.width = len(self._latents)
        self.columns = [name for name in names if name not in (index, *self._latents)]

    def _block(self, batch: pa.RecordBatch, wanted: list[str]) -> LatentBlock:
        latents = np.empty((batch.num_rows, self.width), dtype=np.float32)
        for position, name in enumerate(self._latents):
            latents[:, position] = batch.column(name).to_numpy(zero_copy_only=False)
        obs = {name: as_labels(_values(batch.column(name))) for name in wanted}
        return LatentBlock(_values(batch.column(self._index)).astype(str).astype(object), obs, latents)


class _ParquetLatents(_TabularLatents):
    """Latents in the columns of a parquet file."""

    def __init__(self, path: str, key: str | None) -> None:
        schema = pq.read_schema(path)
        # The index that pandas wrote, unless it was a range of numbers.
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        name = next((name for name in ["cell", *index] if name in schema.names), None)
        if name is None:
            raise InputError(f"{path}: has no column 'cell' with the cells' names and no index; add one")
        super().__init__(path, key, name, schema.names)

    def blocks(self, wanted: list[str]) -> Iterator[LatentBlock]:
        columns = [self._index, *wanted, *self._latents]
        with readable(Path(self.path)), pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=ROWS, columns=columns, use_threads=False):
                yield self._block(batch, wanted)


class _TextLatents(_TabularLatents):
    """Latents in the columns of a text table with cell names in its first column."""

    def __init__(self, path: str, key: str | None) -> None:
        start = table_start(Path(path), blanks="always")
        if start is None or not start.is_regular:
            raise InputError(
                f"{path}: is not a regular table: rows and header differ in length; export it again"
            )
        self._start = start
        self._parsing = pa_csv.ParseOptions(delimiter=start.delimiter)
        super().__init__(path, key, start.names[0], start.names)

    def blocks(self, wanted: list[str]) -> Iterator[LatentBlock]:
        types = {name: pa.string() for name in (self._index, *wanted)}
        conversion = pa_csv.ConvertOptions(
            column_types=types | {name: pa.float32() for name in self._latents},
            include_columns=[self._index, *wanted, *self._latents],
        )
        reading = pa_csv.ReadOptions(
            block_size=TEXT_BYTES, use_threads=False, column_names=self._start.column_names
        )
        with readable(Path(self.path)), open_text(Path(self.path)) as file:
            skip_to_rows(file, self._start)
            try:
                for batch in pa_csv.open_csv(file, reading, self._parsing, conversion):
                    yield self._block(batch, wanted)
            except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
                raise InputError(
                    f"{self.path}: cannot be read as a table ({error}); correct or export it again"
                ) from error


def _values(column: pa.Array) -> np.ndarray:
    """A column as objects if it is text (or categories of text), else as numbers."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return strings(column)
    return column.to_numpy(zero_copy_only=False)
