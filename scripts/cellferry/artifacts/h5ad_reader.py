"""Reader of h5ad files between rules, in blocks of cells, with checksums."""

import os
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import h5py
import hdf5plugin  # noqa: F401  registers the filter of files between rules
import numpy as np
import pandas as pd
from scipy import sparse

from ..core.digests import make_anew
from ..core.progress import Progress
from ..core.reading import is_retryable
from ..errors import InputError, RetryableError
from .anndata_elements import read_frame
from .h5ad_layout import BYTES_PER_CELL, CELLS_PER_RANGE, INDPTR_WINDOW, INT32_MAX, VALUES_AT_ONCE, X_ARRAYS


class H5adReader:
    """Read row ranges of an h5ad file whose X is CSR, as written by `H5adWriter` or `merge_h5ad`.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    n_cells, n_genes, nonzeros
        Shape of X and its number of stored values.
    uns
        The annotation of `H5adWriter.write_uns`.

    Raises
    ------
    RetryableError
        If the file cannot be read, or is a merged file with a missing or replaced source (HDF5 itself
        would silently read zeros).
    InputError
        If a source is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            # Opened read-only without a lock: HDF5's locks fail on some parallel file systems. Without its
            # cache: blocks are read once, and by way of the cache at half the speed.
            self._file = h5py.File(self.path, "r", locking=False, rdcc_nbytes=0)
            self._x = self._file["X"]
            self.n_cells, self.n_genes = (int(n) for n in self._x.attrs["shape"])
            self.nonzeros = int(self._x["data"].shape[0])
            self.uns = _read_plain(self._file["uns/cellferry"])
        except (OSError, KeyError) as error:
            if is_retryable(error):
                raise
            raise RetryableError(
                f"{self.path}: not a complete h5ad file of this workflow ({error}); "
                "delete it and run snakemake again"
            ) from error
        self._check_sources()
        self._indptr = self._x["indptr"]
        self._categories: dict[str, np.ndarray] = {}

    @cached_property
    def var(self) -> pd.DataFrame:
        """Genes: index and columns."""
        return read_frame(self._file["var"])

    @property
    def sources(self) -> list[Path]:
        """The source files of a view; empty for other files."""
        return [Path(os.path.normpath(self.path.parent / source)) for source in self.uns.get("sources", [])]

    def references(self, name: str) -> list[tuple[Path, str, int, int]]:
        """The parts of one of a view's arrays: source file, its array, and first and last + 1 element."""
        found, folder, array = [], self.path.resolve().parent, self._file[name]
        for part in array.virtual_sources() if array.is_virtual else ():  # without values it is not
            (first,), (last,) = part.vspace.get_select_bounds()
            path = Path(os.path.normpath(folder / part.file_name))
            found.append((path, part.dset_name.lstrip("/"), first, last + 1))
        return found

    def _check_sources(self) -> None:
        for path, expected in zip(self.sources, self.uns.get("source_ids", []), strict=True):
            remedy = "restore it, or delete both and run snakemake again"
            if not path.exists():
                raise RetryableError(f"{self.path}: is a view over {path}, which is missing; {remedy}")
            try:
                with h5py.File(path, "r", locking=False) as chunk:
                    source_id = chunk["uns/cellferry/id"].asstr()[()]
            except (OSError, KeyError) as error:
                if is_retryable(error):
                    raise
                self.refuse(path, error)
            if source_id != expected:
                raise RetryableError(
                    f"{self.path}: was made from another version of {path} "
                    f"(id {expected}, found {source_id}); {remedy}"
                )

    def refuse(self, path: Path, why: object, whole: Path | None = None) -> NoReturn:
        """Mark a damaged file, or `whole`, for deletion; all sources of a view, since one job made them."""
        whole = whole or (path if path == self.path else path.parent)
        # Not retryable: another attempt would read the same.
        raise InputError(f"{path}: was damaged after it had been written ({why}); {make_anew(whole)}")

    def _explain(self, why: object) -> NoReturn:
        """Raise the error of the damaged file, this one or a source, after reading each again."""
        for path in [*self.sources, self.path]:
            try:
                _verify(path)
            except (OSError, _DamagedError) as error:
                if is_retryable(error):
                    raise
                self.refuse(path, error)
        raise RetryableError(f"{self.path}: failed its checksums once ({why}) and then passed; try again")

    def __enter__(self) -> "H5adReader":
        return self

    def __exit__(self, *raised: Any) -> None:
        self._file.close()

    @property
    def obs_columns(self) -> list[str]:
        """Names of the columns of obs."""
        return [str(column) for column in self._file["obs"].attrs["column-order"]]

    def names(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Names of the cells in rows `start` to `stop`, as an object array of str."""
        return self._file["obs/_index"].asstr()[start:stop]

    def encoded_names(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Names of the cells in rows `start` to `stop`, as an object array of bytes (UTF-8)."""
        return self._file["obs/_index"][start:stop]

    def categories(self, column: str) -> np.ndarray:
        """Categories of a categorical obs column, as an object array of str."""
        if column not in self._categories:
            self._categories[column] = self._file[f"obs/{column}/categories"].asstr()[:]
        return self._categories[column]

    def used(self, column: str) -> np.ndarray:
        """Categories of an obs column that occur, in their order."""
        return self.categories(column)[np.unique(self.codes(column))]

    def is_categorical(self, column: str) -> bool:
        """Whether an obs column holds strings, as codes of categories."""
        return isinstance(self._file[f"obs/{column}"], h5py.Group)

    def dtype(self, column: str) -> np.dtype | None:
        """Type of an obs column's numbers; None where it holds strings."""
        return None if self.is_categorical(column) else self._file[f"obs/{column}"].dtype

    def codes(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Codes (int32, -1 where missing) of a categorical obs column in rows `start` to `stop`."""
        return self._read(self._file[f"obs/{column}/codes"], start, stop)

    def obs(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values of an obs column in rows `start` to `stop`: str objects (None where missing), or numbers."""
        if self.is_categorical(column):
            return np.append(self.categories(column), None)[self.codes(column, start, stop)]
        return self._read(self._file[f"obs/{column}"], start, stop)

    def indptr(self, start: int, stop: int) -> np.ndarray:
        """Positions in X of the first value of rows `start` to `stop`, and of the end: stop - start + 1."""
        return self._read(self._indptr, start, stop + 1)

    def cell_ranges(self) -> Iterator[tuple[int, int]]:
        """Split all rows into ranges whose names and obs fit in memory."""
        for start in range(0, self.n_cells, CELLS_PER_RANGE):
            yield start, min(start + CELLS_PER_RANGE, self.n_cells)

    def values(self, name: str, start: int, stop: int) -> np.ndarray:
        """Stored values `start` to `stop` of X (`data`, float32) or their genes (`indices`, int32)."""
        return self._read(self._x[name].astype(X_ARRAYS[name]), start, stop)

    def _read(self, array: Any, start: int, stop: int | None) -> np.ndarray:
        try:
            return array[start:stop]
        except OSError as error:
            if is_retryable(error):
                raise
            self._explain(error)

    def counts(self, start: int, stop: int) -> sparse.csr_matrix:
        """Counts of the cells in rows `start` to `stop`: cells × genes, CSR float32."""
        indptr = self.indptr(start, stop).astype(np.int64)
        first, last = int(indptr[0]), int(indptr[-1])
        arrays = [self.values(name, first, last) for name in X_ARRAYS]
        pointers = (indptr - first).astype(np.int32 if last - first <= INT32_MAX else np.int64)
        return sparse.csr_matrix((*arrays, pointers), shape=(stop - start, self.n_genes))

    def blocks(self, max_bytes: int) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
        """All cells in blocks of at most `max_bytes`: first row, end, and counts.

        Every value is compared with the checksums of the source files, the last of them at the end.

        Raises
        ------
        InputError
            If a file was damaged after it was written; it is named, and set aside when the run ends.
        """
        try:
            yield from _checked(self, max_bytes)
        except _DamagedError as error:
            self._explain(error)

    def ranges(self, max_bytes: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Split rows `start` to `stop` into ranges of at most `max_bytes`, and at least one row.

        A stored value takes 8 bytes, float32 and its int32 index; names and obs about 256 a cell, so that
        cells without counts cannot fill the memory either.
        """
        stop = self.n_cells if stop is None else stop
        while start < stop:
            window = self.indptr(start, min(stop, start + INDPTR_WINDOW)).astype(np.int64)
            size = 8 * (window - window[0]) + BYTES_PER_CELL * np.arange(len(window))
            rows = int(np.searchsorted(size, max_bytes, side="right")) - 1
            end = start + max(1, rows)
            yield start, end
            start = end

    def rows(self, rows: np.ndarray, progress: Progress | None = None) -> sparse.csr_matrix:
        """Counts of the given rows (ascending, unique), in that order: cells × genes, CSR float32.

        `progress` counts them.
        """
        if len(rows) == 0:
            return sparse.csr_matrix((0, self.n_genes), dtype=np.float32)
        # Rows close together are read as one range, since a seek costs more than a few extra rows; ranges
        # are short, so that extra rows remain a small part.
        max_rows = max(1, VALUES_AT_ONCE * self.n_cells // max(1, 4 * self.nonzeros))
        apart = (np.diff(rows) > 32) | (np.diff(rows // max_rows) > 0)
        runs = np.split(rows, np.flatnonzero(apart) + 1)
        # Filled piece by piece: joining a list would need the memory twice.
        lengths = np.diff(self.indptr(0, self.n_cells))[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        arrays = [np.empty(indptr[-1], dtype) for dtype in X_ARRAYS.values()]
        start = 0
        for run in runs:
            piece = self.counts(int(run[0]), int(run[-1]) + 1)[run - run[0]]
            for name, values in zip(X_ARRAYS, arrays, strict=True):
                values[start : start + piece.nnz] = getattr(piece, name)
            start += piece.nnz
            if progress:
                progress.add(len(run))
        pointers = indptr.astype(np.int32 if start <= INT32_MAX else np.int64)
        return sparse.csr_matrix((*arrays, pointers), shape=(len(rows), self.n_genes))


def _read_plain(group: h5py.Group) -> dict[str, Any]:
    """Numbers, strings and arrays of a group."""
    return {
        name: (element.asstr() if h5py.check_string_dtype(element.dtype) else element)[()]
        for name, element in group.items()
        if isinstance(element, h5py.Dataset)
    }


class _DamagedError(Exception):
    """Values that differ from the written ones."""


def _checked(reader: H5adReader, max_bytes: int) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
    parts = zip(reader.uns["nonzeros_of"].tolist(), reader.uns["crc32"].tolist(), strict=True)
    missing, expected, checksums = 0, [0, 0], [0, 0]
    for start, stop in reader.ranges(max_bytes):
        counts = reader.counts(start, stop)
        first = 0
        while first < counts.nnz:
            while missing == 0:
                if checksums != expected:
                    raise _DamagedError("its checksum is another")
                (missing, expected), checksums = next(parts), [0, 0]
            last = min(first + missing, counts.nnz)
            checksums = [
                zlib.crc32(getattr(counts, name)[first:last], crc)
                for name, crc in zip(X_ARRAYS, checksums, strict=True)
            ]
            missing -= last - first
            first = last
        yield start, stop, counts
    if checksums != expected:
        raise _DamagedError("its checksum is another")


def _verify(path: Path) -> None:
    """Read a file completely and compare its checksums; for a view, its own arrays only."""
    with h5py.File(path, "r", locking=False, rdcc_nbytes=0) as file:
        for array in _own_arrays(file):
            for start in range(0, len(array), VALUES_AT_ONCE):
                array[start : start + VALUES_AT_ONCE]  # HDF5 compares checksums of its own
        x, about = file["X"], _read_plain(file["uns/cellferry"])
        if x["data"].is_virtual:
            return
        for name, column in zip(X_ARRAYS, about["crc32"].T.tolist(), strict=True):
            start = 0
            for n, expected in zip(about["nonzeros_of"].tolist(), column, strict=True):
                crc = 0
                for first in range(start, start + n, VALUES_AT_ONCE):
                    last = min(first + VALUES_AT_ONCE, start + n)
                    crc = zlib.crc32(x[name].astype(X_ARRAYS[name])[first:last], crc)
                if crc != expected:
                    raise _DamagedError(f"the checksum of X/{name} is another")
                start += n


def _own_arrays(group: h5py.Group) -> Iterator[h5py.Dataset]:
    for element in group.values():
        if isinstance(element, h5py.Group):
            yield from _own_arrays(element)
        elif element.shape and not element.is_virtual:
            yield element
