"""Thresholds of several levels: the promise for coarser answers holds for the cells that get them."""

import numpy as np
import pytest
from cellferry.calibration.fit import level_thresholds
from cellferry.labels.best_path import best_path
from example_artifacts import hierarchy_of

HIERARCHY = hierarchy_of(["B", "CD4", "CD8"], {"lineage": {"CD4": "T", "CD8": "T", "B": "B"}})
SURE, HARD = [0.01, 0.97, 0.02], [0.2, 0.42, 0.38]


def cells(n_sure, n_hard, *, hard_share, seed):
    """Sure cells, of which 3 % are of the other T cells, and hard ones: so many of each label."""
    rng = np.random.default_rng(seed)
    probabilities = np.repeat([SURE, HARD], [n_sure, n_hard], axis=0)
    probabilities += rng.uniform(0, 0.02, probabilities.shape)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    sure = rng.choice(3, n_sure, p=[0, 0.97, 0.03])
    return probabilities.astype(np.float32), np.append(sure, rng.choice(3, n_hard, p=hard_share))


def coarser_answers(probabilities, codes, thresholds):
    """Cells that get a lineage and no finer label, and whether it is right."""
    coarse, fine = best_path(probabilities, HIERARCHY)
    least, min_above = (
        np.array([thresholds[found.level][name] for name in found.nodes])[found.codes]
        for found in (fine, coarse)
    )
    given = (fine.probability < least) & (coarse.probability >= min_above)
    return given, coarse.codes == coarse.of_leaf[codes]


@pytest.mark.parametrize("max_error", [0.02, 0.05, 0.1])
def test_sure_cells_do_not_hide_that_coarser_answers_are_wrong(max_error):
    hard_share = [0.6, 0.2, 0.2]  # most are no T cells at all
    held = cells(3000, 100, hard_share=hard_share, seed=0)
    given, right = coarser_answers(
        *cells(30_000, 1000, hard_share=hard_share, seed=1),
        level_thresholds(*held, HIERARCHY, max_error=max_error),
    )
    assert np.count_nonzero(given & ~right) <= (max_error + 0.01) * np.count_nonzero(given)


def test_coarser_answers_that_are_right_are_given_out():
    hard_share = [0.01, 0.5, 0.49]
    thresholds = level_thresholds(*cells(3000, 300, hard_share=hard_share, seed=0), HIERARCHY, max_error=0.05)
    given, right = coarser_answers(*cells(30_000, 3000, hard_share=hard_share, seed=1), thresholds)
    assert given.sum() > 1500
    assert right[given].mean() > 0.95
