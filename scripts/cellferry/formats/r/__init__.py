"""R objects without R: Seurat objects, SingleCellExperiments and matrices in .rds, .rda and .RData files.

R writes genes × cells by column, so that the counts of a cell are contiguous and cells are in order. A
compressed file can only be read from its start: `header` walks through it once; `cells` and `blocks` walk
through it again and copy the data that they need to a temporary file (12 bytes per stored value).
"""

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ...errors import InputError
from ...resources.memory import BLOCK_BYTES
from ..cell_names import hashes
from ..interface import Block, Cells, FileSignature, Header, Options
from ..orientation import probably_genes_are_rows
from .choice import Place, choose
from .linked import Linked, Piece, View, turn
from .matrices import Matrix, cell_blocks, storage
from .nodes import Node, Tree
from .objects import Assay, Names, Table, text_columns
from .reading import read_tree
from .stream import ASCII_STARTS, STARTS
from .vectors import Annotation, Vectors, vectors

CELLS_AT_ONCE = 1 << 17
NAMES_TO_JUDGE = 5000
MAX_LISTED = 10


class Stretch(NamedTuple):
    """A stored matrix and its position among the genes and cells of the dataset.

    Attributes
    ----------
    matrix, where, cells_are_rows
        The matrix, its name for messages, and its orientation.
    genes
        Positions of the dataset's genes in the matrix, in the dataset's order; None if the genes are equal.
    rows
        Row in the table of cells for each of its cells, -1 if it is left out; None if the cells are equal.
    """

    matrix: Matrix | Linked
    where: str
    cells_are_rows: bool
    genes: np.ndarray | None
    rows: np.ndarray | None

    @property
    def n_cells(self) -> int:
        """Number of stored cells."""
        return self.matrix.shape[0 if self.cells_are_rows else 1]


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file begins like one of R's saveRDS or save, including text files."""
    return signature.start.startswith((*STARTS, *ASCII_STARTS))


