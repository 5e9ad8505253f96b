"""Duplicate cell names, found by hashes of eight bytes each."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd


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

    At most `most` suspects are looked at, so that a file of equal names does not fill the memory.
    """
    suspects = suspects[:most]
    seen: set[str] = set()
    yielded: set[str] = set()
    for some in names:
        for name in some[np.isin(hashes(some), suspects)]:
            if name in seen and name not in yielded:
                yielded.add(name)
                yield name
            seen.add(name)
