"""The h5ad files that pass between rules: written and read in blocks of cells.

Every file here is plain AnnData on disk (X as CSR float32, obs, var), readable with
`anndata.read_h5ad`. `H5adWriter` appends blocks; `H5adReader` reads row ranges. Neither holds
more than a block of X, whatever the number of cells.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem, write_elem
from scipy import sparse

from .errors import InputError, PassingError
from .files import complete, is_passing

# 256k elements (1 MiB of float32): anndata's automatic chunks of about 10k elements halve reading speed.
ELEMENTS_PER_CHUNK = 1 << 18
INDPTR_WINDOW = 1 << 20
NAMES_PER_CHUNK = 1 << 14
CELLS_PER_RANGE = 1 << 16
BYTES_PER_CELL = 256
MOST_CATEGORIES = 1 << 16
INT32_MAX = np.iinfo(np.int32).max

STRING = h5py.string_dtype()


class H5adWriter:
    """Write an AnnData h5ad file block by block; it appears under `path` only when closed without error.

    Parameters
    ----------
    path
        The file to write.
    var
        Genes: index and columns as they shall stand in the file.
    most_nonzeros
        An upper bound of the number of stored values. Index arrays are int32 where that fits and
        int64 where it does not, always both of one type: scipy casts the whole index array at every
        selection otherwise.
    compression
        An h5py filter name, for what a user takes away; None between rules, where speed counts.
    """

    def __init__(
        self, path: str | Path, var: pd.DataFrame, *, most_nonzeros: int, compression: str | None = None
    ) -> None:
        self._closing = ExitStack()
        temporary = self._closing.enter_context(complete(path))
        self._file = self._closing.enter_context(h5py.File(temporary, "w"))
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(self._file, "var", var)
        for group in ("layers", "obsm", "obsp", "varm", "varp", "uns"):
            write_elem(self._file, group, {})

        self.n_cells = 0
        self.nonzeros = 0
        self.n_genes = len(var)
        self._views: list[tuple[Path, int]] = []
        self._index_dtype = np.dtype(np.int32 if most_nonzeros <= INT32_MAX else np.int64)
        self._options = {"compression": compression} if compression else {}
        x = self._file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        self._data = self._growing(x, "data", np.float32)
        self._indices = self._growing(x, "indices", self._index_dtype)
        self._indptr = self._growing(x, "indptr", self._index_dtype)
        _extend(self._indptr, np.zeros(1, dtype=self._index_dtype))

        obs = self._file.create_group("obs")
        obs.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
        self._names = self._growing(obs, "_index", STRING, chunk=NAMES_PER_CHUNK)
        self._names.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        self._columns: dict[str, h5py.Dataset] = {}
        self._categories: dict[str, dict[str, int]] = {}

    def _growing(
        self, group: h5py.Group, name: str, dtype: Any, chunk: int = ELEMENTS_PER_CHUNK
    ) -> h5py.Dataset:
        return group.create_dataset(
            name, shape=(0,), maxshape=(None,), dtype=dtype, chunks=(chunk,), **self._options
        )

    def append(self, counts: sparse.csr_matrix, names: np.ndarray, obs: dict[str, np.ndarray]) -> None:
        """Append cells.

        Parameters
        ----------
        counts
            Cells × genes, CSR.
        names
            Cell names, one per row of `counts`.
        obs
            Columns of obs, the same ones in every call. Strings become categories (missing: None),
            numbers stay numbers.
        """
        counts.sort_indices()
        _extend(self._data, counts.data)
        _extend(self._indices, counts.indices)
        self._append_cells(counts.indptr, names, obs)

    def append_view(self, source: "H5adReader") -> None:
        """Append all cells of another file without copying its counts.

        X becomes an HDF5 virtual dataset over the sources, named relative to this file, so that the
        folder that holds both can be moved. Not to be mixed with `append` in one file.
        """
        self._views.append((source.path, source.nonzeros))
        for start, stop in source.cell_ranges():
            obs = {column: source.obs(column, start, stop) for column in source.obs_columns}
            self._append_cells(source.indptr(start, stop), source.names(start, stop), obs)

    def _append_cells(self, indptr: np.ndarray, names: np.ndarray, obs: dict[str, np.ndarray]) -> None:
        offsets = indptr.astype(np.int64) - int(indptr[0])
        _extend(self._indptr, offsets[1:] + self.nonzeros)
        _extend(self._names, names.astype(object))
        for column, values in obs.items():
            self._append_column(column, values)
        self.nonzeros += int(offsets[-1])
        self.n_cells += len(names)

    def _append_column(self, column: str, values: np.ndarray) -> None:
        group = self._file["obs"]
        is_string = values.dtype.kind in "OUS"
        if column not in self._columns:
            if is_string:
                categorical = group.create_group(column)
                categorical.attrs.update(
                    {"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False}
                )
                self._columns[column] = self._growing(categorical, "codes", np.int32)
                self._categories[column] = {}
            else:
                self._columns[column] = self._growing(group, column, values.dtype)
            self._columns[column].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        if is_string:
            codes, found = pd.factorize(values)
            known = self._categories[column]
            # One entry more than there are categories: code -1 (missing) indexes the last.
            if len(known) + len(found) > MOST_CATEGORIES and len(known.keys() | set(found)) > MOST_CATEGORIES:
                raise InputError(
                    f"the obs column '{column}' holds more than {MOST_CATEGORIES} different strings: it is "
                    "neither a label nor a batch; name another column, or leave it out of keep_obs"
                )
            translation = np.array([known.setdefault(str(value), len(known)) for value in found] + [-1])
            values = translation[codes].astype(np.int32)
        _extend(self._columns[column], values)

    def write_uns(self, **values: Any) -> None:
        """Write unstructured annotation, one element per keyword, below `uns/cellferry`."""
        write_elem(self._file["uns"], "cellferry", values)

    def write_obsm(self, key: str, blocks: Iterator[np.ndarray], *, width: int) -> None:
        """Write a dense cells × `width` float32 array into obsm, block by block."""
        array = self._file["obsm"].create_dataset(
            key,
            shape=(self.n_cells, width),
            dtype=np.float32,
            chunks=(min(max(self.n_cells, 1), 8192), width),
        )
        array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        start = 0
        for block in blocks:
            array[start : start + len(block)] = block
            start += len(block)

    def __enter__(self) -> "H5adWriter":
        return self

    def __exit__(self, *raised: Any) -> None:
        # Whatever fails on the way out must reach `complete`, or a broken file would get the final name.
        with self._closing:
            if raised[0] is None:
                self._finish()
            else:
                self._closing.__exit__(*raised)

    def _finish(self) -> None:
        obs = self._file["obs"]
        for column, categories in self._categories.items():
            write_elem(obs[column], "categories", np.array(list(categories), dtype=object))
        obs.attrs["column-order"] = np.array(list(self._columns), dtype=STRING)
        self._file["X"].attrs["shape"] = (self.n_cells, self.n_genes)
        if self._views:
            self._link("data", np.dtype(np.float32))
            self._link("indices", self._index_dtype)

    def relative(self, source: Path) -> str:
        """Path of a source as seen from this file's folder."""
        return os.path.relpath(source.resolve(), Path(self._file.filename).resolve().parent)

    def _link(self, name: str, dtype: np.dtype) -> None:
        """Replace X's array `name` by a virtual dataset over the same array of every source."""
        layout = h5py.VirtualLayout(shape=(self.nonzeros,), dtype=dtype)
        start = 0
        for path, nonzeros in self._views:
            if nonzeros:  # an empty selection cannot be mapped
                source = self.relative(path)
                layout[start : start + nonzeros] = h5py.VirtualSource(
                    source, f"X/{name}", shape=(nonzeros,), dtype=dtype
                )
                start += nonzeros
        del self._file[f"X/{name}"]
        self._file["X"].create_virtual_dataset(name, layout)


