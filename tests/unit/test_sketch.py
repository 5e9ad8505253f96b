"""Sketches: cells drawn evenly from strata, the same for the same seed."""

import tracemalloc

import numpy as np
import pytest
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.sketch import combine, random_sketch, stratified_sketch


def test_small_strata_are_kept_whole_and_the_rest_is_shared_evenly():
    strata = np.repeat([0, 1, 2], [1000, 5, 400])
    rows = stratified_sketch(strata, 205, seed=0)
    assert np.bincount(strata[rows]).tolist() == [100, 5, 100]
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("n_cells", [0, 1, 7, 100, 1404])
def test_as_many_cells_as_asked_for(n_cells):
    strata = np.repeat([0, 1, 2], [1000, 5, 400])
    assert len(stratified_sketch(strata, n_cells, seed=0)) == n_cells


def test_all_cells_if_there_are_fewer_than_asked_for():
    assert stratified_sketch(np.array([0, 1, 1, 0]), 10, seed=0).tolist() == [0, 1, 2, 3]


def test_negative_strata_are_left_out():
    strata = np.array([-1, 0, -1, 0, 1])
    assert stratified_sketch(strata, 10, seed=0).tolist() == [1, 3, 4]
    assert len(stratified_sketch(np.full(4, -1), 10, seed=0)) == 0
    assert len(stratified_sketch(np.zeros(0, dtype=int), 10, seed=0)) == 0


def test_the_same_seed_draws_the_same_cells_and_another_does_not():
    strata = np.zeros(1000, dtype=int)
    first = stratified_sketch(strata, 50, seed=1)
    assert np.array_equal(first, stratified_sketch(strata, 50, seed=1))
    assert not np.array_equal(first, stratified_sketch(strata, 50, seed=2))


def test_a_stratum_gives_cells_from_everywhere():
    rows = stratified_sketch(np.zeros(10_000, dtype=int), 1000, seed=0)
    assert abs(rows.mean() - 5000) < 300


def test_labels_of_few_batches_give_as_much_as_those_of_many():
    """A small label is drawn whole, though it has one batch only and the others have ten."""
    labels = np.repeat([0, 1, 2], [5000, 3000, 60])
    batches = np.concatenate([np.arange(5000) % 10, np.arange(3000) % 10, np.full(60, 3)])
    batches[:4000] = 0  # one batch holds most of the first label
    rows = stratified_sketch(labels, 560, seed=0, within=batches)
    assert np.bincount(labels[rows]).tolist() == [250, 250, 60]
    assert np.bincount(batches[rows][labels[rows] == 0]).tolist() == [25] * 10
    assert len(stratified_sketch(labels, 10_000, seed=0, within=batches)) == len(labels)
    assert len(stratified_sketch(np.full(3, -1), 10, seed=0, within=np.zeros(3, dtype=int))) == 0


def test_combine_counts_combinations_and_keeps_missing_apart():
    combined = combine(np.array([0, 0, 1, 1, -1]), np.array([0, 2, 0, -1, 0]))
    assert combined.tolist() == [0, 1, 2, -1, -1]


def test_combine_of_nothing_but_missing():
    assert combine(np.array([-1, -1]), np.array([0, 1])).tolist() == [-1, -1]


def test_a_random_sketch_is_of_usable_cells_only_and_all_of_them_have_the_same_chance():
    usable = np.arange(9000) % 3 > 0
    rows = random_sketch(usable, 600, seed=0)
    assert len(rows) == 600
    assert usable[rows].all()
    assert 250 < np.count_nonzero(rows < 4500) < 350
    np.testing.assert_array_equal(random_sketch(usable, 10**6, seed=0), np.flatnonzero(usable))


def test_a_random_sketch_of_many_cells_takes_what_its_rules_count_with():
    usable = np.ones(1_000_000, dtype=bool)
    tracemalloc.start()
    random_sketch(usable, 100, seed=0)
    peak = tracemalloc.get_traced_memory()[1] / len(usable)
    tracemalloc.stop()
    # Beside it, rules hold two columns of codes (int32) and a mask.
    for rule in ("calibrate_classifier", "estimate_missing_genes", "evaluate"):
        assert peak + 10 <= MEMORY_MODELS[rule].cell_bytes
