"""Thresholds: labels above them are wrong no more often than the user allows."""

import numpy as np
import pytest
from cellferry.calibration.thresholds import (
    MAX_VETOED,
    MIN_RARE,
    NEVER,
    UNTESTED,
    Held,
    above,
    label_thresholds,
    rare_threshold,
    set_threshold,
    set_thresholds,
)
from example_artifacts import hierarchy_of
from simulate import simulate_probabilities


def draw(rng, n_cells, shares, sureness):
    """Cells with calibrated probabilities; the `sureness` of each node skews them to 1."""
    nodes = rng.choice(len(shares), n_cells, p=shares)
    probability = 0.3 + 0.7 * rng.beta(sureness[nodes], 1)
    return Held(nodes, probability.astype(np.float32), rng.random(n_cells) < probability)


def one_node(probability, right):
    return Held(np.zeros(len(right), int), np.asarray(probability, np.float32), np.asarray(right, bool))


@pytest.mark.parametrize("max_error", [0.05, 0.2])
@pytest.mark.parametrize("n_cells", [30, 200, 1000])
def test_the_error_of_fresh_cells_stays_below_what_is_allowed(n_cells, max_error):
    rng = np.random.default_rng(0)
    wrong = accepted = 0
    for _ in range(100):
        shares, sureness = rng.dirichlet(np.full(8, 0.5)), rng.choice([1.0, 3.0, 10.0, 40.0], 8)
        held, fresh = (draw(rng, n, shares, sureness) for n in (n_cells, 2000))
        given_out = (
            fresh.probability >= label_thresholds(held, np.zeros(8, int), max_error=max_error)[fresh.nodes]
        )
        wrong += (~fresh.right[given_out]).sum()
        accepted += given_out.sum()
    assert wrong / accepted < max_error + 0.01
    # Many cells are accepted nonetheless.
    assert accepted > 100 * 2000 / 10


def test_a_node_that_is_mostly_wrong_is_never_given_out():
    rng = np.random.default_rng(0)
    nodes = np.repeat([0, 1], [400, 40])
    probability = rng.uniform(0.9, 1, 440).astype(np.float32)
    held = Held(nodes, probability, (nodes == 0) | (rng.random(440) < 0.2))
    good, bad = label_thresholds(held, np.zeros(2, int), max_error=0.05)
    assert bad == NEVER
    assert good <= probability.min()


def test_a_node_of_few_cells_is_judged_by_all_together():
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.5, 1, 1000).astype(np.float32)
    right = rng.random(1000) < probability
    nodes = np.repeat([0, 1], [998, 2])
    nobody = label_thresholds(Held(nodes, probability, right), np.zeros(3, int), max_error=0.1)
    together = label_thresholds(one_node(probability, right), np.zeros(1, int), max_error=0.1)
    assert nobody[2] == pytest.approx(together[0], abs=0.05)
    assert nobody[1] == pytest.approx(together[0], abs=0.1)
    assert 0.6 < together[0] < 0.95


def test_a_node_of_few_cells_is_judged_by_its_siblings_first():
    """The T cells' subtypes are confused, B cells are not: a rare subtype is as uncertain as its siblings."""
    rng = np.random.default_rng(0)
    nodes = np.repeat([0, 1, 2], [600, 300, 3])
    probability = rng.uniform(0.6, 1, 903).astype(np.float32)
    right = (nodes == 0) | (rng.random(903) < 0.8 * probability)
    held = Held(nodes, probability, right)
    of_lineage = label_thresholds(held, np.array([0, 1, 1]), max_error=0.1)
    of_all = label_thresholds(held, np.zeros(3, int), max_error=0.1)
    assert of_lineage[2] > of_all[2]
    # A node of many cells keeps its threshold, with siblings and without.
    assert of_lineage[0] == pytest.approx(of_all[0], abs=0.05)
    assert of_lineage[1] == pytest.approx(of_all[1], abs=0.05)


def test_where_all_held_out_cells_are_right_less_sure_ones_are_given_out_down_to_one_half():
    held = one_node(np.linspace(0.97, 0.99, 300), np.ones(300))
    assert label_thresholds(held, np.zeros(2, int), max_error=0.05).tolist() == [UNTESTED, UNTESTED]
    # Not below the probabilities of right cells.
    low = one_node(np.linspace(0.3, 0.99, 3000), np.ones(3000))
    assert label_thresholds(low, np.zeros(1, int), max_error=0.05)[0] == pytest.approx(0.3)


def test_few_cells_are_judged_by_what_their_probabilities_expect():
    sure, unsure = (one_node([probability] * 5, [True] * 5) for probability in (0.99, 0.8))
    assert label_thresholds(sure, np.zeros(1, int), max_error=0.05)[0] == UNTESTED
    assert label_thresholds(unsure, np.zeros(1, int), max_error=0.05)[0] == NEVER