def header(path: Path, options: Options) -> Header:
    """Walk through a file and select the counts; see `interface.Header`."""
    tree = read_tree(path)
    chosen = choose(tree, options)
    place, assay, cells = chosen.place, chosen.assay, chosen.experiment and chosen.experiment.cells
    if assay is None:
        _orient(place, tree, options)
    names = _names_of_cells(place, cells)
    table = cells or Table(None, sum(view.shape[1] for view in place.views), {}, [])
    sides = [_names_of_genes(part.genes, view) for part, view in zip(place.parts, place.views, strict=True)]
    wanted = [*_nodes_of_genes(sides, assay), *_nodes_of_cells(place, names)]
    matrices = [piece.matrix for view in place.views for piece in view.pieces]
    checked = [matrix for matrix in matrices if isinstance(matrix, Matrix) and matrix.pointers(tree)]
    wanted += [node for matrix in checked for node in matrix.pointers(tree)]
    with tempfile.TemporaryDirectory() as folder, vectors(tree, wanted, Path(folder)) as opened:
        genes, of_parts = _genes(path, place, sides, opened, chosen.remarks)
        rows = _rows(path, place, names, table.n_rows, opened, chosen.remarks)
        var = _var(genes, sides[0].node, assay, opened)
        for matrix in checked:
            matrix.check_pointers(opened, place.name, path)
    stretches = _stretches(place, of_parts, rows)
    if table.left_out:
        chosen.remarks.append(
            "columns of the cells' annotation that hold neither strings nor numbers are left out: "
            f"{_some(table.left_out)}"
        )
    kinds = [storage(stretch.matrix.stored_by, stretch.cells_are_rows) for stretch in stretches]
    nonzeros = [stretch.matrix.nonzeros for stretch in stretches]
    return Header(
        path=path,
        format="r",
        options=options,
        n_cells=sum(
            stretch.n_cells if stretch.rows is None else int(np.count_nonzero(stretch.rows >= 0))
            for stretch in stretches
        ),
        n_genes=len(genes),
        nonzeros=None if None in nonzeros else sum(nonzeros),
        dtype=stretches[0].matrix.dtype,
        # If one part must be sorted, all are.
        storage=next((kind for kind in kinds if kind in ("csc", "triplets")), kinds[0]),
        places=chosen.places,
        counts=place.name,
        var=var,
        obs_columns=list(table.columns),
        preview=place.preview,
        remarks=chosen.remarks,
        details={
            "tree": replace(tree, objects={}),
            "stretches": stretches,
            "names": names,
            "columns": table.columns,
            "sorted": {*kinds} <= {"csr", "dense"} and not _must_be_copied(stretches, tree),
        },
    )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of the cells, about a hundred thousand at a time."""
    tree, stretches = header.details["tree"], header.details["stretches"]
    with (
        tempfile.TemporaryDirectory() as folder,
        vectors(tree, _annotation_nodes(header, columns), Path(folder)) as opened,
    ):
        annotation = _annotation(header, columns, opened)
        for stretch in stretches:
            for start in range(0, stretch.n_cells, CELLS_AT_ONCE):
                rows = _rows_of(stretch, start, min(start + CELLS_AT_ONCE, stretch.n_cells))
                yield annotation.take(rows if isinstance(rows, slice) else rows[rows >= 0])


def blocks(header: Header, columns: list[str], max_bytes: int, scratch: Path) -> Iterator[Block]:
    """Yield counts, names and annotation in row blocks; see `formats.blocks`."""
    tree, stretches = header.details["tree"], header.details["stretches"]
    nodes = [node for stretch in stretches for node in stretch.matrix.nodes]
    with vectors(tree, [*nodes, *_annotation_nodes(header, columns)], scratch) as opened:
        annotation = _annotation(header, columns, opened)
        for stretch in stretches:
            start = 0
            for counts in _counts(stretch, opened, header, max_bytes, scratch):
                rows = _rows_of(stretch, start, start + counts.shape[0])
                start += counts.shape[0]
                if not isinstance(rows, slice):
                    kept = rows >= 0
                    counts, rows = (counts, rows) if kept.all() else (counts[kept], rows[kept])
                yield Block(counts, *annotation.take(rows))


def _counts(
    stretch: Stretch, opened: Vectors, header: Header, max_bytes: int, scratch: Path
) -> Iterator[sparse.csr_matrix]:
    """Yield blocks of a stored matrix, with the genes of the dataset."""
    matrix, turned = stretch.matrix, stretch.cells_are_rows
    # Larger blocks are useful only if cells must be sorted.
    most = (
        max_bytes if storage(matrix.stored_by, turned) in ("csc", "triplets") else min(max_bytes, BLOCK_BYTES)
    )
    with matrix.opened(opened, stretch.where) as arrays:
        for counts in cell_blocks(
            arrays, matrix.stored_by, matrix.shape, most, scratch, header.path, cells_are_rows=turned
        ):
            if stretch.genes is None:
                yield counts
            else:
                selected = counts[:, stretch.genes]
                selected.sort_indices()
                yield selected


def _rows_of(stretch: Stretch, start: int, stop: int) -> slice | np.ndarray:
    return slice(start, stop) if stretch.rows is None else stretch.rows[start:stop]


def _annotation_nodes(header: Header, columns: list[str]) -> list[Node]:
    names = header.details["names"]
    return [*([] if names is None else [names]), *(header.details["columns"][column] for column in columns)]


def _annotation(header: Header, columns: list[str], opened: Vectors) -> Annotation:
    in_order = all(stretch.rows is None for stretch in header.details["stretches"])
    wanted = {column: header.details["columns"][column] for column in columns}
    return Annotation(opened, header.details["names"], wanted, in_order=in_order)


def _must_be_copied(stretches: list[Stretch], tree: Tree) -> bool:
    """True if counts must be copied out of a compressed file."""
    nodes = [node for stretch in stretches for node in stretch.matrix.nodes]
    return tree.is_packed and any(node.kept is None and node.size for node in nodes)


def _orient(place: Place, tree: Tree, options: Options) -> None:
    """Transpose a standalone matrix whose rows are cells; R packages store genes × cells."""
    view = place.views[0]
    if options.orientation == "auto":
        names = [view.row_names, view.column_names]
        if None in names:
            return
        with tempfile.TemporaryDirectory() as folder, vectors(tree, names, Path(folder)) as opened:
            samples = [list(itertools.islice(opened.strings(node), NAMES_TO_JUDGE)) for node in names]
        if probably_genes_are_rows(*samples) is False and len(view.pieces) == 1:
            place.views = [turn(view)]
    elif options.orientation == "cells":
        place.views = [turn(view)]


def _names_of_cells(place: Place, cells: Table | None) -> Node | None:
    """Names of the dataset's cells: from the table of cells, else from the matrices."""
    if cells is not None and cells.names is not None:
        return cells.names
    if place.parts[0].cells.node is not None:
        return place.parts[0].cells.node
    return place.views[0].column_names if len(place.views) == 1 else None


