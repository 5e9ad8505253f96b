"""AnnData's h5ad files, all on-disk versions since 0.5."""

from collections.abc import Iterator
from pathlib import Path

from . import anndata_store
from .annotation import annotated_blocks, annotated_cells
from .hdf5 import open_hdf5
from .interface import Block, Cells, FileSignature, Header, Options


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file is an h5ad file."""
    return signature.groups is not None and {"obs", "var"} <= signature.groups.keys()


def header(path: Path, options: Options) -> Header:
    """Read the header of an h5ad file; see `interface.Header`."""
    with open_hdf5(path, options) as file:
        found = anndata_store.header(file, path, options, "h5ad")
        anndata_store.check(file, found)
        return found


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of the cells, about a hundred thousand at a time."""
    with open_hdf5(header.path, header.options) as file:
        yield from annotated_cells(anndata_store.CellFrame(file), header.n_cells, columns)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield counts, names and annotation in row blocks; see `formats.blocks`."""
    with open_hdf5(header.path, header.options) as file:
        rows = anndata_store.counts_of(file, header, max_bytes, scratch, start, stop)
        yield from annotated_blocks(rows, anndata_store.CellFrame(file), columns, start)
