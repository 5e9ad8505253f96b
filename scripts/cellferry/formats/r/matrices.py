"""Matrices in an R object: sparse ones of package Matrix (by column, by row, as triplets) and dense ones.

R's matrices are genes × cells and stored by column, so that the counts of a cell are contiguous.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from ...errors import InputError
from ..compressed import check_compressed
from ..matrix import csc_entries, csr_rows, dense_rows
from ..sorting import Entries, as_float32, row_blocks
from .nodes import WIDTHS, Node, Tree
from .vectors import Numbers, Vectors

SLOTS = {
    "column": {"indptr": "p", "indices": "i", "data": "x"},
    "row": {"indptr": "p", "indices": "j", "data": "x"},
    "triplets": {"rows": "i", "columns": "j", "data": "x"},
    "dense": {"data": "x"},
}
"""Arrays of a matrix and their slots in classes of package Matrix, by storage order."""


class Matrix(NamedTuple):
    """A matrix of numbers in an R object.

    Attributes
    ----------
    stored_by
        `column`, `row` or `triplets` if it is sparse; `dense` (by column) otherwise.
    shape
        Rows and columns.
    row_names, column_names
        Names, or None.
    arrays
        Arrays by scipy's names, with `rows` and `columns` for triplets.
    """

    stored_by: str
    shape: tuple[int, int]
    row_names: Node | None
    column_names: Node | None
    arrays: dict[str, Node]

    @property
    def nodes(self) -> list[Node]:
        """The vectors from which its blocks are read."""
        return list(self.arrays.values())

    @property
    def nonzeros(self) -> int | None:
        """Number of stored values; None if it is dense."""
        return None if self.stored_by == "dense" else self.arrays["data"].length

    @property
    def dtype(self) -> str:
        """Type of the stored values."""
        return {"logical": "bool", "integer": "int32"}.get(self.arrays["data"].kind, "float64")

    def glance(self, vectors: Vectors) -> np.ndarray:
        """Some of its values: from its start, middle and end, or all if they are few."""
        data = self.arrays["data"]
        if data.preview is None:
            return vectors.values(data)[:] if data.kept is not None or data.sequence else np.empty(0)
        return data.preview

    def check(self, path: Path, where: str) -> None:
        """Raise an `InputError` if the lengths of its arrays do not fit its shape."""
        rows, columns = self.shape
        lengths = {name: node.length for name, node in self.arrays.items()}
        n = lengths["data"]
        expected = {
            "column": {"indptr": columns + 1, "indices": n, "data": n},
            "row": {"indptr": rows + 1, "indices": n, "data": n},
            "triplets": {"rows": n, "columns": n, "data": n},
            "dense": {"data": rows * columns},
        }[self.stored_by]
        if lengths != expected:
            found = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise InputError(
                f"{path}: {where} is {rows} × {columns}, but the lengths of its arrays do not fit ({found}); "
                "the file is damaged: save it again"
            )

    def pointers(self, tree: Tree) -> list[Node]:
        """The vector of its pointers, unless it is dense or reading it requires unpacking."""
        node = self.arrays.get("indptr")
        is_at_hand = node is not None and not (tree.is_packed and node.kept is None and node.size)
        return [node] if node is not None and is_at_hand else []

    def check_pointers(self, vectors: Vectors, where: str, path: Path) -> None:
        """Raise an `InputError` if its pointers do not fit its values."""
        storage = "csc" if self.stored_by == "column" else "csr"
        check_compressed(Arrays(where, vectors, self.arrays), storage, self.shape, path)

    @contextmanager
    def opened(self, vectors: Vectors, where: str) -> Iterator["Arrays | Dense"]:
        """Yield its arrays, or a `Dense` matrix; `where` names it in messages."""
        arrays = Arrays(where, vectors, self.arrays)
        yield Dense(arrays["data"], self.shape[::-1]) if self.stored_by == "dense" else arrays


class Arrays(dict):
    """The arrays of a sparse matrix by name, like an h5py group."""

    def __init__(self, name: str, vectors: Vectors, nodes: dict[str, Node]) -> None:
        super().__init__({key: vectors.numbers(node) for key, node in nodes.items()})
        self["data"] = vectors.values(nodes["data"])
        self.name = name


class Dense:
    """A vector with a matrix row by row, like an h5py dataset."""

    ndim = 2
    chunks = None

    def __init__(self, values: Numbers, shape: tuple[int, int]) -> None:
        self._values = values
        self.shape = shape
        self.dtype = values.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        n_columns = self.shape[1]
        return self._values[start * n_columns : stop * n_columns].reshape(-1, n_columns)


def storage(stored_by: str, cells_are_rows: bool) -> str:
    """Storage of cells × genes: `csr`, `csc`, `triplets`, or `dense` if a cell's values are contiguous.

    Parameters
    ----------
    stored_by
        As in `Matrix`.
    cells_are_rows
        True if the rows of the matrix are the cells, False if the columns are.
    """
    if stored_by == "triplets":
        return "triplets"
    if stored_by == "dense":
        return "csc" if cells_are_rows else "dense"
    return "csr" if (stored_by == "row") == cells_are_rows else "csc"


def cell_blocks(
    opened: Any,
    stored_by: str,
    shape: tuple[int, int],
    max_bytes: int,
    scratch: Path,
    path: Path,
    *,
    cells_are_rows: bool,
) -> Iterator[sparse.csr_matrix]:
    """Yield cells × genes in order, as CSR float32 of at most `max_bytes` (8 per value), at least one cell.

    Parameters
    ----------
    opened
        The arrays `indptr`, `indices` and `data`, or `rows`, `columns` and `data`, of a sparse matrix; a
        dense one as an array of columns × rows.
    stored_by, shape
        As in `Matrix`.
    max_bytes
        Size of a block.
    scratch
        Folder for temporary files, 12 bytes per value, used if the values of a cell are not contiguous.
    path
        The file, for messages.
    cells_are_rows
        True if the rows of the matrix are the cells, False if the columns are.
    """
    by_cells = shape if cells_are_rows else shape[::-1]
    kind = storage(stored_by, cells_are_rows)
    if kind == "csr":
        return csr_rows(opened, by_cells, max_bytes, path)
    if kind == "dense":
        return dense_rows(opened, max_bytes)
    if kind == "triplets":
        entries = _triplets(opened, by_cells, max_bytes, path, cells_are_rows=cells_are_rows)
    elif stored_by == "dense":
        entries = _dense_entries(opened, max_bytes)
    else:
        entries = csc_entries(opened, by_cells, max_bytes, path)
    nonzeros = None if stored_by == "dense" else opened["data"].shape[0]
    return row_blocks(entries, by_cells, max_bytes, scratch, nonzeros=nonzeros)


def matrix_of(node: Node) -> Matrix | None:
    """The matrix in a value, or None for other values and unsupported matrices.

    Unsupported are patterns without values, and forms that omit values (symmetric, triangular).
    """
    slots = node.attributes
    if node.kind in WIDTHS and "dim" in slots:
        shape, names = slots["dim"].numbers, slots.get("dimnames")
        stored_by, arrays = "dense", {"data": node}
    elif node.kind == "S4" and {"Dim", "x"} <= slots.keys() and not {"uplo", "diag"} & slots.keys():
        shape, names = slots["Dim"].numbers, slots.get("Dimnames")
        kinds = [kind for kind, names in SLOTS.items() if set(names.values()) <= slots.keys()]
        stored_by = kinds[0]
        arrays = {name: slots[slot] for name, slot in SLOTS[stored_by].items()}
    else:
        return None
    if len(shape) != 2 or any(array.kind not in WIDTHS for array in arrays.values()):
        return None
    return Matrix(stored_by, (int(shape[0]), int(shape[1])), *dimnames(names), arrays)


def dimnames(node: Node | None) -> tuple[Node | None, Node | None]:
    """Names of rows and columns, each None if missing."""
    sides = node.items if node is not None else []
    if len(sides) != 2:
        return None, None
    row_names, column_names = (side if side.kind == "character" else None for side in sides)
    return row_names, column_names


def _triplets(
    arrays: "Arrays", shape: tuple[int, int], max_bytes: int, path: Path, *, cells_are_rows: bool
) -> Iterator[Entries]:
    step = max(1, max_bytes // 12)
    names = ("rows", "columns") if cells_are_rows else ("columns", "rows")
    for start in range(0, len(arrays["data"]), step):
        cells, genes = (arrays[name][start : start + step] for name in names)
        for positions, bound in zip((cells, genes), shape, strict=True):
            if positions.min() < 0 or positions.max() >= bound:
                raise InputError(
                    f"{path}: {arrays.name} points outside the matrix; the file is damaged: save it again"
                )
        yield Entries(cells, genes, as_float32(arrays["data"][start : start + step]))


def _dense_entries(genes_by_cells: Any, max_bytes: int) -> Iterator[Entries]:
    """Yield entries of a dense matrix that is stored gene by gene."""
    n_genes, n_cells = genes_by_cells.shape
    step = max(1, max_bytes // (20 * max(1, n_cells)))
    for start in range(0, n_genes, step):
        values = genes_by_cells[start : start + step]
        genes, cells = np.nonzero(values)
        found = as_float32(values[genes, cells])
        yield Entries(cells.astype(np.int32), (genes + start).astype(np.int32), found)
