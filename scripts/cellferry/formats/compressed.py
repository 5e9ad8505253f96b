"""Compressed sparse matrices, CSR or CSC, of any format: all arrays are checked before use.

The arrays are values, the position of each within its row, and pointers to the start of each row; in CSC,
columns take the place of rows. With inconsistent arrays, scipy and compiled code return counts of other cells
or crash without a message.
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
"""Kinds of numpy types of positions; some writers store floats."""


class Compressed:
    """A compressed matrix with consistent arrays.

    Parameters
    ----------
    group
        Indexed by `indptr`, `indices` and `data`: a group of HDF5 or zarr, or an equivalent.
    shape
        Number of rows (with contiguous values) and of columns.
    path
        The file, for messages.

    Attributes
    ----------
    n_values
        Number of stored values.

    Raises
    ------
    InputError
        If an array is not one-dimensional, not numeric, or of a wrong length; or if the pointers do not begin
        with 0 and end with the number of values.
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
                f"indptr holds {lengths[0]} pointers and indices {lengths[1]} positions instead of "
                f"{self._n_rows + 1} and {self.n_values}"
            )
        first, last = (self._numbers(self._pointers, at, at + 1)[0] for at in (0, self._n_rows))
        if first != 0 or last != self.n_values:
            self._refuse(f"indptr goes from {first} to {last} instead of from 0 to {self.n_values}")

    def pointers(self, start: int, stop: int) -> np.ndarray:
        """Start of the values of rows `start` to `stop`, and end of the last row (int64).

        Raises
        ------
        InputError
            If they decrease or are not positions of values.
        """
        found = self._numbers(self._pointers, start, stop + 1)
        is_position = (found >= 0) & (found <= self.n_values)
        if not is_position.all():
            at = int(np.argmin(is_position))
            self._refuse(f"indptr[{start + at}] is {found[at]}, but there are {self.n_values} values")
        found = found.astype(np.int64)
        decreases = found[1:] < found[:-1]
        if decreases.any():
            at = int(np.argmax(decreases))
            self._refuse(f"indptr decreases at {start + at + 1}, from {found[at]} to {found[at + 1]}")
        return found

    def check_pointers(self) -> None:
        """Check all pointers, in parts; see `pointers`."""
        for start in range(0, self._n_rows, POINTERS_AT_ONCE):
            self.pointers(start, min(self._n_rows, start + POINTERS_AT_ONCE))

    def columns(self, begin: int, end: int) -> np.ndarray:
        """Columns of the values `begin` to `end` (int32 if their number fits).

        Raises
        ------
        InputError
            If one is outside the matrix.
        """
        found = self._numbers(self._indices, begin, end)
        # NaN in float positions fails this comparison too.
        if len(found) and not (found.min() >= 0 and found.max() < self._n_columns):
            raise InputError(
                f"{self._path}: {self._name}/indices points outside the matrix; the file is damaged: "
                "export it again"
            )
        return found.astype(np.int32 if end - begin <= INT32_MAX else np.int64, copy=False)

    def values(self, begin: int, end: int) -> np.ndarray:
        """The stored values `begin` to `end`, of any type."""
        return read_values(self._data, begin, end)

    def _array(self, group: Any, name: str, kinds: str) -> Any:
        array = group[name]
        shape = getattr(array, "shape", None)
        if shape is None or len(shape) != 1 or array.dtype.kind not in kinds:
            kind = "a group" if shape is None else f"{array.dtype} of shape {shape}"
            self._refuse(f"{self._name}/{name} is {kind}, not a one-dimensional array of numbers")
        check_written(array)
        return array

    def _numbers(self, array: Any, begin: int, end: int) -> np.ndarray:
        """Whole numbers; whole floats are returned as floats."""
        found = read_values(array, begin, end)
        if found.dtype.kind == "f" and not np.array_equal(found, np.rint(found)):
            self._refuse("its positions are not whole numbers")
        return found

    def _refuse(self, why: str) -> None:
        raise InputError(
            f"{self._path}: the index arrays of {self._name} do not fit its values and shape ({why}); "
            "the file is damaged: export it again"
        )


def check_compressed(group: Any, storage: str, shape: tuple[int, int], path: Path) -> None:
    """Raise an `InputError` if the arrays of a matrix are inconsistent, judged by its pointers.

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
