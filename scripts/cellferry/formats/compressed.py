"""Compressed sparse matrices, CSR or CSC, of every format: nothing in them is believed before it is checked.

Values, the position of each within its row, and pointers to where each row begins; in CSC, columns take the
place of rows. What scipy and compiled code make of arrays that do not fit each other is counts of other
cells, or a crash without a message.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .hdf5_parts import check_written
from .inflate import read_values

POINTERS_AT_ONCE = 1 << 17
INT32_MAX = np.iinfo(np.int32).max
NUMBERS = "biuf"
WHOLE_NUMBERS = "iuf"
"""Kinds of numpy types that positions have; some writers make floats of them."""


class Compressed:
    """A compressed matrix whose arrays fit each other.

    Parameters
    ----------
    group
        Sliced by the names `indptr`, `indices` and `data`: a group of HDF5 or zarr, or what stands for one.
    shape
        Number of rows (whose values lie together) and of columns.
    path
        The file, for messages.

    Attributes
    ----------
    n_values
        Number of stored values.

    Raises
    ------
    InputError
        If an array is no one-dimensional one of numbers, or not as long as the others and the shape ask for;
        or if the pointers do not begin with 0 and end with the number of values.
    DamagedPartError
        If a part of an array was never written.
    """

    def __init__(self, group: Any, shape: tuple[int, int], path: Path) -> None:
        self._name, self._path = group.name, path
        self._n_rows, self._n_columns = shape
        self._pointers = self._array(group, "indptr", WHOLE_NUMBERS)
        self._indices = self._array(group, "indices", WHOLE_NUMBERS)
        self._data = self._array(group, "data", NUMBERS)
        self.n_values = self._data.shape[0]
        lengths = (self._pointers.shape[0], self._indices.shape[0])
        if lengths != (self._n_rows + 1, self.n_values):
            self._refuse(
                f"indptr holds {lengths[0]} pointers and indices {lengths[1]} positions, where "
                f"{self._n_rows + 1} and {self.n_values} are needed"
            )
        first, last = (self._numbers(self._pointers, at, at + 1)[0] for at in (0, self._n_rows))
        if first != 0 or last != self.n_values:
            self._refuse(f"indptr goes from {first} to {last} instead of from 0 to {self.n_values}")

    def pointers(self, start: int, stop: int) -> np.ndarray:
        """Where the values of rows `start` to `stop` begin, and where the last ones end (int64).

        Raises
        ------
        InputError
            If they decrease, or are no positions of values.
        """
        found = self._numbers(self._pointers, start, stop + 1)
        is_position = (found >= 0) & (found <= self.n_values)
        if not is_position.all():
            at = int(np.argmin(is_position))
            self._refuse(f"indptr[{start + at}] is {found[at]}, and there are {self.n_values} values")
        found = found.astype(np.int64)
        decreases = found[1:] < found[:-1]
        if decreases.any():
            at = int(np.argmax(decreases))
            self._refuse(f"indptr decreases at {start + at + 1}, from {found[at]} to {found[at + 1]}")
        return found

    def check_pointers(self) -> None:
        """Look at all pointers, some at a time; see `pointers`."""
        for start in range(0, self._n_rows, POINTERS_AT_ONCE):
            self.pointers(start, min(self._n_rows, start + POINTERS_AT_ONCE))

    def columns(self, begin: int, end: int) -> np.ndarray:
        """Columns of the values `begin` to `end` (int32 where their number fits into it).

        Raises
        ------
        InputError
            If one lies outside the matrix.
        """
        found = self._numbers(self._indices, begin, end)
        # NaN, which some float may be, fails this comparison too.
        if len(found) and not (found.min() >= 0 and found.max() < self._n_columns):
            raise InputError(
                f"{self._path}: {self._name}/indices points outside the matrix; the file is damaged: "
                "export it again"
            )
        return found.astype(np.int32 if end - begin <= INT32_MAX else np.int64, copy=False)

    def values(self, begin: int, end: int) -> np.ndarray:
        """The stored values `begin` to `end`, of whatever type they are."""
        return read_values(self._data, begin, end)

    def _array(self, group: Any, name: str, kinds: str) -> Any:
        array = group[name]
        shape = getattr(array, "shape", None)
        if shape is None or len(shape) != 1 or array.dtype.kind not in kinds:
            kind = "a group" if shape is None else f"{array.dtype} of shape {shape}"
            self._refuse(f"{self._name}/{name} is {kind}, and should be an array of numbers in a row")
        check_written(array)
        return array

    def _numbers(self, array: Any, begin: int, end: int) -> np.ndarray:
        """Whole numbers; floats are passed on as they are."""
        found = read_values(array, begin, end)
        if found.dtype.kind == "f" and not np.array_equal(found, np.rint(found)):
            self._refuse("its positions are no whole numbers")
        return found

    def _refuse(self, why: str) -> None:
        raise InputError(
            f"{self._path}: the index arrays of {self._name} do not fit its values and shape ({why}); "
            "the file is damaged: export it again"
        )


def check_compressed(group: Any, storage: str, shape: tuple[int, int], path: Path) -> None:
    """Raise an `InputError` if the arrays of a matrix do not fit each other, as far as its pointers tell.

    Parameters
    ----------
    group, path
        As in `Compressed`.
    storage
        `csr` or `csc`.
    shape
        Rows and columns of the matrix.
    """
    Compressed(group, shape if storage == "csr" else shape[::-1], path).check_pointers()
