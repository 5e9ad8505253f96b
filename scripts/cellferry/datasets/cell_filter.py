"""Selection of a dataset's cells by the values of their annotation."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from ..labels.names import as_labels, number_name
from ..labels.vocabulary import YAML_BOOLEANS


def keep(obs: dict[str, np.ndarray], allowed: dict[str, list[Any]], n_cells: int) -> np.ndarray:
    """Select the cells whose value in each column of `allowed` is one of its values.

    Parameters
    ----------
    obs
        Annotation columns, at least those of `allowed`.
    allowed
        Values by column, as in the configuration: str, numbers or booleans.
    n_cells
        Number of cells.

    Returns
    -------
    Boolean array of length `n_cells`.
    """
    kept = np.ones(n_cells, dtype=bool)
    for column, values in allowed.items():
        names = {name for value in values for name in _value_names(value)}
        kept &= pd.Series(as_labels(obs[column]), dtype=object).isin(names).to_numpy()
    return kept


def names_wanted(values: list[Any], present: Collection[str]) -> dict[str, bool]:
    """Each value of a filter as configured, and whether a column with the given names contains it."""
    return {str(value): not set(present).isdisjoint(_value_names(value)) for value in values}


def _value_names(value: Any) -> list[str]:
    if isinstance(value, bool):  # Python's, R's and JSON's spelling
        return [str(value), str(value).upper(), str(value).lower()]
    if isinstance(value, str) and value.lower() in YAML_BOOLEANS:
        return [value, *_value_names(YAML_BOOLEANS[value.lower()])]
    return [number_name(value) if isinstance(value, int | float) else value]
