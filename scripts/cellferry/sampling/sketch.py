"""Sketches: few cells that represent many, drawn evenly over strata such as labels and batches."""

import numpy as np

from ..artifacts.h5ad_reader import H5adReader


def sketch_values(cells: H5adReader, n_cells: int) -> float:
    """Expected number of stored values in a sketch of a file's cells."""
    return min(n_cells, cells.n_cells) * cells.nonzeros / max(1, cells.n_cells)


def stratified_sketch(
    strata: np.ndarray, n_cells: int, *, seed: int, within: np.ndarray | None = None
) -> np.ndarray:
    """Draw cells evenly over strata, so that rare ones are kept whole.

    Every stratum gives the same number of cells as long as it has them; what small strata cannot
    give is spread over the larger ones.

    Parameters
    ----------
    strata
        Stratum of each cell, integer codes; negative ones are left out.
    n_cells
        Cells to draw at most.
    seed
        Seed of the draw.
    within
        A second division, such as batches within labels: cells of a stratum are drawn evenly over it. A label
        of one batch then gives as many cells as one of many.

    Returns
    -------
    Positions of the drawn cells, ascending (int64).
    """
    groups = strata if within is None else combine(strata, within)
    present = np.flatnonzero(groups >= 0)
    sizes = np.bincount(groups[present])
    if within is None:
        quota = _even_quota(sizes, n_cells)
    else:
        stratum_of = np.zeros(len(sizes), dtype=np.int64)
        stratum_of[groups[present]] = strata[present]
        quota = _nested_quota(sizes, stratum_of, n_cells)
    # One number per cell to sort by: its stratum, then chance.
    keys = groups[present].astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.random.default_rng(seed).integers(2**32, size=len(keys), dtype=np.uint32)
    order = np.argsort(keys)
    del keys
    starts = np.cumsum(sizes) - sizes
    drawn = [order[start : start + n] for start, n in zip(starts, quota, strict=True)]
    return np.sort(present[np.concatenate(drawn)]) if drawn else present


def random_sketch(usable: np.ndarray, n_cells: int, *, seed: int) -> np.ndarray:
    """Draw at most `n_cells` of the usable cells (a mask), uniformly; positions, ascending (int64)."""
    return stratified_sketch(np.where(usable, np.int8(0), np.int8(-1)), n_cells, seed=seed)


def _nested_quota(sizes: np.ndarray, stratum_of: np.ndarray, total: int) -> np.ndarray:
    """Quota per group: even over the strata that the groups belong to, and even over the groups of each."""
    quota = np.zeros_like(sizes)
    of_strata = _even_quota(np.bincount(stratum_of, weights=sizes).astype(np.int64), total)
    for stratum, n in enumerate(of_strata):
        groups = np.flatnonzero(stratum_of == stratum)
        quota[groups] = _even_quota(sizes[groups], int(n))
    return quota


def _even_quota(sizes: np.ndarray, total: int) -> np.ndarray:
    """Largest even quota per stratum summing to at most `total`; the remainder goes to the largest strata."""
    if sizes.sum() <= total:
        return sizes
    quota = np.zeros_like(sizes)
    open_strata = sizes > 0
    while open_strata.any():
        share = (total - quota.sum()) // open_strata.sum()
        filled = open_strata & (sizes - quota <= share)
        if not filled.any():
            quota[open_strata] += share
            break
        quota[filled] = sizes[filled]
        open_strata &= ~filled
    largest_first = np.argsort(-(sizes - quota), kind="stable")
    quota[largest_first[: total - quota.sum()]] += 1
    return quota


def combine(*codes: np.ndarray) -> np.ndarray:
    """Codes (int32) of the combinations of several code arrays; negative where any of them is."""
    combined = codes[0]
    for code in codes[1:]:
        both = combined.astype(np.int64)
        both *= int(code.max(initial=0)) + 1
        both += code
        both[(combined < 0) | (code < 0)] = -1
        # Only combinations that occur get a number.
        values = np.unique(both)
        combined = np.searchsorted(values[values >= 0], both).astype(np.int32)
        combined[both < 0] = -1
    return combined
