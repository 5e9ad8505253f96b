"""XGBoost's trees as plain arrays, with the probabilities that XGBoost itself gives."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xgboost
from cellferry.heads.boosted_trees import XGBoostHead
from cellferry.heads.forest import SMALL, Forest

MANY_SPLITS = 1024
"""More bins of a latent than fit into a byte."""


def booster(n_labels, max_depth, *, rounds=30, n_cells=3000, max_bin=256):
    """Trees on noise, which split as far as they may."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(n_cells, 8)).astype(np.float32)
    codes = rng.integers(0, n_labels, n_cells)
    codes[:n_labels] = np.arange(n_labels)
    settings = {"objective": "multi:softprob", "num_class": n_labels, "max_depth": max_depth, "seed": 0}
    cells = xgboost.QuantileDMatrix(latents, codes, max_bin=max_bin)
    return xgboost.train(settings | {"nthread": 1, "max_bin": max_bin}, cells, rounds), latents


@pytest.mark.parametrize("n_labels", [2, 3, 20])
@pytest.mark.parametrize("max_depth", [1, 6, 7, 8, 12])
def test_probabilities_are_xgboosts_own(n_labels, max_depth):
    trees, seen = booster(n_labels, max_depth)
    forest = Forest.of(trees)
    # Among cells seen in training many lie exactly on a split point.
    for latents in (seen, np.random.default_rng(1).normal(size=(1000, 8)).astype(np.float32)):
        found, expected = forest.probabilities(latents), trees.inplace_predict(latents)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.999


def test_split_points_themselves_fall_on_xgboosts_side():
    trees, _ = booster(3, 6)
    forest = Forest.of(trees)
    latents = np.stack([np.resize(splits[np.isfinite(splits)], 300) for splits in forest.splits], axis=1)
    np.testing.assert_allclose(
        forest.probabilities(latents), trees.inplace_predict(latents), rtol=1e-5, atol=1e-7
    )


def test_stopped_early_only_the_best_rounds_count():
    trees, latents = booster(3, 6)
    np.testing.assert_allclose(
        Forest.of(trees[:7]).probabilities(latents), trees[:7].inplace_predict(latents), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("size", [1, 100, 256, 1000])
@pytest.mark.parametrize("max_depth", [6, 10])
def test_blocks_do_not_change_a_bit(size, max_depth):
    trees, latents = booster(5, max_depth)
    forest = Forest.of(trees)
    pieces = [forest.probabilities(latents[start : start + size]) for start in range(0, 3000, size)]
    assert np.array_equal(np.concatenate(pieces), forest.probabilities(latents))


def test_no_cells():
    trees, latents = booster(3, 2)
    assert Forest.of(trees).probabilities(latents[:0]).shape == (0, 3)


def test_large_trees_are_walked_level_by_level():
    trees, latents = booster(3, 10)
    forest = Forest.of(trees)
    assert forest.values.shape[1] > SMALL
    assert forest.nbytes > sum(array.nbytes for array in forest.arrays.values())
    np.testing.assert_allclose(
        forest.probabilities(latents), trees.inplace_predict(latents), rtol=1e-5, atol=1e-7
    )


def test_trees_of_too_many_split_points_are_left_to_xgboost():
    trees, latents = booster(2, 10, max_bin=MANY_SPLITS)
    with pytest.raises(ValueError, match="byte"):
        Forest.of(trees)
    assert np.array_equal(XGBoostHead.of(trees).probabilities(latents), trees.inplace_predict(latents))
    assert XGBoostHead.of(trees).probabilities(latents[:0]).shape == (0, 2)


def test_of_many_trees_no_more_than_a_few_are_pythons_objects():
    trees, _ = booster(10, 6, rounds=60)
    Forest.of(trees)
    tracemalloc.start()
    Forest.of(trees)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * len(trees.save_raw("ubj"))


@pytest.mark.parametrize(
    ("max_depth", "max_bin", "has_arrays"), [(5, 256, True), (10, 256, True), (10, MANY_SPLITS, False)]
)
def test_a_stored_head_answers_as_the_trained_one(tmp_path, max_depth, max_bin, has_arrays):
    trees, latents = booster(2, max_depth, max_bin=max_bin)
    head = XGBoostHead.of(trees)
    head.save(tmp_path)
    assert (tmp_path / "xgboost.npz").exists() == has_arrays
    loaded = XGBoostHead.load(tmp_path, threads=1)
    assert (loaded.booster is None) == has_arrays
    assert np.array_equal(loaded.probabilities(latents), head.probabilities(latents))


def test_predicting_starts_without_xgboost_and_scikit_learn():
    program = (
        "import predict_labels, sys; print(sorted({'xgboost', 'sklearn', 'anndata'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    scripts = Path(__file__).parents[2] / "scripts"
    assert subprocess.run(command, cwd=scripts, capture_output=True, text=True, check=True).stdout == "[]\n"
