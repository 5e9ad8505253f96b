"""Sketches: a few cells that stand for many, drawn evenly over strata such as labels and batches."""

import numpy as np

SKETCH_BYTES_PER_CELL = 80
"""Memory while a sketch is drawn: codes, their combinations, a permutation and its sorting."""


def stratified_sketch(strata: np.ndarray, n_cells: int, *, seed: int) -> np.ndarray:
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

    Returns
    -------
    Positions of the drawn cells, ascending (int64).
    """
    sizes = np.bincount(strata[strata >= 0]) if np.any(strata >= 0) else np.zeros(0, dtype=np.int64)
    quota = _even_quota(sizes, n_cells)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(strata))
    order = order[strata[order] >= 0]
    order = order[np.argsort(strata[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    return np.sort(order[rank < np.repeat(quota, sizes)])


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
    """Codes of the combinations of several code arrays; negative where any of them is."""
    combined = np.zeros(len(codes[0]), dtype=np.int64)
    missing = np.zeros(len(codes[0]), dtype=bool)
    for code in codes:
        combined = combined * (int(code.max(initial=0)) + 1) + code
        missing |= code < 0
    if not missing.all():
        combined[~missing] = np.unique(combined[~missing], return_inverse=True)[1]
    combined[missing] = -1
    return combined
