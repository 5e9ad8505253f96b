"""Thresholds raised for a query: never lower, and as high as its own probabilities require."""

import numpy as np
import pytest
from cellferry.artifacts.decision import HeldOutAnswers
from cellferry.calibration.decision import decide, prediction_sets
from cellferry.calibration.fit import level_thresholds
from cellferry.calibration.shift import raise_thresholds
from cellferry.calibration.thresholds import NEVER, set_thresholds
from cellferry.labels.vocabulary import LEAF_LEVEL
from example_artifacts import decision_of, hierarchy_of
from simulate import simulate_probabilities

LABELS = ["B", "CD4 T", "CD8 T", "NK"]
LINEAGE = {"lineage": {"B": "B cell", "CD4 T": "T/NK", "CD8 T": "T/NK", "NK": "T/NK"}}
HIERARCHY = hierarchy_of(LABELS, LINEAGE)
MAX_ERROR = 0.05


def learned(*, max_error=MAX_ERROR, error=0.04, spread=6.0, hierarchy=HIERARCHY):
    """The decision from 4,000 held-out cells with calibrated probabilities."""
    probabilities, codes = simulate_probabilities(4000, n_labels=len(LABELS), spread=spread, seed=1)
    of_truth = probabilities[np.arange(len(codes)), codes]
    thresholds = level_thresholds(probabilities, codes, hierarchy, max_error=max_error)
    of_sets = set_thresholds(of_truth, codes, hierarchy, max_error=max_error)
    return decision_of(
        thresholds,
        set_thresholds=dict(zip(LABELS, of_sets.tolist(), strict=True)),
        held_out=HeldOutAnswers(len(codes), 0, max_error, len(codes), 0, error, 0.1, 0.9),
    )


def everywhere(cells):
    return np.ones(len(cells), dtype=bool)


def answers(probabilities, decision):
    n_cells = len(probabilities)
    inside, enough = np.ones(n_cells), np.zeros(n_cells, dtype=bool)
    return decide(probabilities, inside, enough, HIERARCHY, decision, min_p=0)


def errors(probabilities, codes, decision):
    """Share of wrong ones among the labels of the finest level, and the share of cells that have one."""
    found = answers(probabilities, decision)
    given = np.equal(found["level"], LEAF_LEVEL)
    return (found["label"][given] != np.array(LABELS)[codes[given]]).mean(), given.mean()


@pytest.mark.parametrize("spread", [1.5, 2.5, 4.0])
def test_the_error_of_a_less_sure_query_is_the_one_allowed(spread):
    before = learned()
    probabilities, codes = simulate_probabilities(40_000, n_labels=4, spread=spread, seed=7)
    after = raise_thresholds(before, probabilities, everywhere(codes), HIERARCHY)
    assert errors(probabilities, codes, before)[0] > MAX_ERROR + 0.01
    error, given = errors(probabilities, codes, after)
    assert error < MAX_ERROR + 0.01
    # Not by labeling no cell: most cells above the allowed probability keep a label.
    assert given > 0.9 * (probabilities.max(axis=1) > 1 - MAX_ERROR).mean()
    # Held-out cells count beside the query's, as many as make 20.
    assert after.raised.expected_error <= MAX_ERROR + 0.001
    assert after.raised.expected_error_before > MAX_ERROR
    assert after.raised.labeled < after.raised.labeled_before
    assert after.raised.cells == 40_000


def test_no_threshold_is_ever_lower():
    before = learned(spread=3.0)
    for spread in (1.0, 3.0, 9.0):
        probabilities, codes = simulate_probabilities(2000, n_labels=4, spread=spread, seed=5)
        after = raise_thresholds(before, probabilities, everywhere(codes), HIERARCHY)
        for level, nodes in before.thresholds.items():
            assert all(after.thresholds[level][node] >= least for node, least in nodes.items())
        assert all(after.set_thresholds[label] <= least for label, least in before.set_thresholds.items())


