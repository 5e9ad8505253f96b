"""Matrices that an R object refers to in other files, and wrappers around them.

A Seurat object can refer to BPCells folders, a SingleCellExperiment to HDF5 files (DelayedArray). Both wrap
such a matrix in objects that rename, transpose, select and bind; these are supported. Wrappers that compute
(a logarithm, a sum) are not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ...core.reading import readable
from ...errors import InputError
from .. import bpcells
from ..compressed import check_compressed
from ..hdf5 import open_hdf5
from ..matrix import glance
from .matrices import Matrix, dimnames, matrix_of
from .nodes import Node, Tree
from .vectors import Vectors

ReadIntegers = Callable[[Node], np.ndarray]


class Linked(NamedTuple):
    """A matrix in another file, with the attributes and methods of `Matrix`.

    Attributes
    ----------
    file
        BPCells folder, or HDF5 file.
    name
        Name of the group or dataset in an HDF5 file; None for a folder.
    """

    file: Path
    name: str | None
    stored_by: str
    shape: tuple[int, int]
    nonzeros: int | None
    dtype: str
    row_names: Node | None = None
    column_names: Node | None = None
    nodes: tuple[Node, ...] = ()

    @contextmanager
    def opened(self, vectors: Vectors, where: str) -> Iterator[Any]:
        """Yield its arrays, or the dataset if it is dense."""
        with readable(self.file):
            if self.name is None:
                yield bpcells.open_matrix(self.file)
                return
            with open_hdf5(self.file) as file:
                yield file[self.name]

    def glance(self, vectors: Vectors) -> np.ndarray:
        """Some of its values: from its start, middle and end."""
        with self.opened(vectors, "") as element:
            return glance(element)

    def check(self, path: Path, where: str) -> None:
        """Do nothing: the matrix was checked when it was opened first."""


@dataclass
class Piece:
    """A stored matrix and its position in the matrix that R shows.

    Attributes
    ----------
    matrix
        The stored matrix.
    is_turned
        True if R shows its rows as columns.
    positions
        Position in R's matrix of each of its rows and columns, in R's orientation; -1 if left out. None if
        all are present and in order.
    """

    matrix: Matrix | Linked
    is_turned: bool = False
    positions: tuple[np.ndarray | None, np.ndarray | None] = (None, None)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the stored matrix in R's orientation."""
        return self.matrix.shape[::-1] if self.is_turned else self.matrix.shape


@dataclass
class View:
    """A matrix as R shows it.

    Attributes
    ----------
    shape
        Rows and columns.
    pieces
        Its stored matrices, side by side.
    row_names, column_names
        Names, or None.
    lacks_names
        True if R would take its names from the matrix that it selects from.
    """

    shape: tuple[int, int]
    pieces: list[Piece]
    row_names: Node | None
    column_names: Node | None
    lacks_names: bool = False


def view_of(node: Node, tree: Tree, read: ReadIntegers) -> View | None:
    """The matrix that a value is or refers to, or None.

    Parameters
    ----------
    node
        The value.
    tree
        Its file; linked files are searched beside it.
    read
        Reads a vector of integers.

    Raises
    ------
    InputError
        If the linked matrix is missing, or is wrapped in a computation.
    """
    matrix = matrix_of(node)
    if matrix is not None:
        return View(matrix.shape, [Piece(matrix)], matrix.row_names, matrix.column_names)
    if node.kind != "S4" or not node.classes:
        return None
    return _Follow(tree, read).view(node)


