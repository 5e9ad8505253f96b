"""XGBoost's trees as plain arrays, with the probabilities that XGBoost itself gives."""

import tracemalloc

import numpy as np
import pytest
import xgboost
from cellferry.heads.boosted_trees import XGBoostHead
from cellferry.heads.forest import Forest


def booster(n_labels, max_depth, *, rounds=30, n_cells=3000):
    """Trees on noise, which split until they may not."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(n_cells, 8)).astype(np.float32)
    codes = rng.integers(0, n_labels, n_cells)
    codes[:n_labels] = np.arange(n_labels)
    settings = {"objective": "multi:softprob", "num_class": n_labels, "max_depth": max_depth, "seed": 0}
    return xgboost.train(settings | {"nthread": 1}, xgboost.QuantileDMatrix(latents, codes), rounds), latents


@pytest.mark.parametrize("n_labels", [2, 3, 20])
@pytest.mark.parametrize("max_depth", [1, 6, 7])
def test_probabilities_are_xgboosts_own(n_labels, max_depth):
    trees, seen = booster(n_labels, max_depth)
    forest = Forest(trees)
    # Among cells seen in training many lie exactly on a split point.
    for latents in (seen, np.random.default_rng(1).normal(size=(1000, 8)).astype(np.float32)):
        found, expected = forest.probabilities(latents), trees.inplace_predict(latents)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.999


def test_split_points_themselves_fall_on_xgboosts_side():
    trees, _ = booster(3, 6)
    forest = Forest(trees)
    latents = np.stack([np.resize(splits[np.isfinite(splits)], 300) for splits in forest._splits], axis=1)
    np.testing.assert_allclose(
        forest.probabilities(latents), trees.inplace_predict(latents), rtol=1e-5, atol=1e-7
    )


def test_stopped_early_only_the_best_rounds_count():
    trees, latents = booster(3, 6)
    np.testing.assert_allclose(
        Forest(trees[:7]).probabilities(latents), trees[:7].inplace_predict(latents), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("size", [1, 100, 256, 1000])
def test_blocks_do_not_change_a_bit(size):
    trees, latents = booster(5, 6)
    forest = Forest(trees)
    pieces = [forest.probabilities(latents[start : start + size]) for start in range(0, 3000, size)]
    assert np.array_equal(np.concatenate(pieces), forest.probabilities(latents))


def test_no_cells():
    trees, latents = booster(3, 2)
    assert Forest(trees).probabilities(latents[:0]).shape == (0, 3)


def test_deeper_trees_are_left_to_xgboost():
    trees, latents = booster(2, 10)
    with pytest.raises(ValueError, match="byte"):
        Forest(trees)
    assert np.array_equal(XGBoostHead(trees).probabilities(latents), trees.inplace_predict(latents))
    assert XGBoostHead(trees).probabilities(latents[:0]).shape == (0, 2)


def test_of_many_trees_no_more_than_a_few_are_pythons_objects():
    trees, _ = booster(10, 6, rounds=60)
    Forest(trees)
    tracemalloc.start()
    Forest(trees)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * len(trees.save_raw("ubj"))
