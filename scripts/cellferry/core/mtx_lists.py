"""Lists of cells and genes beside a MatrixMarket file, identified by their names.

Imported by the Snakefile too: nothing that is missing on a login node with Snakemake alone.
"""

import glob
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

type File = Path | zipfile.Path

PACKED = ("", ".gz")
PARSE = ("count_matrix", "DGE")
"""Names of Parse Biosciences' matrices, new and old."""


class Layout(NamedTuple):
    """Names of the lists that a program writes beside a matrix.

    Attributes
    ----------
    cells, genes
        Possible names of the lists, without `.gz`; the first that exists is used.
    gene_names
        Name of a list of gene names, if `genes` contains only ids.
    cells_are_rows
        Orientation of a matrix with as many cells as genes.
    """

    cells: tuple[str, ...]
    genes: tuple[str, ...]
    gene_names: str | None = None
    cells_are_rows: bool = False


class Lists(NamedTuple):
    """The lists beside a matrix; see `Layout`."""

    cells: File
    genes: File
    gene_names: File | None
    cells_are_rows: bool


def stem_of(name: str) -> str:
    """Name of a matrix file without its suffixes."""
    return name.removesuffix(".gz").removesuffix(".mtx")


def prefix_of_matrix(name: str) -> str:
    """Prefix before `matrix.mtx` in a file's name, shared by the lists beside it."""
    stem = stem_of(name)
    return stem.removesuffix("matrix") if stem.endswith("matrix") else ""


def layouts(name: str) -> list[Layout]:
    """Possible names of the lists beside a matrix with the given name, those of 10x Genomics first.

    Others: bustools (kb), Parse Biosciences, alevin and alevin-fry, Single Cell Expression Atlas.
    """
    stem, prefix = stem_of(name), prefix_of_matrix(name)
    every = [Layout((f"{prefix}barcodes.tsv",), (f"{prefix}features.tsv", f"{prefix}genes.tsv"))]
    # The matrices of one run (cells_x_genes.total, .mature, …) share their lists.
    for base in dict.fromkeys((stem, stem.rpartition(".")[0])):
        if base:
            names = (f"{base}.barcodes.txt",), (f"{base}.genes.txt",)
            every.append(Layout(*names, f"{base}.genes.names.txt", cells_are_rows=True))
    every.append(Layout((f"{stem}_rows.txt",), (f"{stem}_cols.txt",), cells_are_rows=True))
    every.append(Layout((f"{stem}.mtx_cols",), (f"{stem}.mtx_rows",)))
    for called in PARSE:
        if stem.endswith(called):
            before = stem.removesuffix(called)
            genes = tuple(f"{before}{name}" for name in ("all_genes.csv", "genes.csv"))
            every.append(Layout((f"{before}cell_metadata.csv",), genes, cells_are_rows=True))
    return every


def find_lists(matrix: File) -> Lists | None:
    """The lists beside a matrix, or None without a complete set."""
    for layout in layouts(matrix.name):
        cells, genes = (_first(matrix, names) for names in (layout.cells, layout.genes))
        if cells is not None and genes is not None:
            named = None if layout.gene_names is None else _first(matrix, (layout.gene_names,))
            return Lists(cells, genes, named, layout.cells_are_rows)
    return None


def missing_list(matrix: File) -> tuple[str, ...]:
    """Possible names of the missing list; those of the genes if both are missing."""
    every = layouts(matrix.name)
    for layout in every:
        cells, genes = (_first(matrix, names) for names in (layout.cells, layout.genes))
        if genes is not None:
            return layout.cells
        if cells is not None:
            return layout.genes
    return every[0].genes


def files_beside(matrix: Path) -> Iterator[Path]:
    """All files beside a matrix that can be its lists."""
    names: dict[str, None] = {}
    for layout in layouts(matrix.name):
        names |= dict.fromkeys((*layout.cells, *layout.genes, *filter(None, [layout.gene_names])))
    for name in names:
        yield from sorted(matrix.parent.glob(f"{glob.escape(name)}*"))


def _first(matrix: File, names: tuple[str, ...]) -> File | None:
    candidates = (matrix.parent / f"{name}{ending}" for name in names for ending in PACKED)
    return next((candidate for candidate in candidates if candidate.is_file()), None)