def test_all_is_given_out_where_any_error_is_allowed():
    held = one_node([0.2, 0.9], [False, False])
    assert label_thresholds(held, np.zeros(3, int), max_error=1).tolist() == [0, 0, 0]


def test_without_held_out_cells_the_probability_decides():
    nothing = one_node([], [])
    np.testing.assert_allclose(label_thresholds(nothing, np.zeros(2, int), max_error=0.05), 0.95)
    assert label_thresholds(nothing, np.zeros(2, int), max_error=1).tolist() == [0, 0]


def test_less_error_means_higher_thresholds():
    rng = np.random.default_rng(0)
    held = draw(rng, 500, np.full(4, 0.25), np.array([1.0, 3.0, 10.0, 40.0]))
    found = [label_thresholds(held, np.zeros(4, int), max_error=error) for error in (0.2, 0.1, 0.05, 0.01)]
    assert (np.diff(found, axis=0) >= 0).all()


def test_above_counts_what_reaches_a_threshold():
    held = one_node([0.2, 0.5, 0.5, 0.9], [True, False, True, True])
    wrong, cells, expected = above(held, np.array([0.1, 0.5, 0.6, 0.95], np.float32))
    assert wrong.tolist() == [1, 1, 0, 0]
    assert cells.tolist() == [4, 3, 1, 0]
    np.testing.assert_allclose(expected, [1.9, 1.1, 0.1, 0], atol=1e-6)


@pytest.mark.parametrize("max_error", [0.05, 0.2])
@pytest.mark.parametrize("n_cells", [5, 40, 300])
def test_a_prediction_set_holds_the_truth_as_often_as_it_says(n_cells, max_error):
    covered = []
    for seed in range(200):
        probabilities, codes = simulate_probabilities(n_cells + 100, n_labels=5, seed=seed)
        of_truth = probabilities[np.arange(len(codes)), codes]
        threshold = set_threshold(of_truth[:n_cells], max_error=max_error)
        covered.append((of_truth[n_cells:] >= threshold).mean())
    assert np.mean(covered) > 1 - max_error - 0.01
    # Not by giving every label, where there are cells enough.
    if (n_cells + 1) * max_error > 1:
        assert np.mean(covered) < 1 - max_error + 0.01 + 1 / n_cells


def test_too_few_cells_put_every_label_into_the_set():
    assert set_threshold(np.full(18, 0.9), max_error=0.05) == 0
    assert set_threshold(np.full(19, 0.9), max_error=0.05) == 0.9
    for max_error in (0.05, 1.0):
        assert set_threshold(np.zeros(0), max_error=max_error) == 0
    assert set_threshold(np.array([0.2, 0.4]), max_error=1) == 0.4


def test_each_label_has_sets_of_its_own():
    """A rare label whose cells are never sure is in sets too: the many of the others do not outvote it."""
    codes = np.repeat([0, 1, 2], [3000, 60, 10])
    of_truth = np.where(codes == 0, 0.95, np.where(codes == 1, 0.3, 0.2)).astype(np.float32)
    hierarchy = hierarchy_of(["B", "CD4 T", "CD8 T"], {"lineage": {"B": "B", "CD4 T": "T", "CD8 T": "T"}})
    found = set_thresholds(of_truth, codes, hierarchy, max_error=0.05)
    assert found[:2] == pytest.approx([0.95, 0.3])
    # Ten cells are too few at .05: T cells together judge, of whose 70 three may be missed.
    assert found[2] == pytest.approx(0.2)
    assert set_threshold(of_truth, max_error=0.05) == pytest.approx(0.95)


def test_a_label_that_no_parent_knows_enough_of_is_judged_by_all():
    codes = np.repeat([0, 1], [200, 4])
    of_truth = np.linspace(0.5, 1, 204).astype(np.float32)
    found = set_thresholds(of_truth, codes, hierarchy_of(["a", "b", "no held-out cell"]), max_error=0.05)
    assert found[1] == found[2] == set_threshold(of_truth, max_error=0.05)
    assert found[0] == set_threshold(of_truth[:200], max_error=0.05)
    nothing = set_thresholds(np.zeros(0), np.zeros(0, dtype=int), hierarchy_of(["a", "b"]), max_error=0.05)
    assert nothing.tolist() == [0, 0]


def test_few_held_out_cells_are_taken_for_a_rare_label():
    """At any probabilities; a rare label must be four times as likely as all others together."""
    probability = np.random.default_rng(0).random(997) ** 0.1
    least = rare_threshold(probability, max_error=0.05)
    assert 0 < (probability > least).mean() <= MAX_VETOED
    assert rare_threshold(probability[:50], max_error=0.05) == probability[:50].max()
    assert rare_threshold(probability / 2, max_error=0.05) == MIN_RARE
    assert rare_threshold(np.zeros(0), max_error=0.05) == MIN_RARE
    assert rare_threshold(probability, max_error=1) == NEVER
