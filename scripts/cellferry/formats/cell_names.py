"""Duplicate cell names, detected by hashes of eight bytes each."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd


def hashes(names: np.ndarray) -> np.ndarray:
    """Eight bytes per name (uint64), so that the names of millions of cells fit into memory."""
    return pd.util.hash_array(np.asarray(names, dtype=object), categorize=False)


def repeated_hashes(parts: list[np.ndarray]) -> np.ndarray:
    """Hashes that occur more than once in the concatenated parts, sorted."""
    return np.unique(_repetitions(parts))


def count_repeated(parts: list[np.ndarray]) -> int:
    """Number of hashes that repeat an earlier one in the concatenated parts."""
    return len(_repetitions(parts))


def _repetitions(parts: list[np.ndarray]) -> np.ndarray:
    """All repetitions of earlier hashes in the concatenated parts, sorted."""
    if not parts:
        return np.empty(0, dtype=np.uint64)
    every = np.concatenate(parts)
    every.sort()
    return every[1:][every[1:] == every[:-1]]


def repeated_names(names: Iterable[np.ndarray], suspects: np.ndarray, most: int = 1000) -> Iterator[str]:
    """Names that really repeat, given the repeated hashes: different names may share a hash.

    Checks at most `most` suspects, so that a file of equal names does not fill the memory.
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
