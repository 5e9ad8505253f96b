"""Names of labels: merged spellings, and names for missing labels."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .tables import one_line, read_renames, without_header
from .vocabulary import UNKNOWN

NOT_LETTERS = re.compile(r"[\W_]+")


class LabelNames:
    """The names of labels, by the configuration's section `labels`.

    Parameters
    ----------
    rename
        See `label_tables.read_renames`.
    missing
        Names for unlabeled cells, compared without case. `unknown` is always one, since it is the result
        for cells without a fitting label.
    """

    def __init__(self, rename: dict | str, missing: list[str]) -> None:
        self._given, self._renames = rename, read_renames(rename)
        self._missing = {one_line(name).casefold() for name in missing} | {"", UNKNOWN}

    def name(self, spelling: str) -> str | None:
        """The label of a spelling; None for unlabeled."""
        label = one_line(spelling)
        label = self._renames.get(label, label)
        return None if label.casefold() in self._missing else label

    def renamed(self, spellings: Iterable[str]) -> dict[str, bool]:
        """Every spelling of `rename`, and whether it is among the given ones."""
        names = set(map(one_line, spellings))
        return without_header({spelling: spelling in names for spelling in self._renames}, self._given)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Annotation as labels: object array of str, None for unlabeled cells."""
        codes, spellings = pd.factorize(as_labels(values))
        # One entry more than spellings: code -1 (missing) indexes the last.
        return np.array([*map(self.name, spellings), None], dtype=object)[codes]


class Counted(NamedTuple):
    """Cells per label, and changes of the spellings in the data.

    Attributes
    ----------
    labels
        Cells per label.
    unlabeled
        Unlabeled cells.
    missing
        Cells per spelling of a missing label.
    renamed
        Cells per spelling that became another label, and that label.
    """

    labels: Counter
    unlabeled: int
    missing: Counter
    renamed: dict[str, tuple[str, int]]


def count_names(spellings: Counter, names: LabelNames) -> Counted:
    """Cells per label, from cells per spelling (None for missing values)."""
    labels: Counter = Counter()
    missing: Counter = Counter()
    renamed = {}
    for spelling, cells in spellings.items():
        label = None if spelling is None else names.name(spelling)
        if label is not None:
            labels[label] += cells
            if label != spelling:
                renamed[str(spelling)] = (label, cells)
        elif spelling is not None:
            missing[str(spelling)] += cells
    return Counted(labels, spellings.total() - labels.total(), missing, renamed)


def closest(label: str, known: list[str]) -> str | None:
    """The known label with the most similar spelling; None without a similar one."""
    folded = {name.casefold(): name for name in known}
    matches = difflib.get_close_matches(label.casefold(), folded, n=1, cutoff=0.75)
    return folded[matches[0]] if matches else None


def folded(label: str) -> str:
    """A label without case, punctuation and blanks, to compare names."""
    return NOT_LETTERS.sub("", label.casefold())


def as_labels(values: np.ndarray) -> np.ndarray:
    """Annotation as label names: object array of str, None where missing.

    Numbers become their shortest form (2.0 is `2`), so that a column of integers reads the same with
    and without missing values; an empty string counts as missing.
    """
    if values.dtype.kind not in "OUS":
        codes, numbers = pd.factorize(values)
        # One entry more than numbers: code -1 (missing) indexes the last.
        return np.array([*map(number_name, numbers), None], dtype=object)[codes]
    missing = pd.isna(values) | (values == "")
    return np.where(missing, None, values)


def number_name(number: Any) -> str:
    """A number as the name of a label: whole ones without a point."""
    is_whole = isinstance(number, float | np.floating) and float(number).is_integer()
    return str(int(number)) if is_whole else str(number)
