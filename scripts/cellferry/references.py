"""Several references as one: their cells one after the other, their labels and batches under joint codes."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from .h5ad import H5adReader


def cell_bounds(paths: Sequence[str | Path]) -> np.ndarray:
    """Where each file's cells begin among those of all, and where the last ones end (int64)."""
    sizes = []
    for path in paths:
        with H5adReader(path) as reader:
            sizes.append(reader.n_cells)
    return np.cumsum([0, *sizes])


def joint_codes(paths: Sequence[str | Path], column: str) -> tuple[np.ndarray, np.ndarray]:
    """A categorical obs column of all files.

    Returns
    -------
    Codes (int32, one per cell, -1 where missing), and the values they stand for in the order in which they
    are met (object array of str).
    """
    bounds = cell_bounds(paths)
    codes = np.empty(bounds[-1], dtype=np.int32)
    known: dict[str, int] = {}
    for path, (start, stop) in zip(paths, pairwise(bounds), strict=True):
        with H5adReader(path) as reader:
            values = reader.categories(column)
            # One entry more than there are values: code -1 (missing) indexes the last.
            joint = np.array([known.setdefault(value, len(known)) for value in values] + [-1], np.int32)
            codes[start:stop] = joint[reader.codes(column)]
    return codes, np.array(list(known), dtype=object)


def common_obs(paths: Sequence[str | Path]) -> dict[str, np.dtype | None]:
    """Columns of obs that all files have, and what they are held as; None for strings.

    A column that holds numbers in some files and strings in others is left out, with a word in the log.
    """
    found: list[dict[str, np.dtype | None]] = []
    for path in paths:
        with H5adReader(path) as reader:
            found.append({column: reader.dtype(column) for column in reader.obs_columns})
    common: dict[str, np.dtype | None] = {}
    for column in found[0]:
        if not all(column in columns for columns in found):
            continue
        dtypes = [columns[column] for columns in found]
        if all(dtype is None for dtype in dtypes):
            common[column] = None
        elif not any(dtype is None for dtype in dtypes):  # `in` takes None for float64
            common[column] = np.result_type(*dtypes)
        else:
            print(f"obs column '{column}' is left out: it holds numbers in some references, text in others")
    return common