def _names_of_genes(names: Names, view: View) -> Names:
    return Names(view.row_names) if names.node is None else names


def _nodes_of_genes(sides: list[Names], assay: Assay | None) -> list[Node]:
    nodes = [node for side in sides for node in side.nodes]
    if assay is not None and assay.var is not None:
        nodes += [*text_columns(assay.var).values(), *([assay.var.names] if assay.var.names else [])]
    return nodes


def _nodes_of_cells(place: Place, names: Node | None) -> list[Node]:
    nodes = []
    for part, view in zip(place.parts, place.views, strict=True):
        part_names = part.cells if part.cells.node is not None else Names(view.column_names)
        if not _are_the_same(part_names, view.shape[1], names):
            nodes += [*part_names.nodes, *([] if names is None else [names])]
    return nodes


def _are_the_same(part_names: Names, n: int, names: Node | None) -> bool:
    """True if a matrix has the cells of the table, in the same order."""
    node = part_names.node
    if node is None or names is None or node is names:
        return node is None or node.length == n
    return node.digest is not None and node.digest == names.digest and node.length == n


def _chosen_names(path: Path, where: str, names: Names, n: int, opened: Vectors) -> Iterator[str]:
    """Yield the names of a matrix's rows or columns."""
    found = opened.strings(names.node)
    n_found = names.node.length
    if n_found != n and names.chosen_by is not None:
        logical, column = names.chosen_by
        is_chosen = opened.numbers(logical)[column * n_found : (column + 1) * n_found] == 1
        found, n_found = itertools.compress(found, is_chosen), np.count_nonzero(is_chosen)
    if n_found != n:
        raise InputError(
            f"{path}: {where} has {n} rows or columns, but {n_found} names for them; the object is damaged: "
            "save it again"
        )
    return found


def _genes(
    path: Path, place: Place, sides: list[Names], opened: Vectors, remarks: list[str]
) -> tuple[list[str], list[np.ndarray | None]]:
    """Genes common to all parts, and their positions in each part (None: all, in order)."""
    found = []
    for part, side, view in zip(place.parts, sides, place.views, strict=True):
        if side.node is None:
            raise InputError(
                f"{path}: the {view.shape[0]} genes of {part.where} have no names; add row names to the "
                "object and save it again"
            )
        found.append(list(_chosen_names(path, part.where, side, view.shape[0], opened)))
    every = list(dict.fromkeys(itertools.chain(*found)))
    if all(names == found[0] for names in found):
        return found[0], [None] * len(found)
    in_all = set.intersection(*map(set, found))
    genes = [gene for gene in every if gene in in_all]
    if len(genes) < len(every):
        remarks.append(
            f"{len(every) - len(genes)} of {len(every)} genes are left out, as they are not in all layers "
            f"({_some([part.where for part in place.parts])})"
        )
    lookups = [{gene: number for number, gene in reversed(list(enumerate(names)))} for names in found]
    return genes, [np.array([lookup[gene] for gene in genes], dtype=np.int64) for lookup in lookups]


