"""obs and var of AnnData objects on disk, read by columns and ranges of rows, in all on-disk versions.

0.5 and 0.6: one compound dataset, categories in `uns/{column}_categories`. 0.7: a group of datasets,
categories below `__categories`, referred to by an attribute. 0.8 on: a group with an encoding per
column (categorical, nullable-integer, nullable-boolean, nullable-string-array).
"""

import numpy as np

from .interface import as_strings
from .matrix import Array, Group, is_array

STRINGS = "SOTU"
"""Kinds of numpy types that hold strings: bytes, objects, variable and fixed length."""


class Frame:
    """A data frame of an AnnData object on disk.

    Parameters
    ----------
    root
        The group that holds the object, in an open HDF5 file or zarr store.
    element
        `obs`, `var`, or where else the frame is.

    Attributes
    ----------
    columns
        Names of the columns, without the index.
    """

    def __init__(self, root: Group, element: str) -> None:
        self._root = root
        self._frame = root[element]
        self._known_categories: dict[str, np.ndarray | None] = {}
        self.is_compound = is_array(self._frame)
        if self.is_compound:
            self._index, *self.columns = self._frame.dtype.names
        else:
            self._index = str(self._frame.attrs.get("_index", "_index"))
            order = self._frame.attrs.get("column-order")
            found = self._frame.keys() if order is None else order
            self.columns = [str(name) for name in found if name not in (self._index, "__categories")]

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def index(self) -> Array:
        """The array with the index, or with its codes; the whole frame if it is one array."""
        index = self._frame if self.is_compound else self._frame[self._index]
        if is_array(index):
            return index
        # Categories, or pandas' strings since version 3.
        return index["codes" if "codes" in index else "values"]

    def names(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The index in rows `start` to `stop`, as an object array of str."""
        return as_strings(self.values(self._index, start, stop))

    def is_string(self, column: str) -> bool:
        """Whether a column holds strings or categories."""
        if self.categories(column) is not None:
            return True
        if self.is_compound:
            return self._frame.dtype[column].kind in STRINGS
        item = self._frame[column]
        if not is_array(item):
            return "values" in item and item["values"].dtype.kind in STRINGS
        return item.dtype.kind in STRINGS

    def values(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values in rows `start` to `stop`: str objects (None where missing) or numbers (NaN where missing).

        Booleans become the strings `True` and `False`. Strings such as `nan` or `None` that stand in
        the file stay what they are.
        """
        categories = self.categories(column)
        if categories is not None:
            codes = self._codes(column, start, stop).astype(np.int64)
            if np.any(codes >= len(categories)):
                raise OSError(f"{column} has codes beyond its {len(categories)} categories")
            return np.append(categories, None)[np.where(codes < 0, len(categories), codes)]
        if not self.is_compound and not is_array(self._frame[column]):
            group = self._frame[column]
            values = group["values"][start:stop]
            missing = group["mask"][start:stop] if "mask" in group else np.zeros(len(values), dtype=bool)
            if values.dtype.kind in "biuf" and values.dtype != bool:
                return np.where(missing, np.nan, values.astype(np.float64))
            return np.where(missing, None, as_strings(values))
        values = self._stored(column, start, stop)
        return as_strings(values) if values.dtype.kind in STRINGS + "b" else values

    def _stored(self, column: str, start: int, stop: int | None) -> np.ndarray:
        if self.is_compound:
            return self._frame.fields(column)[start:stop]
        return self._frame[column][start:stop]

    def _codes(self, column: str, start: int, stop: int | None) -> np.ndarray:
        if not self.is_compound and not is_array(self._frame[column]):
            return self._frame[column]["codes"][start:stop]
        return self._stored(column, start, stop)

    def categories(self, column: str) -> np.ndarray | None:
        """Categories of a column, as an object array of str; None if it has none."""
        if column not in self._known_categories:
            self._known_categories[column] = self._read_categories(column)
        return self._known_categories[column]

    def _read_categories(self, column: str) -> np.ndarray | None:
        if self.is_compound:
            stored = self._root.get(f"uns/{column}_categories")
            if stored is None or self._frame.dtype[column].kind not in "iu":
                return None
            categories = as_strings(np.atleast_1d(stored[()]))
            # obs and var shared these entries: they are of the frame whose codes fit.
            fits = len(self) == 0 or self._frame.fields(column)[:].max() < len(categories)
            return categories if fits else None
        item = self._frame[column]
        if not is_array(item):
            return as_strings(item["categories"][:]) if "categories" in item else None
        reference = item.attrs.get("categories")
        return None if reference is None else as_strings(self._root[reference][:])