def _extend(dataset: h5py.Dataset, values: np.ndarray) -> None:
    start = dataset.shape[0]
    dataset.resize(start + len(values), axis=0)
    if len(values):
        dataset[start:] = values


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
    var
        Genes, as a data frame.
    uns
        What `H5adWriter.write_uns` left.

    Raises
    ------
    PassingError
        If the file cannot be read, or is a merged file with a source that is missing or is not the
        one it was made from (HDF5 itself would silently read zeroes).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            # Opened read-only without a lock: HDF5's locks fail on some parallel file systems.
            self._file = h5py.File(self.path, "r", locking=False)
            self._x = self._file["X"]
            self.n_cells, self.n_genes = (int(n) for n in self._x.attrs["shape"])
            self.nonzeros = int(self._x["data"].shape[0])
            self.uns = read_elem(self._file["uns/cellferry"]) if "cellferry" in self._file["uns"] else {}
            self.var: pd.DataFrame = read_elem(self._file["var"])
        except (OSError, KeyError) as error:
            if is_passing(error):
                raise
            raise PassingError(
                f"{self.path}: not a complete h5ad file of this workflow ({error}); "
                "delete it and run snakemake again to make it anew"
            ) from error
        self._check_sources()
        self._indptr = self._x["indptr"]
        self._categories: dict[str, np.ndarray] = {}

    def _check_sources(self) -> None:
        for source, expected in zip(self.uns.get("sources", []), self.uns.get("source_ids", []), strict=True):
            path = Path(os.path.normpath(self.path.parent / source))
            remedy = "restore it, or delete both and run snakemake again"
            if not path.exists():
                raise PassingError(f"{self.path}: is a view over {path}, which is missing; {remedy}")
            try:
                with h5py.File(path, "r", locking=False) as chunk:
                    found = chunk["uns/cellferry/id"].asstr()[()]
            except (OSError, KeyError) as error:
                if is_passing(error):
                    raise
                raise PassingError(f"{self.path}: its chunk {path} is broken ({error}); {remedy}") from error
            if found != expected:
                raise PassingError(
                    f"{self.path}: was made from another version of {path} "
                    f"(id {expected}, found {found}); {remedy}"
                )

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

    def categories(self, column: str) -> np.ndarray:
        """Categories of a categorical obs column, as an object array of str."""
        if column not in self._categories:
            self._categories[column] = self._file[f"obs/{column}/categories"].asstr()[:]
        return self._categories[column]

    def codes(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Codes (int32, -1 where missing) of a categorical obs column in rows `start` to `stop`."""
        return self._file[f"obs/{column}/codes"][start:stop]

    def obs(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values of an obs column in rows `start` to `stop`: str objects (None where missing), or numbers."""
        if isinstance(self._file[f"obs/{column}"], h5py.Group):
            return np.append(self.categories(column), None)[self.codes(column, start, stop)]
        return self._file[f"obs/{column}"][start:stop]

    def indptr(self, start: int, stop: int) -> np.ndarray:
        """Positions in X of the first value of rows `start` to `stop`, and of the end: stop - start + 1."""
        return self._indptr[start : stop + 1]

    def cell_ranges(self) -> Iterator[tuple[int, int]]:
        """Cut all rows into ranges short enough to hold their names and obs."""
        for start in range(0, self.n_cells, CELLS_PER_RANGE):
            yield start, min(start + CELLS_PER_RANGE, self.n_cells)

    def counts(self, start: int, stop: int) -> sparse.csr_matrix:
        """Counts of the cells in rows `start` to `stop`: cells × genes, CSR float32."""
        indptr = self.indptr(start, stop).astype(np.int64)
        first, last = int(indptr[0]), int(indptr[-1])
        index_dtype = np.int32 if last - first <= INT32_MAX else np.int64
        data = self._x["data"][first:last]
        indices = self._x["indices"][first:last].astype(index_dtype, copy=False)
        return sparse.csr_matrix(
            (data, indices, (indptr - first).astype(index_dtype)), shape=(stop - start, self.n_genes)
        )

    def ranges(self, max_bytes: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Cut rows `start` to `stop` into ranges that take at most `max_bytes`; one row at least.

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

    def rows(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Counts of the given rows (ascending, unique), in that order: cells × genes, CSR float32."""
        if len(rows) == 0:
            return sparse.csr_matrix((0, self.n_genes), dtype=np.float32)
        # Rows close together are read as one range, since a seek costs more than a few rows too many;
        # a range is cut after 1024 wanted rows, so that it stays a small part of what is returned.
        gaps = np.flatnonzero(np.diff(rows) > 32) + 1
        runs = np.split(rows, np.union1d(gaps, np.arange(1024, len(rows), 1024)))
        return sparse.vstack(
            [self.counts(int(run[0]), int(run[-1]) + 1)[run - run[0]] for run in runs], format="csr"
        )