def _rows(
    path: Path, place: Place, names: Node | None, n_rows: int, opened: Vectors, remarks: list[str]
) -> list[np.ndarray | None]:
    """Rows of each part's cells in the table of cells (-1: missing; None: all, in order)."""
    rows: list[np.ndarray | None] = []
    known = None
    for part, view in zip(place.parts, place.views, strict=True):
        n = view.shape[1]
        part_names = part.cells if part.cells.node is not None else Names(view.column_names)
        if _are_the_same(part_names, n, names):
            if n != n_rows and n_rows:
                raise InputError(
                    f"{path}: {part.where} has {n} cells, but {n_rows} annotated ones; the object is "
                    "damaged: save it again"
                )
            rows.append(None)
            continue
        known = _Lookup(opened, names) if known is None else known
        rows.append(known.rows(_hashes(_chosen_names(path, part.where, part_names, n, opened))))
    n_unknown = sum(int(np.count_nonzero(some < 0)) for some in rows if some is not None)
    n_cells = sum(view.shape[1] for view in place.views)
    if n_unknown == n_cells > 0:
        raise InputError(
            f"{path}: none of the {n_cells} cells of {place.name} is annotated; the object is damaged: save "
            "it again"
        )
    if n_unknown:
        remarks.append(
            f"{n_unknown} of {n_cells} cells of {place.name} are left out: they are not in the object's "
            "annotation (filtered out)"
        )
    if len(rows) > 1:
        remarks.append(f"layers are read one after another: {_some([part.where for part in place.parts])}")
    return rows


class _Lookup:
    """Rows of a table by the names of its cells; holds 16 bytes per cell."""

    def __init__(self, opened: Vectors, names: Node) -> None:
        known = _hashes(opened.strings(names))
        self._order = np.argsort(known, kind="stable")
        self._sorted = known[self._order]

    def rows(self, wanted: np.ndarray) -> np.ndarray:
        """Row of each hash of a name; -1 if it is missing."""
        at = np.searchsorted(self._sorted, wanted)
        at[at == len(self._sorted)] = 0
        return np.where(self._sorted[at] == wanted, self._order[at], -1) if len(self._sorted) else at - 1


def _hashes(names: Iterator[str]) -> np.ndarray:
    parts = []
    while some := list(itertools.islice(names, CELLS_AT_ONCE)):
        parts.append(hashes(np.array(some, dtype=object)))
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def _var(genes: list[str], names: Node | None, assay: Assay | None, opened: Vectors) -> pd.DataFrame:
    """Names of the genes, with the string columns of their table."""
    index = pd.Index(genes, dtype=object)
    table = assay.var if assay is not None else None
    if table is None:
        return pd.DataFrame(index=index)
    owner = table.names or assay.genes or names
    known = list(opened.strings(owner)) if owner is not None else []
    columns = {}
    if len(known) == table.n_rows:
        lookup = None if known == genes else {gene: row for row, gene in reversed(list(enumerate(known)))}
        rows = slice(0, len(known)) if lookup is None else np.array([lookup.get(gene, -1) for gene in genes])
        for name, node in text_columns(table).items():
            values = (
                Annotation(opened, None, {name: node}, in_order=False).take(np.arange(table.n_rows)).obs[name]
            )
            columns[name] = values if lookup is None else np.append(values, None)[rows]
    return pd.DataFrame(columns, index=index)


def _stretches(
    place: Place, of_parts: list[np.ndarray | None], of_cells: list[np.ndarray | None]
) -> list[Stretch]:
    several = sum(len(view.pieces) for view in place.views) > 1
    return [
        _stretch(piece, part.where, genes, rows, keep_rows=several)
        for part, view, genes, rows in zip(place.parts, place.views, of_parts, of_cells, strict=True)
        for piece in view.pieces
    ]


def _stretch(
    piece: Piece, where: str, genes: np.ndarray | None, rows: np.ndarray | None, *, keep_rows: bool
) -> Stretch:
    gene_positions, cell_positions = piece.positions
    n_genes, n_cells = piece.shape
    if gene_positions is not None:
        # Stored position of each of the view's genes.
        stored = np.empty(gene_positions.max() + 1, dtype=np.int64)
        stored[gene_positions[gene_positions >= 0]] = np.flatnonzero(gene_positions >= 0)
        genes = stored if genes is None else stored[genes]
    if cell_positions is not None:
        rows = cell_positions if rows is None else np.where(cell_positions < 0, -1, rows[cell_positions])
    if rows is None and keep_rows:
        rows = np.arange(n_cells)
    if genes is not None and np.array_equal(genes, np.arange(n_genes)):
        genes = None
    if rows is not None and not keep_rows and np.array_equal(rows, np.arange(n_cells)):
        rows = None
    return Stretch(piece.matrix, where, piece.is_turned, genes, rows)


def _some(names: list[str]) -> str:
    return ", ".join([*names[:MAX_LISTED], "…"] if len(names) > MAX_LISTED else names)
