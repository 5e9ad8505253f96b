"""Names with control characters: refused at the start, since later steps cannot store all of them.

HDF5 cannot store NUL, the report's XML cannot store the others, and a line break splits a barcode in two.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from ..core.problems import Problem
from ..core.text import UNWRITABLE, first_control
from .dataset import Dataset


def feature_problems(dataset: Dataset) -> Iterator[Problem]:
    """Problems of names of genes or channels, and of the columns beside them."""
    header = dataset.header
    path, what = str(header.path), "channel" if dataset.is_cytometry else "gene"
    if found := first_control(header.var.index):
        yield Problem(path, f"{what} {found.number} is named {found}", RENAME)
    for column in header.var:
        # Descriptions may have several lines; only characters that no file can store are refused.
        texts = (value if isinstance(value, str) else "" for value in header.var[column])
        if found := first_control(texts, UNWRITABLE):
            yield Problem(path, f"{what} {found.number} is named {found} in '{column}'", RENAME)


def cell_problem(dataset: Dataset, names: np.ndarray, before: int) -> Problem | None:
    """Problem of the names of a block of cells; `before` counts the cells before it in the file."""
    if not (found := first_control(names)):
        return None
    return Problem(str(dataset.header.path), f"cell {before + found.number} is named {found}", RENAME)


def value_problem(dataset: Dataset, key: str, column: str, values: Iterable[str | None]) -> Problem | None:
    """Problem of the values of an obs column that the configuration names under a key."""
    if not (found := first_control(value for value in values if value is not None)):
        return None
    what = f"the obs column '{column}' of {dataset.header.path} has the value {found}"
    return Problem(dataset.key(key), what, RENAME_LABEL if key in ("label", "levels") else RENAME)


RENAME = "give it another name in the file"
RENAME_LABEL = f"{RENAME}, or in labels.rename"