class _Follow:
    """Resolves the wrappers around a matrix, from the outside in."""

    def __init__(self, tree: Tree, read: ReadIntegers) -> None:
        self._tree = tree
        self._read = read

    def view(self, node: Node) -> View | None:
        name, slots = node.classes[0], node.attributes
        if node.package == "BPCells":
            return self._bpcells(node)
        matrix = matrix_of(node)
        if matrix is not None:
            return View(matrix.shape, [Piece(matrix)], matrix.row_names, matrix.column_names)
        if "filepath" in slots:
            return self._hdf5(node)
        if name == "DelayedAbind" or "seeds" in slots:
            if slots["along"].numbers.tolist() != [2]:
                self._refuse("DelayedAbind (rbind)")
            return _side_by_side([self._inner(seed) for seed in slots["seeds"].items])
        if "seed" not in slots:
            return None
        inner = self._inner(slots["seed"])
        if name == "DelayedSetDimnames":
            return _renamed(inner, slots.get("dimnames"))
        if name == "DelayedAperm":
            turned = slots["perm"].numbers.tolist()
            if turned not in ([1, 2], [2, 1]):
                self._refuse("DelayedAperm that drops or adds a dimension")
            if turned == [2, 1] and len(inner.pieces) > 1:
                self._refuse("DelayedAperm of DelayedAbind")
            return inner if turned == [1, 2] else turn(inner)
        if name == "DelayedSubset":
            return self._selected(inner, *slots["index"].items)
        if not (name.startswith("Delayed") and name not in ("DelayedMatrix", "DelayedArray")):
            return inner  # the outermost object, of any package: DelayedMatrix, HDF5Matrix, TENxMatrix, …
        return self._refuse(name)

    def _inner(self, node: Node) -> View:
        found = self.view(node) if node.classes else view_of(node, self._tree, self._read)
        if found is None:
            self._refuse((node.classes or [node.kind])[0])
        return found

    def _refuse(self, what: str) -> Any:
        raise InputError(
            f"{self._tree.path}: its matrix is only described ({what}) and would have to be computed; "
            "compute it in R, for example with as(x, 'dgCMatrix'), and save it again"
        )

    def _selected(self, inner: View, *selections: Node) -> View:
        shape, sides = [], []
        for node, length in zip(selections, inner.shape, strict=True):
            if node.kind not in ("integer", "double") or node.length == 0:  # NULL: all
                sides.append(None)
                shape.append(length)
                continue
            wanted = self._read(node).astype(np.int64) - 1
            if len(wanted) and (wanted.min() < 0 or wanted.max() >= length):
                self._refuse("a selection beyond its rows or columns")
            if len(np.unique(wanted)) < len(wanted):
                self._refuse("a selection with the same row or column more than once")
            side = np.full(length, -1, dtype=np.int64)
            side[wanted] = np.arange(len(wanted))
            sides.append(side)
            shape.append(len(wanted))
        pieces = []
        for piece in inner.pieces:
            rows, columns = (_through(*both) for both in zip(piece.positions, sides, strict=True))
            pieces.append(Piece(piece.matrix, piece.is_turned, (rows, columns)))
        # After a selection, the original names no longer apply.
        names = [
            name if side is None else None
            for name, side in zip((inner.row_names, inner.column_names), sides, strict=True)
        ]
        lacks_names = [inner.row_names, inner.column_names] != names
        return View((shape[0], shape[1]), pieces, *names, lacks_names)

    def _bpcells(self, node: Node) -> View:
        name, slots = node.classes[0], node.attributes
        is_turned = bool(slots["transpose"].numbers.any())
        shown = slots["dim"].numbers.astype(int).tolist()
        if name == "MatrixDir":
            folder = self._locate(slots["dir"])
            with readable(folder):
                stored = bpcells.open_matrix(folder)
                stored.check()
            rows, columns = stored.shape
            by = {"col": "column", "row": "row"}[stored.storage_order]
            matrix = Linked(folder, None, by, (rows, columns), stored.nonzeros, str(stored["data"].dtype))
            if sorted(shown) != sorted(stored.shape):
                raise InputError(
                    f"{self._tree.path}: points to a matrix of {shown[0]} × {shown[1]} in {folder}, but that "
                    f"is {rows} × {columns}; put the original folder there"
                )
            is_square = rows == columns
            piece = Piece(matrix, is_turned != (by == "row") if is_square else shown != [rows, columns])
            return View((shown[0], shown[1]), [piece], *dimnames(slots.get("dimnames")))
        if name in ("RenameDims", "ConvertMatrixType"):
            return _renamed(self._inner(slots["matrix"]), slots.get("dimnames"))
        if not is_turned and name == "MatrixSubset":
            selected = self._selected(
                self._inner(slots["matrix"]), slots["row_selection"], slots["col_selection"]
            )
            return _renamed(selected, slots.get("dimnames"))
        if not is_turned and name == "ColBindMatrices":
            bound = _side_by_side([self._inner(matrix) for matrix in slots["matrix_list"].items])
            return _renamed(bound, slots.get("dimnames"))
        return self._refuse(f"{name} of BPCells")

    def _hdf5(self, node: Node) -> View:
        name, slots = node.classes[0], node.attributes
        file = self._locate(slots["filepath"])
        if node.slot("subdata") is not None:
            self._refuse(f"{name} of a part of its values")
        where = next((slots[slot].strings[0] for slot in ("name", "group") if slots.get(slot)), "/")
        rows, columns = (int(n) for n in slots["dim"].numbers)
        with readable(file), open_hdf5(file) as opened:
            element = opened[where]
            if isinstance(element, h5py.Dataset):
                shape, by, nonzeros, dtype = element.shape, "dense", None, element.dtype
                fits = shape == (columns, rows)
            else:
                by = "row" if name.startswith("CSR_") else "column"
                n_vectors, nonzeros = len(element["indptr"]) - 1, len(element["data"])
                shape, dtype = (n_vectors,), element["data"].dtype
                fits = n_vectors == (rows if by == "row" else columns)
                if fits:
                    check_compressed(element, "csr" if by == "row" else "csc", (rows, columns), file)
        if not fits:
            raise InputError(
                f"{self._tree.path}: points to a matrix of {rows} × {columns} in {file}, but {where} there "
                f"has another shape ({' × '.join(map(str, shape))}); put the original file there"
            )
        matrix = Linked(file, where, by, (rows, columns), nonzeros, str(dtype))
        return View((rows, columns), [Piece(matrix)], None, None)

    def _locate(self, node: Node) -> Path:
        """Find a file that was moved along with the object, by the longest matching end of its path."""
        stored = "".join(node.strings[:1])
        parts = Path(stored.replace("\\", "/")).parts
        beside = [self._tree.path.parent.joinpath(*parts[start:]) for start in range(1, len(parts))]
        for candidate in (self._tree.path.parent / stored, *beside):  # an absolute path is used as is
            if candidate.exists():
                return candidate
        raise InputError(
            f"{self._tree.path}: its counts are in {stored}, which is missing; put "
            f"'{parts[-1] if parts else stored}' beside the file"
        )


