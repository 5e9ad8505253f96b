"""obs and var of AnnData objects on disk, read by columns and ranges of rows, in all on-disk versions.

0.5 and 0.6: one compound dataset, categories in `uns/{column}_categories`. 0.7: a group of datasets,
categories in `__categories`, referred to by an attribute, which SeuratDisk omits. Since 0.8: a group with an
encoding per column (categorical, nullable-integer, nullable-boolean, nullable-string-array); categories may
be numbers or nullable strings.
"""

import numpy as np

from ..errors import DamagedPartError
from ..labels.names import as_labels
from .hdf5_parts import check_written
from .interface import as_strings
from .matrix import Array, Group, is_array, text_attribute, texts_attribute
from .pieces import read_part
from .values import MISSING_INTEGER, STRINGS, check_levels, check_rows, decoded, holds_strings

CATEGORIES = "__categories"
"""Group in a frame with the categories of its columns."""

INDEX_NAMES = ("_index", "index")
"""Names of the index in a frame without the attribute `_index`."""

MISSING_CODES = (-1, MISSING_INTEGER, MISSING_INTEGER - 1)
"""Codes of missing values: pandas' code, and R's missing integer, which may be shifted by 1."""

KINDS = {"codes": "iu", "mask": "biu"}
"""Allowed kinds of numpy types per part of a column."""


class Frame:
    """A data frame of an AnnData object on disk.

    Parameters
    ----------
    root
        The group of the object, in an open HDF5 file or zarr store.
    element
        Path of the frame: `obs`, `var` or another.

    Attributes
    ----------
    columns
        Names of the columns, without the index.
    """

    def __init__(self, root: Group, element: str) -> None:
        self._root = root
        self._frame = root[element]
        self._known_categories: dict[str, np.ndarray | None] = {}
        self._checked: set[str] = set()
        self.is_compound = is_array(self._frame)
        if self.is_compound:
            self._index, *self.columns = self._frame.dtype.names
        else:
            named = text_attribute(self._frame, "_index")
            self._index = named or next((name for name in INDEX_NAMES if name in self._frame), INDEX_NAMES[0])
            order = texts_attribute(self._frame, "column-order")
            names = self._frame.keys() if order is None else order
            self.columns = [str(name) for name in names if name not in (self._index, CATEGORIES)]

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def index(self) -> Array:
        """The array of the index or of its codes; the whole frame if it is one array."""
        index = self._frame if self.is_compound else self._frame[self._index]
        if is_array(index):
            return index
        # Categories, or pandas' strings since version 3.
        return index["codes" if "codes" in index else "values"]

    def names(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The index in rows `start` to `stop`, as an object array of str."""
        names = self.values(self._index, start, stop)
        if names.dtype == object and any(name is None for name in names.tolist()):
            raise DamagedPartError(f"a name in {self.index.name} is missing")
        return as_strings(names)

    def is_string(self, column: str) -> bool:
        """True if a column contains strings or categories."""
        if self.categories(column) is not None:
            return True
        if self.is_compound:
            return holds_strings(self._frame.dtype[column])
        item = self._frame[column]
        if not is_array(item):
            return "values" in item and item["values"].dtype.kind in STRINGS
        return item.shape[1:] in ((), (1,)) and holds_strings(item.dtype)

    def values(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values in rows `start` to `stop`: str objects (None if missing), booleans, or numbers.

        Missing numbers are NaN. Booleans of a column that allows missing values are the strings `True` and
        `False`. Strings such as `nan` or `None` in the file stay as they are.
        """
        self._check(column)
        categories = self.categories(column)
        if categories is not None:
            codes = self._codes(column, start, stop).astype(np.int64)
            if np.any(codes >= len(categories)):
                raise OSError(f"{column} has codes beyond its {len(categories)} categories")
            is_missing = codes < 0
            if is_missing.any() and not np.isin(codes[is_missing], MISSING_CODES).all():
                raise DamagedPartError(f"{column} has codes below -1, the code of a missing value")
            return np.append(categories, None)[np.where(is_missing, len(categories), codes)]
        if not self.is_compound and not is_array(self._frame[column]):
            return _nullable(self._frame[column], start, stop)
        return decoded(self._stored(column, start, stop), self._dtype(column))

    def _check(self, column: str) -> None:
        """Raise a `DamagedPartError` unless a column has one value per row; each is checked once."""
        if self.is_compound or column in self._checked:
            return
        item = self._frame[column]
        if is_array(item):
            check_rows(item, len(self))
        else:
            for part in ("codes", "values", "mask"):
                if part in item:
                    check_rows(item[part], len(self), kinds=KINDS.get(part))
        self._checked.add(column)

    def _dtype(self, column: str) -> np.dtype:
        return self._frame.dtype[column] if self.is_compound else self._frame[column].dtype

    def _stored(self, column: str, start: int, stop: int | None) -> np.ndarray:
        if self.is_compound:
            return read_part(self._frame, slice(start, stop), column)
        return read_part(self._frame[column], slice(start, stop))

    def _codes(self, column: str, start: int, stop: int | None) -> np.ndarray:
        if not self.is_compound and not is_array(self._frame[column]):
            return read_part(self._frame[column]["codes"], slice(start, stop))
        return self._stored(column, start, stop)

    def categories(self, column: str) -> np.ndarray | None:
        """Categories of a column, as an object array of str, or None."""
        if column not in self._known_categories:
            stored = self._stored_categories(column)
            self._known_categories[column] = None if stored is None else _names(stored, column)
        return self._known_categories[column]

    def _stored_categories(self, column: str) -> np.ndarray | None:
        if self.is_compound:
            stored = self._root.get(f"uns/{column}_categories")
            if stored is None or self._frame.dtype[column].kind not in "iu":
                return None
            check_written(stored)
            categories = np.atleast_1d(read_part(stored))
            # obs and var shared these entries: they belong to the frame whose codes fit.
            fits = len(self) == 0 or read_part(self._frame, field=column).max() < len(categories)
            return categories if fits else None
        item = self._frame[column]
        if not is_array(item):
            return _all_values(item["categories"]) if "categories" in item else None
        reference = item.attrs.get("categories")
        if reference is not None:
            return _all_values(self._root[reference])
        if item.dtype.kind in "iu" and column in self._frame.get(CATEGORIES, ()):
            return _all_values(self._frame[CATEGORIES][column])
        return None


def _all_values(element: Array | Group) -> np.ndarray:
    """All values of an array or of a nullable group."""
    if not is_array(element):
        for part in ("values", "mask"):
            if part in element:
                check_rows(element[part], element["values"].shape[0], kinds=KINDS.get(part))
        return _nullable(element, 0, None)
    check_written(element)
    return np.atleast_1d(read_part(element))


def _names(categories: np.ndarray, column: str) -> np.ndarray:
    """Categories as str: numbers in their shortest form, the same as in `cells.as_labels`."""
    names = as_strings(categories) if categories.dtype.kind in STRINGS else as_labels(categories)
    check_levels(names, column)
    return names


def _nullable(group: Group, start: int, stop: int | None) -> np.ndarray:
    """Values of a group of `values` and `mask`; the mask is True for missing ones."""
    values = read_part(group["values"], slice(start, stop))
    has_mask = "mask" in group
    missing = (
        read_part(group["mask"], slice(start, stop)).astype(bool) if has_mask else np.zeros(len(values), bool)
    )
    if values.dtype.kind in "iuf":
        return np.where(missing, np.nan, values.astype(np.float64))
    return np.where(missing, None, as_strings(decoded(values)))
