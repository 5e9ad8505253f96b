"""Splits of the reference: shares, whole batches, labels that must not be lost."""

import numpy as np
import pytest
from cellferry.sampling.splits import DROPPED, TEST, TRAIN, VALIDATION, split_cells

SHARES = {"validation": 0.1, "test": 0.1, "seed": 0}


def cells(n_batches, n_labels=4, n_cells=2000, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_labels, n_cells), rng.integers(0, n_batches, n_cells)


def test_one_batch_is_split_by_label():
    labels, batches = cells(1)
    split = split_cells(labels, batches, by="auto", **SHARES)
    for label in range(4):
        shares = np.bincount(split[labels == label], minlength=3) / np.count_nonzero(labels == label)
        np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.01)


def test_whole_batches_are_held_out_where_there_are_enough():
    labels, batches = cells(10)
    split = split_cells(labels, batches, by="auto", **SHARES)
    for batch in range(10):
        assert len(np.unique(split[batches == batch])) == 1
    assert {TRAIN, VALIDATION, TEST} == set(split)
    assert np.mean(split == TRAIN) > 0.7


def test_with_three_batches_the_test_is_a_batch_and_validation_is_not():
    labels, batches = cells(3)
    split = split_cells(labels, batches, by="auto", **SHARES)
    assert len(np.unique(batches[split == TEST])) == 1
    assert len(np.unique(batches[split == VALIDATION])) == 2
    np.testing.assert_allclose(np.mean(split == VALIDATION), 0.1, atol=0.01)


def test_no_label_is_lost_from_training():
    labels, batches = cells(8)
    labels[batches == 3] = 4  # a label that one batch alone holds
    for seed in range(5):
        split = split_cells(labels, batches, by="batch", validation=0.1, test=0.1, seed=seed)
        assert set(labels[split == TRAIN]) == {0, 1, 2, 3, 4}


def test_cells_without_label_are_in_no_part():
    labels, batches = cells(1)
    labels[:100] = -1
    split = split_cells(labels, batches, by="auto", **SHARES)
    assert np.array_equal(split == DROPPED, labels < 0)


def test_rare_labels_are_in_every_part_but_never_only_held_out():
    labels = np.array([0] * 100 + [1] * 3)
    split = split_cells(labels, np.zeros(103, dtype=int), by="label", **SHARES)
    assert sorted(split[labels == 1]) == [TRAIN, VALIDATION, TEST]


def test_too_few_batches_to_hold_back():
    labels, batches = cells(2)
    with pytest.raises(ValueError, match="needs three batches; there are 2"):
        split_cells(labels, batches, by="batch", **SHARES)


def test_one_large_batch_among_small_ones_is_not_held_out():
    labels, batches = cells(1)
    batches[:20], batches[20:40] = 1, 2
    for by in ("auto", "batch"):
        split = split_cells(labels, batches, by=by, **SHARES)
        assert np.mean(split == TRAIN) > 0.8


def test_same_seed_same_split():
    labels, batches = cells(6)
    first, again = (split_cells(labels, batches, by="label", **SHARES) for _ in range(2))
    other = split_cells(labels, batches, by="label", **{**SHARES, "seed": 1})
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_labels_of_one_batch_each_stay_in_training():
    """Every batch has a label of its own: whichever is held out, that label's cells are not."""
    labels, batches = cells(6)
    own = np.arange(2000) % 10 == 0
    labels[own] = 10 + batches[own]
    for by in ("auto", "batch"):
        split = split_cells(labels, batches, by=by, **SHARES)
        assert set(labels[split == TRAIN]) == set(labels)
        assert {TRAIN, VALIDATION, TEST} == set(split)
        shared = ~own
        for batch in range(6):
            assert len(np.unique(split[shared & (batches == batch)])) == 1


def test_batches_that_were_sorted_by_label_cannot_be_held_out():
    labels, _ = cells(1)
    split = split_cells(labels, labels + 7, by="auto", **SHARES)
    for label in range(4):
        assert {TRAIN, VALIDATION, TEST} == set(split[labels == label])
