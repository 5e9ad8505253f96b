"""Loom files, specification 2 and 3: dense matrices of genes × cells with attributes of both.

The main matrix and the layers are stored in HDF5 chunks that each span many cells. If all chunks of the same
cells fit into a block, blocks follow the chunks and cells are read in order. Wider chunks, and matrices
without chunks, are sorted in files on disk, so that each chunk is unpacked once.
"""

import html
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ..errors import InputError
from ..resources.memory import BLOCK_BYTES
from .annotation import annotated_blocks, annotated_cells
from .hdf5 import open_hdf5
from .hdf5_parts import check_written
from .interface import BYTES_PER_VALUE, Block, Cells, FileSignature, Header, Options, as_strings, choose_place
from .matrix import (
    array_at,
    dense_rows,
    glance,
    group_at,
    layers_of,
    looks_like_counts,
    texts_of,
    unwritten_warnings,
)
from .pieces import read_part
from .sorting import Entries, as_float32, row_blocks
from .values import STRINGS, decoded, holds_strings

CELL_NAMES = (
    "CellID",
    "obs_names",
    "cell_names",
    "cell_id",
    "Cell_id",
    "cellid",
    "Barcode",
    "barcode",
    "_index",
)
GENE_NAMES = ("Gene", "var_names", "gene_names", "GeneName", "gene", "Name", "Accession", "_index")
"""Attributes with names, as loompy, scanpy and R packages write them; the first match is used."""

AUTOMATIC = ("layers/counts", "matrix")
"""Places that `counts: auto` tries, in this order."""


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file is a loom file."""
    return signature.groups is not None and {"matrix", "row_attrs", "col_attrs"} <= signature.groups.keys()


def header(path: Path, options: Options) -> Header:
    """Read the header of a loom file; see `interface.Header`."""
    with open_hdf5(path, options) as file:
        matrices = {"matrix": array_at(file, "matrix")}
        matrices |= layers_of(group_at(file, "layers")) if "layers" in file else {}
        for place, dataset in matrices.items():
            if dataset.shape != file["matrix"].shape or dataset.ndim != 2 or dataset.dtype.kind not in "biuf":
                raise InputError(
                    f"{path}: {place} is not a matrix of numbers, or differs in shape from the others "
                    f"({dataset.dtype}, {' × '.join(map(str, dataset.shape))}); write the file again"
                )
        n_genes, n_cells = file["matrix"].shape
        genes = Attributes(path, file, "row_attrs", n_genes, GENE_NAMES)
        obs = Attributes(path, file, "col_attrs", n_cells, CELL_NAMES)
        names = genes.names(0, n_genes)
        previews = {place: glance(Transposed(dataset)) for place, dataset in matrices.items()}
        places = {place: looks_like_counts(values) for place, values in previews.items()}
        place = choose_place(path, places, options, AUTOMATIC)
        dataset = matrices[place]
        columns = {name: genes.values(name, 0, n_genes) for name in genes.columns if genes.is_string(name)}
        return Header(
            path=path,
            format="loom",
            options=options,
            n_cells=n_cells,
            n_genes=n_genes,
            nonzeros=None,
            dtype=str(dataset.dtype),
            storage="dense" if _stripe_bytes(dataset) <= BLOCK_BYTES else "dense genes × cells",
            places=places,
            counts=place,
            var=pd.DataFrame(columns, index=pd.Index(names, dtype=object)),
            obs_columns=obs.columns,
            preview=previews[place],
            warnings=unwritten_warnings(dataset),
            remarks=[f"cells are named by {obs.index}, genes by {genes.index}"],
        )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of the cells, about a hundred thousand at a time."""
    with open_hdf5(header.path, header.options) as file:
        obs = Attributes(header.path, file, "col_attrs", header.n_cells, CELL_NAMES)
        yield from annotated_cells(obs, header.n_cells, columns)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield counts, names and annotation in row blocks; see `formats.blocks`."""
    with open_hdf5(header.path, header.options) as file:
        dataset = file[header.counts]
        if header.in_order or _stripe_bytes(dataset) <= max_bytes:
            rows = dense_rows(Transposed(dataset), max_bytes, start, stop)
        else:
            share = np.count_nonzero(header.preview) / max(1, len(header.preview))
            shape = (header.n_cells, header.n_genes)
            nonzeros = int(share * shape[0] * shape[1])
            rows = row_blocks(_entries(dataset, max_bytes), shape, max_bytes, scratch, nonzeros=nonzeros)
        obs = Attributes(header.path, file, "col_attrs", header.n_cells, CELL_NAMES)
        yield from annotated_blocks(rows, obs, columns, start)


class Transposed:
    """A view of a dense genes × cells dataset as cells × genes."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.dtype, self.ndim, self.shape = dataset.dtype, 2, dataset.shape[::-1]
        self.chunks = dataset.chunks and dataset.chunks[::-1]

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.ascontiguousarray(read_part(self._dataset, (slice(None), rows)).T)


