"""Split of reference cells into training, validation and test."""

import numpy as np

SPLITS = ("train", "validation", "test")
PARTS = (*SPLITS, "rare")
"""With the cells of rare labels, which no model and no score uses."""

TRAIN, VALIDATION, TEST, RARE = range(4)
DROPPED = -1

MIN_BATCHES_TO_HOLD_OUT_TEST = 3
MIN_BATCHES_TO_HOLD_OUT_VALIDATION = 5
TRIES = 500


def split_cells(
    labels: np.ndarray, batches: np.ndarray, *, by: str, validation: float, test: float, seed: int
) -> np.ndarray:
    """Split cells into train, validation and test.

    Scores on donors seen in training are optimistic, so whole batches are held out if there are enough:
    for the test from three batches on, for validation from five. Otherwise a share of every label is held
    out. A label never loses all its training cells: those of a label in a single batch stay in training
    when that batch is held out.

    Parameters
    ----------
    labels, batches
        Codes per cell; cells with a negative label are in no part.
    by
        `auto`, `batch` (whole batches for both parts, as far as there are any left) or `label`.
    validation, test
        Shares of the cells.
    seed
        Seed of the draw.

    Returns
    -------
    0, 1, 2 for train, validation, test, and -1 for cells without a label (int8).

    Raises
    ------
    ValueError
        If `by` is `batch` and there are fewer than three batches.
    """
    used = labels >= 0
    n_batches = len(np.unique(batches[used]))
    if by == "batch" and n_batches < MIN_BATCHES_TO_HOLD_OUT_TEST:
        raise ValueError(f"holding out whole batches needs three batches; there are {n_batches}")
    test_by_batch = by != "label" and n_batches >= MIN_BATCHES_TO_HOLD_OUT_TEST
    validation_by_batch = by == "batch" or (by == "auto" and n_batches >= MIN_BATCHES_TO_HOLD_OUT_VALIDATION)
    rng = np.random.default_rng(seed)
    split = np.where(used, TRAIN, DROPPED).astype(np.int8)
    for part, share, by_batch in (
        (TEST, test, test_by_batch),
        (VALIDATION, validation, validation_by_batch),
    ):
        remaining = np.flatnonzero(split == TRAIN)
        # Shares are of all cells, including those taken before.
        target = share * used.sum() / len(remaining)
        held = np.zeros(len(remaining), dtype=bool)
        if by_batch and len(np.unique(batches[remaining])) > 1:
            held = _whole_batches(labels[remaining], batches[remaining], target, rng)
        # The test may have taken all batches but one, or no label may be in two of them.
        if not held.any():
            held = _share_of_each_label(labels[remaining], target, rng)
        split[remaining[held]] = part
    return split


def _whole_batches(
    labels: np.ndarray, batches: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Mask of the cells of batches with about `share` of the cells, of every label if possible.

    The best of many random choices loses no label in the remaining cells, misses few in the held-out
    ones, and is closest to the share. Labels that it would lose are left out.
    """
    batch_names, batch = np.unique(batches, return_inverse=True)
    label_names, label = np.unique(labels, return_inverse=True)
    cells = np.zeros((len(batch_names), len(label_names)), dtype=np.int64)
    np.add.at(cells, (batch, label), 1)
    best, best_cost = np.array([0]), np.inf
    for _ in range(TRIES):
        order = rng.permutation(len(batch_names))
        held_share = np.cumsum(cells[order].sum(axis=1)) / cells.sum()
        n_held = int(np.argmin(np.abs(held_share[:-1] - share))) + 1
        held = cells[order[:n_held]].sum(axis=0)
        lost = np.count_nonzero(held == cells.sum(axis=0))
        missed = np.count_nonzero(held == 0) / len(label_names)
        cost = 10 * lost + missed + abs(held_share[n_held - 1] - share)
        if cost < best_cost:
            best, best_cost = order[:n_held], cost
    stays = np.isin(np.arange(len(batch_names)), best, invert=True)
    is_kept = cells[stays].sum(axis=0) > 0
    return ~stays[batch] & is_kept[label]


def _share_of_each_label(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of a random `share` of the cells of every label; at least one cell, and never all."""
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        cells = np.flatnonzero(labels == label)
        n_held = min(max(1, round(share * len(cells))), len(cells) - 1)
        held[rng.permutation(cells)[:n_held]] = True
    return held


def read_split(path: str, part: str) -> np.ndarray:
    """Mask of the reference cells that `split_reference` put into a part, one of `PARTS`."""
    import pyarrow.parquet as pq

    split = pq.read_table(path)["split"].combine_chunks()
    code = split.dictionary.to_pylist().index(part)
    return split.indices.fill_null(DROPPED).to_numpy() == code
