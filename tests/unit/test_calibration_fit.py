"""Thresholds of several levels: the bound on errors holds for cells with coarser answers."""

from types import SimpleNamespace

import numpy as np
import pytest
from cellferry.calibration.decision import calibrated_probabilities, decide
from cellferry.calibration.fit import HeldOutCells, learn_decision, level_thresholds
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
    hard_share = [0.6, 0.2, 0.2]  # most are not T cells
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


@pytest.fixture
def heads():
    """Three heads of three labels; the tests set their probabilities."""
    hierarchy = hierarchy_of(["a", "b", "c"])
    return SimpleNamespace(
        labels=hierarchy.leaves, hierarchy=hierarchy, head_names=["first", "second", "third"]
    )


def learned(heads, by_head, codes):
    n_cells = len(codes)
    distances = np.random.default_rng(0).chisquare(3, (2, n_cells)).astype(np.float32)
    quality = np.full(n_cells, 1000), np.full(n_cells, 500)
    cells = HeldOutCells(codes, by_head, *distances, *quality, None)
    prior = np.full(len(by_head), 1 / len(by_head))
    unknown = np.full(n_cells, -1)
    return learn_decision(cells, heads, donors=unknown, prior=prior, max_error=0.05, made_from={})


def test_heads_that_disagree_everywhere_give_no_label(heads):
    """Each head is certain of its own label for every cell: together they contain no information."""
    codes = np.random.default_rng(1).integers(0, 3, 900)
    certain = np.eye(3, dtype=np.float32) * 0.98 + 0.01 / 3
    certain /= certain.sum(axis=1, keepdims=True)
    by_head = {name: np.tile(certain[place], (900, 1)) for place, name in enumerate(heads.head_names)}
    decision = learned(heads, by_head, codes)
    assert decision.held_out.accepted <= 0.05 * len(codes)
    probabilities = calibrated_probabilities(decision, by_head)
    assert probabilities.max() < 0.45
    decided = decide(
        probabilities, np.ones(900), np.zeros(900, dtype=bool), heads.hierarchy, decision, min_p=0
    )
    assert (decided["label"] == "unknown").mean() > 0.95
    assert set(decided["reason"]) <= {"ambiguous", None}
    # A set that holds the truth must hold all labels.
    assert (decided["prediction_set"] == "a | b | c").mean() > 0.9


def test_one_head_that_is_right_among_wrong_ones_decides(heads):
    """Heads that are certain and always wrong are softened; the one that is right decides."""
    codes = np.random.default_rng(2).integers(0, 3, 900)
    right = np.full((900, 3), 0.02, dtype=np.float32)
    right[np.arange(900), codes] = 0.96
    wrong = np.roll(right, 1, axis=1)
    by_head = {"first": right, "second": wrong, "third": wrong.copy()}
    decision = learned(heads, by_head, codes)
    probabilities = calibrated_probabilities(decision, by_head)
    assert decision.temperatures["second"] > 3 * decision.temperatures["first"]
    assert (probabilities.argmax(axis=1) == codes).mean() > 0.95
