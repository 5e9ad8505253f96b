"""Decoding of annotation columns in HDF5, for files of all writers.

h5py writes booleans as an enum of FALSE and TRUE. R packages add NA to it, and write factors as other enums.
R's missing integer is the smallest 32-bit integer.
"""

from typing import Any

import h5py
import numpy as np

from ..errors import DamagedPartError
from .hdf5_parts import check_written
from .interface import as_strings

STRINGS = "SOTU"
"""Kinds of numpy types of strings: bytes, objects, variable and fixed length."""

MISSING_INTEGER = np.iinfo(np.int32).min
"""R's NA for integers."""

LOGICAL_LEVELS = {"FALSE": "False", "TRUE": "True", "NA": None}
"""R's logical values in Python's spelling."""


def decoded(values: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
    """Convert stored values to those of `interface.Cells`.

    Parameters
    ----------
    values
        Values of one column, n or n × 1.
    dtype
        Type of the stored column, needed if the values have lost their levels.

    Returns
    -------
    Object array of str (None if missing), booleans, or numbers (NaN if missing).

    Raises
    ------
    OSError
        If the values are neither strings nor numbers, or if there are several per row.
    """
    dtype = values.dtype if dtype is None else dtype
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or dtype.kind not in STRINGS + "biuf":
        raise OSError(f"an annotation column holds {dtype} of shape {values.shape}, not one value per row")
    levels = levels_of(dtype)
    if levels is not None:
        return np.array([levels.get(number) for number in values.tolist()], dtype=object)
    if dtype.kind in STRINGS:
        return as_strings(values)
    if dtype == np.int32 and np.any(values == MISSING_INTEGER):
        return np.where(values == MISSING_INTEGER, np.nan, values.astype(np.float64))
    return values


def check_rows(array: Any, n_rows: int, kinds: str | None = None) -> None:
    """Raise a `DamagedPartError` unless an array has one value of the given kinds per row."""
    shape = getattr(array, "shape", ())
    if shape not in ((n_rows,), (n_rows, 1)):
        raise DamagedPartError(
            f"{array.name} has values of shape {shape}, not one for each of the {n_rows} rows"
        )
    if kinds is not None and (array.dtype.kind not in kinds or len(shape) != 1):
        raise DamagedPartError(
            f"{array.name} holds {array.dtype} of shape {shape} instead of a list of codes"
        )
    check_written(array)


def check_levels(levels: np.ndarray, what: str) -> None:
    """Raise a `DamagedPartError` unless the names of categories are a list without duplicates."""
    if levels.ndim != 1:
        raise DamagedPartError(f"{what} has categories of shape {levels.shape}, not a list of categories")
    seen: set[str | None] = set()
    for level in levels.tolist():
        if level in seen:
            raise DamagedPartError(f"{what} has the category '{level}' more than once")
        seen.add(level)


def levels_of(dtype: np.dtype) -> dict[int, str | None] | None:
    """Names of an enum's values; None for other types, including numpy's booleans."""
    levels = h5py.check_enum_dtype(dtype)
    if levels is None:
        return None
    is_logical = levels.keys() <= LOGICAL_LEVELS.keys()
    return {number: LOGICAL_LEVELS[name] if is_logical else name for name, number in levels.items()}


def holds_strings(dtype: np.dtype) -> bool:
    """True if a stored column contains strings or a factor."""
    return dtype.kind in STRINGS or levels_of(dtype) is not None
