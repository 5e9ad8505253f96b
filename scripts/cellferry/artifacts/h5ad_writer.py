"""Writer of h5ad files between rules, in blocks of cells; see `h5ad_layout`."""

import hashlib
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np
import pandas as pd
from scipy import sparse

from ..core.atomic import complete
from ..core.text import UNWRITABLE, first_control
from ..errors import InputError
from ..labels.names import as_labels
from .anndata_elements import ARRAY, FRAME, STRING, STRING_ARRAY, write_dense, write_element, write_frame
from .deflated import DeflatedArray
from .h5ad_layout import CELLS_PER_RANGE, INT32_MAX, VALUES_AT_ONCE, X_ARRAYS
from .h5ad_reader import H5adReader

# anndata's automatic chunks of about 10k elements halve reading speed. Large ones are slower for reading few
# cells; results for users are read whole.
ELEMENTS_PER_CHUNK = 1 << 15
ELEMENTS_PER_PORTABLE_CHUNK = 1 << 17
CELLS_PER_CHUNK = 1 << 14
MAX_CATEGORIES = 1 << 16
# With HDF5's checksums: a flipped bit ends in an error, whatever part of the file is read.
BETWEEN_RULES = {
    **hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.BITSHUFFLE),
    "fletcher32": True,
}


class H5adWriter:
    """Write an AnnData h5ad file block by block; it appears under `path` only when closed without error.

    Index arrays are int32 while that suffices for the stored values and int64 beyond, both of one type:
    scipy casts the whole index array at every selection otherwise.

    Parameters
    ----------
    path
        The file to write.
    var
        Genes: index and columns of the file.
    portable
        Whether it is a result for users: gzip, which any HDF5 reads. Between rules Blosc with lz4 takes the
        same space and a tenth of the time; reading it needs hdf5plugin.
    counts
        Whether the file has an X; without it `append` takes None for the counts.
    """

    def __init__(
        self, path: str | Path, var: pd.DataFrame, *, portable: bool = False, counts: bool = True
    ) -> None:
        self.path = Path(path)
        self._closing = ExitStack()
        temporary = self._closing.enter_context(complete(path))
        self._file = self._closing.enter_context(h5py.File(temporary, "w"))
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_frame(self._file, "var", var)
        for group in ("layers", "obsm", "obsp", "varm", "varp", "uns"):
            write_element(self._file, group, {})

        self.n_cells = 0
        self.nonzeros = 0
        self.n_genes = len(var)
        self._genes = zlib.crc32("\n".join(map(str, var.index)).encode())
        self._sources: list[Source] = []
        self._uns: dict[str, Any] = {}
        self._ordered: dict[str, list[str]] = {}
        self._colors: dict[str, dict[str, str]] = {}
        # Running checksums of X's arrays, names and columns, independent of blocks.
        self._crc: dict[str, int] = defaultdict(int)
        # Bytes, or bits, of equal significance together: half the size of compressed counts, in less time.
        self._options = {"compression": "gzip", "shuffle": True} if portable else BETWEEN_RULES
        self._elements_per_chunk = ELEMENTS_PER_PORTABLE_CHUNK if portable else ELEMENTS_PER_CHUNK
        self._deflated: dict[str, DeflatedArray] = {}
        self._has_counts = counts
        if counts:
            x = self._file.create_group("X")
            x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
            for name, dtype in X_ARRAYS.items():
                self._growing(x, name, dtype, chunk=self._elements_per_chunk)
            self._growing(x, "indptr", np.int32, chunk=CELLS_PER_CHUNK)
            _extend(x["indptr"], np.zeros(1, dtype=np.int32))
            if portable:
                self._deflated = {name: DeflatedArray(x[name]) for name in X_ARRAYS}

        obs = self._file.create_group("obs")
        obs.attrs.update(FRAME)
        names = self._growing(obs, "_index", STRING, chunk=CELLS_PER_CHUNK)
        names.attrs.update(STRING_ARRAY)
        self._columns: dict[str, h5py.Dataset] = {}
        self._categories: dict[str, dict[str, int]] = {}

    def _growing(self, group: h5py.Group, name: str, dtype: Any, *, chunk: int) -> h5py.Dataset:
        # Strings are stored outside the array, where filters do not apply.
        options = {} if dtype is STRING else self._options
        return group.create_dataset(
            name, shape=(0,), maxshape=(None,), dtype=dtype, chunks=(chunk,), **options
        )

    def append(
        self,
        counts: sparse.csr_matrix | None,
        names: np.ndarray,
        obs: dict[str, np.ndarray | pd.Categorical],
    ) -> None:
        """Append cells.

        Parameters
        ----------
        counts
            Cells × genes, CSR; None in a file without counts.
        names
            Cell names, one per row of `counts`.
        obs
            Columns of obs, the same ones in every call. Strings (missing: None) become categories, if they
            are not yet; numbers stay numbers.
        """
        if self._has_counts:
            counts.sort_indices()
            self._append_lengths(counts.indptr)
            for name, dtype in X_ARRAYS.items():
                values = getattr(counts, name).astype(dtype, copy=False)
                self._crc[name] = zlib.crc32(values, self._crc[name])
                self._extend_x(name, values)
        else:
            self.n_cells += len(names)
        self._crc["names"] = zlib.crc32("\n".join([*names, ""]).encode(), self._crc["names"])
        _extend(self._file["obs/_index"], names.astype(object))
        for column, values in obs.items():
            self._append_column(column, values)

    def append_file(self, source: "H5adReader", *, copy: bool) -> None:
        """Append all cells of another file; not to be mixed with `append` in one file.

        Parameters
        ----------
        source
            The file.
        copy
            Copy its counts and names. Otherwise they become HDF5 virtual datasets over all sources, with
            relative paths, so that the common folder can be moved.
        """
        about = source.uns
        path = None if copy else self._relative(source.path)
        self._sources.append(
            Source(str(about["id"]), path, source.n_cells, source.nonzeros, *about["crc32"][0])
        )
        for start, stop in source.cell_ranges():
            self._append_lengths(source.indptr(start, stop))
            for column in source.obs_columns:
                if source.is_categorical(column):
                    codes = source.codes(column, start, stop)
                    self._append_codes(column, codes, source.categories(column))
                else:
                    self._append_column(column, source.obs(column, start, stop))
            if copy:
                _extend(self._file["obs/_index"], source.names(start, stop))
        if copy:
            for name, expected in zip(X_ARRAYS, about["crc32"][0].tolist(), strict=True):
                crc = 0
                for start in range(0, source.nonzeros, VALUES_AT_ONCE):
                    values = source.values(name, start, min(start + VALUES_AT_ONCE, source.nonzeros))
                    crc = zlib.crc32(values, crc)
                    self._extend_x(name, values)
                if crc != expected:
                    source.refuse(source.path, f"the checksum of X/{name} is another", source.path.parent)

    def _extend_x(self, name: str, values: np.ndarray) -> None:
        if name in self._deflated:
            self._deflated[name].extend(values)
        else:
            _extend(self._file["X"][name], values)

    def _append_lengths(self, indptr: np.ndarray) -> None:
        """Append cells to the index pointers, given the bounds of their values."""
        offsets = indptr.astype(np.int64) - int(indptr[0])
        nonzeros = self.nonzeros + int(offsets[-1])
        if self.nonzeros <= INT32_MAX < nonzeros:
            self._widen_indices()
        _extend(self._file["X/indptr"], offsets[1:] + self.nonzeros)
        self.nonzeros = nonzeros
        self.n_cells += len(indptr) - 1

    def _widen_indices(self) -> None:
        """Rewrite both index arrays as int64, before the number of values exceeds int32."""
        x = self._file["X"]
        for name in ("indptr", "indices"):
            narrow = x[name]
            if name in self._deflated:
                self._deflated[name].flush()
            del x[name]
            wide = self._growing(x, name, np.int64, chunk=narrow.chunks[0])
            if name in self._deflated:
                self._deflated[name] = DeflatedArray(wide)
            for start in range(0, len(narrow), VALUES_AT_ONCE):
                values = narrow[start : start + VALUES_AT_ONCE]
                self._extend_x(name, values)

    def _append_column(self, column: str, values: np.ndarray | pd.Categorical) -> None:
        if isinstance(values, pd.Categorical):
            self._append_codes(column, values.codes, values.categories)
            return
        if values.dtype == bool and column in self._categories:
            values = as_labels(values)
        if values.dtype.kind in "OUS":
            codes, found = pd.factorize(values)
            self._append_codes(column, codes, found)
            return
        if column not in self._columns:
            self._columns[column] = self._growing(
                self._file["obs"], column, values.dtype, chunk=CELLS_PER_CHUNK
            )
            self._columns[column].attrs.update(ARRAY)
        elif column in self._categories:
            raise _mixed(column)
        # Integers in some cells may be fractions, or missing, in others.
        dtype = np.result_type(self._columns[column].dtype, values.dtype)
        if dtype != self._columns[column].dtype:
            self._append_again(column, partial(np.asarray, dtype=dtype))
        values = np.ascontiguousarray(values, dtype=dtype)
        self._crc[column] = zlib.crc32(values, self._crc[column])
        _extend(self._columns[column], values)

    def _append_again(self, column: str, converted: Callable[[np.ndarray], np.ndarray]) -> None:
        """Write a column of numbers or booleans again, as another type."""
        order, old = list(self._columns), self._columns.pop(column)
        del self._file["obs"][column]
        self._crc[column] = 0
        for start in range(0, len(old), CELLS_PER_RANGE):
            self._append_column(column, converted(old[start : start + CELLS_PER_RANGE]))
        self._columns, self._categories = (
            {name: known[name] for name in order if name in known}
            for known in (self._columns, self._categories)
        )

    def _append_codes(self, column: str, codes: np.ndarray, categories: np.ndarray) -> None:
        """Append to a column of strings, given as codes (-1: missing) of `categories`."""
        if column in self._columns and self._columns[column].dtype == bool:
            self._append_again(column, as_labels)
        if column not in self._columns:
            group = self._file["obs"].create_group(column)
            group.attrs.update(
                {"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False}
            )
            self._columns[column] = self._growing(group, "codes", np.int32, chunk=CELLS_PER_CHUNK)
            self._columns[column].attrs.update(ARRAY)
            self._categories[column] = {name: n for n, name in enumerate(self._ordered.get(column, []))}
        elif column not in self._categories:
            raise _mixed(column)
        known = self._categories[column]
        total = len(known) + len(categories)
        if total > MAX_CATEGORIES and len(known.keys() | set(categories)) > MAX_CATEGORIES:
            raise InputError(
                f"the obs column '{column}' holds more than {MAX_CATEGORIES} different strings: it is "
                "neither a label nor a batch; name another column, or leave it out of keep_obs"
            )
        if found := first_control((str(name) for name in categories if name not in known), UNWRITABLE):
            raise InputError(
                f"the obs column '{column}' has the value {found}; change it in the file, or leave the "
                "column out of keep_obs"
            )
        # One entry more than categories: code -1 (missing) indexes the last.
        translation = np.array([known.setdefault(str(value), len(known)) for value in categories] + [-1])
        codes = translation[codes].astype(np.int32)
        self._crc[column] = zlib.crc32(codes, self._crc[column])
        _extend(self._columns[column], codes)

    def order_categories(self, column: str, categories: list[str], colors: dict[str, str]) -> None:
        """Set the order and the colors of a column's categories, before the first cells.

        Parameters
        ----------
        column
            The column, which holds strings.
        categories
            All that it will hold.
        colors
            Color of each (`#RRGGBB`), for scanpy's `uns[f"{column}_colors"]`.
        """
        self._ordered[column], self._colors[column] = categories, colors

    def write_uns(self, **values: Any) -> None:
        """Write unstructured annotation, one element per keyword, below `uns/cellferry`."""
        self._uns |= values

    def write_obsm(
        self, widths: dict[str, int], blocks: Iterator[dict[str, np.ndarray]], *, dtype: type = np.float32
    ) -> None:
        """Write dense arrays into obsm, block by block.

        Parameters
        ----------
        widths
            Number of columns of each array, by its key.
        blocks
            All cells, in order: the next rows of every array, by its key.
        dtype
            Type of the values.
        """
        write_dense(self._file["obsm"], widths, blocks, n_rows=self.n_cells, dtype=dtype)

    def __enter__(self) -> "H5adWriter":
        return self

    def __exit__(self, *raised: Any) -> None:
        # Errors at closing must reach `complete`, or a damaged file would get the final name.
        with self._closing:
            if raised[0] is None:
                self._finish()
            else:
                self._closing.__exit__(*raised)

    def _finish(self) -> None:
        obs = self._file["obs"]
        for column, categories in self._categories.items():
            write_element(obs[column], "categories", np.array(list(categories), dtype=object))
        obs.attrs["column-order"] = np.array(list(self._columns), dtype=STRING)
        for column in self._colors.keys() & self._categories.keys():
            colors = [self._colors[column][category] for category in self._categories[column]]
            write_element(self._file["uns"], f"{column}_colors", np.array(colors, dtype=object))
        for array in self._deflated.values():
            array.flush()
        if self._has_counts:
            self._file["X"].attrs["shape"] = (self.n_cells, self.n_genes)
        if any(source.path for source in self._sources):
            for name in X_ARRAYS:
                self._link(self._file["X"], name, "nonzeros")
            self._link(obs, "_index", "cells")
        content = [[source.id for source in self._sources], self._crc, self._categories, self._genes]
        written = Source("", None, self.n_cells, self.nonzeros, *(self._crc[name] for name in X_ARRAYS))
        parts = self._sources or [written]
        about = {
            "id": hashlib.sha256(repr(content).encode()).hexdigest()[:32],
            "nonzeros_of": np.array([part.nonzeros for part in parts], dtype=np.int64),
            "crc32": np.array([part[-len(X_ARRAYS) :] for part in parts], dtype=np.uint32),
        }
        views = [source for source in self._sources if source.path]
        if views:
            about |= {
                "sources": [source.path for source in views],
                "source_ids": [source.id for source in views],
            }
        write_element(self._file["uns"], "cellferry", about | self._uns)

    def _relative(self, source: Path) -> str:
        """Path of a source as seen from this file's folder."""
        return os.path.relpath(source.resolve(), Path(self._file.filename).resolve().parent)

    def _link(self, group: h5py.Group, name: str, length: str) -> None:
        """Replace an array by a virtual dataset over the same array of every source."""
        dtype, attributes = group[name].dtype, dict(group[name].attrs)
        lengths = [getattr(source, length) for source in self._sources]
        layout = h5py.VirtualLayout(shape=(sum(lengths),), dtype=dtype)
        start = 0
        for source, n in zip(self._sources, lengths, strict=True):
            if n:  # an empty selection cannot be mapped
                place = f"{group.name}/{name}"
                layout[start : start + n] = h5py.VirtualSource(source.path, place, shape=(n,), dtype=dtype)
                start += n
        del group[name]
        group.create_virtual_dataset(name, layout).attrs.update(attributes)


class Source(NamedTuple):
    """A source file of a merged file: id, path (None: copied), size, checksums of X's arrays."""

    id: str
    path: str | None
    cells: int
    nonzeros: int
    crc32_data: int
    crc32_indices: int


def _mixed(column: str) -> InputError:
    return InputError(
        f"the obs column '{column}' has numbers in some of the dataset's files and text in others; "
        "leave it out of keep_obs, or make it the same in all of them"
    )


def _extend(dataset: h5py.Dataset, values: np.ndarray) -> None:
    start = dataset.shape[0]
    dataset.resize(start + len(values), axis=0)
    if len(values):
        dataset[start:] = values