def _renamed(inner: View, names: Node | None) -> View:
    row_names, column_names = dimnames(names)
    names = (row_names or inner.row_names, column_names or inner.column_names)
    return View(inner.shape, inner.pieces, *names, inner.lacks_names and None in names)


def _through(old: np.ndarray | None, new: np.ndarray | None) -> np.ndarray | None:
    """Positions after two selections, one after the other."""
    if old is None or new is None:
        return old if new is None else new
    return np.where(old < 0, -1, new[old])


def turn(inner: View) -> View:
    """Transpose a view of one piece."""
    pieces = [Piece(piece.matrix, not piece.is_turned, piece.positions[::-1]) for piece in inner.pieces]
    return View(inner.shape[::-1], pieces, inner.column_names, inner.row_names, inner.lacks_names)


def _side_by_side(views: list[View]) -> View:
    n_rows = views[0].shape[0]
    pieces, start = [], 0
    for view in views:
        for piece in view.pieces:
            rows, columns = piece.positions
            columns = np.arange(piece.shape[1]) if columns is None else columns
            columns = np.where(columns < 0, -1, columns + start)
            pieces.append(Piece(piece.matrix, piece.is_turned, (rows, columns)))
        start += view.shape[1]
    return View((n_rows, start), pieces, views[0].row_names, None)
