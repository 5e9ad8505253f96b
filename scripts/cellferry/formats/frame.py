"""obs and var of an h5ad file, read column by column and row range by row range, in all on-disk versions.

0.5 and 0.6: one compound dataset, categories in `uns/{column}_categories`. 0.7: a group of datasets,
categories below `__categories`, referred to by an attribute. 0.8 on: a group with an encoding per
column (categorical, nullable-integer, nullable-boolean, nullable-string-array).
"""

import h5py
import numpy as np

from .interface import as_strings


class Frame:
    """A data frame of an h5ad file.

    Parameters
    ----------
    file
        The open file.
    element
        `obs`, `var`, or where else the frame is.

    Attributes
    ----------
    columns
        Names of the columns, without the index.
    """

    def __init__(self, file: h5py.File, element: str) -> None:
        self._file = file
        self._frame = file[element]
        self._known_categories: dict[str, np.ndarray | None] = {}
        self.is_compound = isinstance(self._frame, h5py.Dataset)
        if self.is_compound:
            self._index, *self.columns = self._frame.dtype.names
        else:
            self._index = str(self._frame.attrs.get("_index", "_index"))
            order = self._frame.attrs.get("column-order")
            found = self._frame.keys() if order is None else order
            self.columns = [str(name) for name in found if name not in (self._index, "__categories")]

    def __len__(self) -> int:
        index = self._frame if self.is_compound else self._frame[self._index]
        if isinstance(index, h5py.Group):  # pandas' strings since version 3, or categories
            index = index["codes" if "codes" in index else "values"]
        return index.shape[0]

    def names(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The index in rows `start` to `stop`, as an object array of str."""
        return as_strings(self.values(self._index, start, stop))

    def is_string(self, column: str) -> bool:
        """Whether a column holds strings or categories."""
        if self.categories(column) is not None:
            return True
        if self.is_compound:
            return self._frame.dtype[column].kind in "SO"
        item = self._frame[column]
        if isinstance(item, h5py.Group):
            return "values" in item and item["values"].dtype.kind in "SO"
        return item.dtype.kind in "SO"

    def values(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values in rows `start` to `stop`: str objects (None where missing) or numbers (NaN where missing).

        Booleans become the strings `True` and `False`. Strings such as `nan` or `None` that stand in
        the file stay what they are.
        """
        categories = self.categories(column)
        if categories is not None:
            codes = self._codes(column, start, stop).astype(np.int64)
            return np.append(categories, None)[np.where(codes < 0, len(categories), codes)]
        if not self.is_compound and isinstance(self._frame[column], h5py.Group):
            group = self._frame[column]
            values = group["values"][start:stop]
            missing = group["mask"][start:stop] if "mask" in group else np.zeros(len(values), dtype=bool)
            if values.dtype.kind in "biuf" and values.dtype != bool:
                return np.where(missing, np.nan, values.astype(np.float64))
            return np.where(missing, None, as_strings(values))
        values = self._stored(column, start, stop)
        return as_strings(values) if values.dtype.kind in "SOb" else values

    def _stored(self, column: str, start: int, stop: int | None) -> np.ndarray:
        if self.is_compound:
            return self._frame.fields(column)[start:stop]
        return self._frame[column][start:stop]

    def _codes(self, column: str, start: int, stop: int | None) -> np.ndarray:
        if not self.is_compound and isinstance(self._frame[column], h5py.Group):
            return self._frame[column]["codes"][start:stop]
        return self._stored(column, start, stop)

    def categories(self, column: str) -> np.ndarray | None:
        """Categories of a column, as an object array of str; None if it has none."""
        if column not in self._known_categories:
            self._known_categories[column] = self._read_categories(column)
        return self._known_categories[column]

    def _read_categories(self, column: str) -> np.ndarray | None:
        if self.is_compound:
            stored = self._file.get(f"uns/{column}_categories")
            if stored is None or self._frame.dtype[column].kind not in "iu":
                return None
            categories = as_strings(np.atleast_1d(stored[()]))
            # obs and var shared these entries: they are of the frame whose codes fit.
            fits = len(self) == 0 or self._frame.fields(column)[:].max() < len(categories)
            return categories if fits else None
        item = self._frame[column]
        if isinstance(item, h5py.Group):
            return as_strings(item["categories"][:]) if "categories" in item else None
        reference = item.attrs.get("categories")
        return None if reference is None else as_strings(self._file[reference][:])
