"""Cells: which ones a dataset keeps, what their labels and batches are called, whether names repeat."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

UNKNOWN = "unknown"
"""The answer for a cell that no label fits; in the reference, a cell called so has no label."""

AMBIGUOUS = "ambiguous"
OUTSIDE = "outside the reference"
LOW_QUALITY = "low quality"
SUBTYPE_UNSURE = "subtype unsure"
"""Why a cell is unknown or, the last one, got a label of a coarser level."""

LEAF_LEVEL = "label"
"""Name of the finest level of labels; the levels above it have names of their own."""

SET_SEPARATOR = " | "
"""What stands between the labels of a prediction set."""


YAML_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}
"""How else booleans are written in a configuration."""


def as_labels(values: np.ndarray) -> np.ndarray:
    """Annotation as label names: object array of str, None where missing.

    Numbers become their shortest form (2.0 is `2`), so that a column of integers reads the same with
    and without missing values; an empty string counts as missing.
    """
    if values.dtype.kind not in "OUS":
        codes, numbers = pd.factorize(values)
        # One entry more than there are numbers: code -1 (missing) indexes the last.
        return np.array([*map(_number_name, numbers), None], dtype=object)[codes]
    missing = pd.isna(values) | (values == "")
    return np.where(missing, None, values)


def _number_name(number: Any) -> str:
    is_whole = isinstance(number, float | np.floating) and float(number).is_integer()
    return str(int(number)) if is_whole else str(number)


def keep(obs: dict[str, np.ndarray], wanted: dict[str, list[Any]], n_cells: int) -> np.ndarray:
    """Which cells a filter keeps: all of `wanted`'s columns must hold one of its values.

    Parameters
    ----------
    obs
        Annotation columns, at least those of `wanted`.
    wanted
        Values by column, as in the configuration: str, numbers or booleans.
    n_cells
        Number of cells.

    Returns
    -------
    Boolean array of length `n_cells`.
    """
    kept = np.ones(n_cells, dtype=bool)
    for column, values in wanted.items():
        names = {name for value in values for name in _value_names(value)}
        kept &= pd.Series(as_labels(obs[column]), dtype=object).isin(names).to_numpy()
    return kept


def names_wanted(values: list[Any], found: Collection[str]) -> dict[str, bool]:
    """Every value of a filter as it is said, and whether a column with the given names holds it."""
    return {str(value): not set(found).isdisjoint(_value_names(value)) for value in values}


def _value_names(value: Any) -> list[str]:
    if isinstance(value, bool):  # Python's, R's and JSON's spelling
        return [str(value), str(value).upper(), str(value).lower()]
    if isinstance(value, str) and value.lower() in YAML_BOOLEANS:
        return [value, *_value_names(YAML_BOOLEANS[value.lower()])]
    return [_number_name(value) if isinstance(value, int | float) else value]


def hashes(names: np.ndarray) -> np.ndarray:
    """Eight bytes per name (uint64), to compare the names of millions of cells within memory."""
    return pd.util.hash_array(np.asarray(names, dtype=object), categorize=False)


def repeated_hashes(parts: list[np.ndarray]) -> np.ndarray:
    """Hashes that stand more than once in the concatenated parts, sorted."""
    return np.unique(_repetitions(parts))


def count_repeated(parts: list[np.ndarray]) -> int:
    """How many hashes of the concatenated parts stand there already."""
    return len(_repetitions(parts))


def _repetitions(parts: list[np.ndarray]) -> np.ndarray:
    """Every hash that stands in the concatenated parts already, sorted."""
    if not parts:
        return np.empty(0, dtype=np.uint64)
    every = np.concatenate(parts)
    every.sort()
    return every[1:][every[1:] == every[:-1]]


def repeated_names(names: Iterable[np.ndarray], suspects: np.ndarray, most: int = 1000) -> Iterator[str]:
    """Names that really repeat, given the repeated hashes: two names may share a hash by chance.

    Looks at `most` suspects at most, so that a file of equal names does not fill the memory.
    """
    suspects = suspects[:most]
    seen: set[str] = set()
    told: set[str] = set()
    for some in names:
        for name in some[np.isin(hashes(some), suspects)]:
            if name in seen and name not in told:
                told.add(name)
                yield name
            seen.add(name)