def test_a_query_as_sure_as_held_out_cells_keeps_their_thresholds():
    before = learned(spread=6.0, error=0.04)
    probabilities, codes = simulate_probabilities(4000, n_labels=4, spread=9.0, seed=3)
    after = raise_thresholds(before, probabilities, everywhere(codes), HIERARCHY)
    assert after.thresholds == before.thresholds
    assert after.set_thresholds == before.set_thresholds
    assert after.raised.labeled == after.raised.labeled_before
    # All else is unchanged.
    assert (after.weights, after.held_out, after.made_from) == (
        before.weights,
        before.held_out,
        before.made_from,
    )


def test_without_a_limit_nothing_is_raised():
    before = learned(max_error=1.0)
    probabilities, codes = simulate_probabilities(500, n_labels=4, spread=0.5)
    after = raise_thresholds(before, probabilities, everywhere(codes), HIERARCHY)
    assert after.thresholds == before.thresholds
    assert after.raised.labeled == 500


def test_a_few_cells_do_not_decide():
    """A single cell of .93 passes where held-out cells of that probability did; many such cells do not."""
    before = decision_of(
        {"lineage": {"B cell": 0.9, "T/NK": 0.9}, "label": dict.fromkeys(LABELS, 0.9)},
        held_out=HeldOutAnswers(1000, 0, MAX_ERROR, 900, 27, 0.03, 0.04, 0.9),
    )
    cell = np.array([[0.93, 0.05, 0.01, 0.01]], dtype=np.float32)
    one = raise_thresholds(before, cell, np.ones(1, dtype=bool), HIERARCHY)
    assert answers(cell, one)["label"].tolist() == ["B"]
    many = np.repeat(cell, 500, axis=0)
    raised = raise_thresholds(before, many, np.ones(500, dtype=bool), HIERARCHY)
    assert set(answers(many, raised)["label"]) == {"unknown"}
    assert raised.thresholds["label"]["B"] == NEVER
    assert raised.raised.expected_error is None


@pytest.mark.parametrize("n_cells", [0, 50])
def test_cells_that_get_no_label_anyway_do_not_count(n_cells):
    before = learned()
    probabilities, _ = simulate_probabilities(n_cells, n_labels=4, spread=0.5)
    after = raise_thresholds(before, probabilities, np.zeros(n_cells, dtype=bool), HIERARCHY)
    assert (after.thresholds, after.set_thresholds) == (before.thresholds, before.set_thresholds)
    assert (after.raised.cells, after.raised.labeled_before) == (n_cells, 0)


def test_cells_that_lose_a_subtype_keep_their_lineage():
    """T cells with an uncertain subtype have a certain lineage."""
    before = decision_of(
        {"lineage": {"B cell": 0.9, "T/NK": 0.9}, "label": dict.fromkeys(LABELS, 0.8)},
        held_out=HeldOutAnswers(1000, 0, MAX_ERROR, 900, 27, 0.03, 0.04, 0.9),
    )
    cells = np.repeat(np.array([[0.01, 0.85, 0.13, 0.01]], dtype=np.float32), 300, axis=0)
    assert set(answers(cells, before)["level"]) == {LEAF_LEVEL}
    after = raise_thresholds(before, cells, np.ones(300, dtype=bool), HIERARCHY)
    found = answers(cells, after)
    assert set(found["level"]) == {"lineage"}
    assert set(found["label"]) == {"T/NK"}
    assert after.raised.labeled == 300


@pytest.mark.parametrize("spread", [0.7, 2.0])
def test_prediction_sets_hold_the_truth_as_often_as_allowed(spread):
    before = learned()
    probabilities, codes = simulate_probabilities(6000, n_labels=4, spread=spread, seed=11)
    after = raise_thresholds(before, probabilities, everywhere(codes), HIERARCHY)
    best = probabilities.argmax(axis=1)
    sets = prediction_sets(probabilities, best, LABELS, after)
    held = [LABELS[code] in joined.split(" | ") for code, joined in zip(codes, sets, strict=True)]
    assert np.mean(held) > 1 - MAX_ERROR - 0.01
    # Not by every label in every set, where labels differ at all.
    assert np.mean([joined.count("|") + 1 for joined in sets]) < 4