class Attributes:
    """The attributes of genes or cells in a loom file; one of them contains the names.

    Parameters
    ----------
    path, file
        Path of the file, for messages, and the open file.
    side
        `row_attrs` or `col_attrs`.
    length
        Number of genes or cells.
    names
        Possible names of the attribute with the names.

    Attributes
    ----------
    index
        The attribute with the names.
    columns
        The other attributes with one number or string per gene or cell.

    Raises
    ------
    InputError
        If no attribute contains names.
    """

    def __init__(self, path: Path, file: h5py.File, side: str, length: int, names: tuple[str, ...]) -> None:
        self._group = group_at(file, side)
        usable = [
            name
            for name, item in self._group.items()
            if isinstance(item, h5py.Dataset) and item.shape == (length,) and item.dtype.kind in "biufSO"
        ]
        self.index = next((name for name in names if name in usable), "")
        if not self.index:
            raise InputError(
                f"{path}: {side} has no attribute {' or '.join(names)} of {length} values (it has "
                f"{', '.join(self._group) or 'none'}); rename the attribute, or write the file again"
            )
        self.columns = [name for name in usable if name != self.index]
        # Version 2 escaped characters outside of ASCII as in XML.
        self._is_escaped = not _version(file).startswith("3")

    def names(self, start: int, stop: int) -> np.ndarray:
        """Names in rows `start` to `stop`, as an object array of str."""
        return as_strings(self.values(self.index, start, stop))

    def is_string(self, column: str) -> bool:
        """True if a column contains strings or categories."""
        return holds_strings(self._group[column].dtype)

    def values(self, column: str, start: int, stop: int) -> np.ndarray:
        """Values in rows `start` to `stop`; see `interface.Cells`."""
        dataset = self._group[column]
        check_written(dataset)
        values = decoded(read_part(dataset, slice(start, stop)), dataset.dtype)
        if dataset.dtype.kind in STRINGS and self._is_escaped:
            values[:] = [html.unescape(text) for text in values]
        return values


def _version(file: h5py.File) -> str:
    """Version of the specification: in a group since version 3, an attribute before; empty if missing."""
    in_group = file.get("attrs/LOOM_SPEC_VERSION")
    check_written(in_group)
    value = read_part(in_group) if isinstance(in_group, h5py.Dataset) else file.attrs.get("LOOM_SPEC_VERSION")
    return next(iter(texts_of(value) or ()), "")


def _stripe_bytes(dataset: h5py.Dataset) -> int:
    """Bytes of all chunks of the same cells, together with the counts read from them."""
    n_genes, n_cells = dataset.shape
    width = dataset.chunks[1] if dataset.chunks else n_cells
    return n_genes * min(width, n_cells) * (dataset.dtype.itemsize + BYTES_PER_VALUE)


def _entries(dataset: h5py.Dataset, max_bytes: int) -> Iterator[Entries]:
    """Yield entries of a genes × cells dataset, in tiles of whole chunks if these fit into `max_bytes`."""
    n_genes, n_cells = dataset.shape
    height, width = dataset.chunks or (1, n_cells)
    most = max(1, max_bytes // 32)  # a value, its mask, and its position if it is not zero
    width = min(n_cells, max(width, most // height // width * width), most)
    height = max(1, min(height, most // width))
    for gene in range(0, n_genes, height):
        for cell in range(0, n_cells, width):
            tile = read_part(dataset, (slice(gene, gene + height), slice(cell, cell + width)))
            genes, of_cells = np.nonzero(tile)
            yield Entries(
                (of_cells + cell).astype(np.int32),
                (genes + gene).astype(np.int32),
                as_float32(tile[genes, of_cells]),
            )
