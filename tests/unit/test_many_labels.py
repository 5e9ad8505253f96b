"""Very many labels: heads, training cells, models and probabilities."""

import numpy as np
import pytest
from cellferry.calibration.mixture import MIN_PROBABILITY, combined, tempered
from cellferry.calibration.thresholds import NEVER, Held, label_thresholds
from cellferry.config.available_heads import HEADS, MANY_LABELS, affordable_heads
from cellferry.heads import (
    discriminants,
    expression,
    expression_pca,
    expression_ranks,
    label_distances,
    linear,
    softmax,
)
from cellferry.heads.expression import ExpressionHead
from cellferry.heads.label_distances import LabelDistances
from cellferry.heads.linear import LinearHead
from cellferry.heads.registry import ON_COUNTS
from cellferry.heads.training_cells import draw_training
from cellferry.resources import memory
from mapped import counts_at, latents_at, values_at, write_mapped
from scipy.special import softmax as scipys_softmax
from sklearn.covariance import ledoit_wolf
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture
def many(monkeypatch):
    """Treat three labels as very many."""
    for module in (expression, expression_pca, expression_ranks, label_distances, linear, softmax):
        monkeypatch.setattr(module, "MANY_LABELS", 2)


def test_trees_are_left_to_other_heads_above_200_labels():
    heads = ["xgboost", "linear", "neighbors", "expression", "expression_ranks"]
    assert affordable_heads(heads, n_labels=MANY_LABELS) == heads
    assert affordable_heads(heads, n_labels=MANY_LABELS + 1) == heads[1:]
    assert affordable_heads(heads, n_labels=5000) == ["linear", "neighbors", "expression"]
    assert "xgboost" in affordable_heads(list(HEADS), n_labels=20)


def test_a_head_that_is_alone_in_its_view_stays():
    assert affordable_heads(["xgboost", "expression"], n_labels=5000) == ["xgboost", "expression"]
    assert affordable_heads(["linear", "expression_ranks"], n_labels=5000) == ["linear", "expression_ranks"]
    assert affordable_heads(["linear", "expression_xgboost"], n_labels=20) == ["linear", "expression_xgboost"]


def test_each_of_many_labels_keeps_fifty_cells(tmp_path, capsys):
    sizes = [2000, *[60] * 100, *[30] * 100, *[3] * 50]
    codes = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    names = [f"{code:03}" for code in range(len(sizes))]
    path = write_mapped(
        tmp_path / "0.parquet",
        np.zeros((len(codes), 5), np.float32),
        [names[code] for code in codes],
        ["a"] * len(codes),
    )
    rows, part = draw_training([path], codes, names, max_training_cells=500, seed=0, trees=False)
    assert (np.bincount(codes[rows]) >= np.minimum(sizes, 50)).all()
    assert len(rows) <= 50 * len(sizes)
    assert (np.bincount(codes[rows][part]) >= np.minimum(sizes, 20)).all()
    assert "each of 251 labels keeps up to 50" in capsys.readouterr().out
    few, _ = draw_training([path], codes, names, max_training_cells=500, seed=0, trees=True)
    assert len(few) == 500


def test_the_numbers_of_cells_stay_as_they_were_below_the_limit():
    assert memory.training_cap(n_labels=MANY_LABELS, max_training_cells=500, trees=False) == 500
    assert memory.training_cap(n_labels=5000, max_training_cells=200_000, trees=False) == 250_000
    assert memory.expression_cap(n_labels=MANY_LABELS) == memory.expression_cap(n_labels=1000) == 20_000
    assert memory.expression_cap(n_labels=5000) == 100_000
    assert memory.selection_cap(n_labels=1000) == memory.MAX_SELECTION_CELLS


def test_discriminants_are_those_of_means_and_a_shared_covariance():
    rng = np.random.default_rng(0)
    codes = np.arange(600) % 4
    centers, mixing = rng.normal(0, 2, (4, 6)), rng.normal(0, 1, (6, 6))
    values = (centers[codes] + rng.normal(0, 1, (600, 6)) @ mixing).astype(np.float32)
    found = discriminants.discriminants(values, codes, n_labels=4, reduce=False)
    logits = values @ found.axes @ found.coefficients.T + found.intercepts
    means = np.stack([values[codes == code].mean(axis=0) for code in range(4)])
    covariance = ledoit_wolf(values - means[codes], assume_centered=True)[0]
    weights = np.linalg.solve(covariance, means.T).T
    expected = values @ weights.T - (weights * means).sum(axis=1) / 2
    np.testing.assert_allclose(scipys_softmax(logits, axis=1), scipys_softmax(expected, axis=1), atol=1e-3)


def test_labels_that_differ_in_few_directions_get_few_axes(monkeypatch):
    """Two of 80 columns distinguish 40 labels; means of three cells are noise in all others."""
    monkeypatch.setattr(discriminants, "AXES", (2, 10, 39))
    rng = np.random.default_rng(1)
    centers = np.zeros((40, 80))
    centers[:, :2] = rng.normal(0, 6, (40, 2))

    def drawn(each):
        codes = np.repeat(np.arange(40), each)
        return (centers[codes] + rng.normal(0, 1, (len(codes), 80))).astype(np.float32), codes

    found = discriminants.discriminants(*drawn(3), drawn(10), n_labels=40, reduce=True)
    assert found.axes.shape == (80, 2)
    whole = discriminants.discriminants(*drawn(3), n_labels=40, reduce=False)
    values, codes = drawn(10)
    right = [
        ((values @ each.axes @ each.coefficients.T + each.intercepts).argmax(axis=1) == codes).mean()
        for each in (found, whole)
    ]
    assert right[0] > right[1]


def test_labels_of_two_cells_do_not_choose_the_axes(monkeypatch):
    """Their means err in all 80 directions more than labels differ in the two that matter."""
    monkeypatch.setattr(discriminants, "AXES", (2,))
    monkeypatch.setattr(discriminants, "AXES_UNCHECKED", 2)
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(60), [100] * 30 + [2] * 30)
    centers = np.zeros((60, 80))
    centers[:, :2] = rng.normal(0, 1, (60, 2))
    values = (centers[codes] + rng.normal(0, 1, (len(codes), 80))).astype(np.float32)
    axes = discriminants.discriminants(values, codes, n_labels=60, reduce=True).axes
    assert (np.linalg.norm(axes[:2], axis=0) > 0.9 * np.linalg.norm(axes, axis=0)).all()


def test_a_label_without_cells_gets_probability_0(many):
    places = [0] * 40 + [2] * 40
    for train in ON_COUNTS.values():
        head = train(counts_at(places), np.array(places), n_labels=4)
        found = head.probabilities(counts_at([0, 2], seed=1))
        assert found.argmax(axis=1).tolist() == [0, 2]
        np.testing.assert_array_equal(found[:, [1, 3]], 0)


def test_heads_of_many_labels_find_the_labels_and_can_be_stored(many, tmp_path):
    places = np.repeat([0, 1, 2], 50)
    held_out = counts_at([0, 1, 2] * 10, seed=2), np.array([0, 1, 2] * 10)
    asked = [0, 1, 2, 2, 1]
    heads = {
        name: train(counts_at(places), places, held_out, n_labels=3) for name, train in ON_COUNTS.items()
    }
    heads |= {"linear": LinearHead.train(latents_at(places, spread=0.5), places)}
    for name, head in heads.items():
        values = latents_at(asked, spread=0.5, seed=3) if name == "linear" else counts_at(asked, seed=3)
        found = head.probabilities(values)
        assert found.dtype == np.float32
        assert found.argmax(axis=1).tolist() == asked, name
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
        head.save(tmp_path)
        np.testing.assert_array_equal(type(head).load(tmp_path).probabilities(values), found)
        np.testing.assert_array_equal(head.probabilities(values[2:]), found[2:])


def test_marker_values_of_many_labels(many):
    places = np.repeat([0, 1, 2], 50)
    held_out = values_at([0, 1, 2] * 5, seed=1), np.array([0, 1, 2] * 5)
    head = ExpressionHead.train(values_at(places), places, held_out, n_labels=3, normalize=False)
    assert head.probabilities(values_at([2, 0, 1], seed=2)).argmax(axis=1).tolist() == [2, 0, 1]


def test_softmax_of_many_labels_is_scipys_however_cells_are_cut():
    rng = np.random.default_rng(0)
    values, coefficients = rng.normal(size=(300, 12)), rng.normal(size=(700, 12))
    intercepts = rng.normal(size=700)
    found = softmax.softmax_of(values, coefficients, intercepts)
    expected = scipys_softmax(values @ coefficients.T + intercepts, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    in_two = [softmax.softmax_of(part, coefficients, intercepts) for part in np.split(values, [77])]
    np.testing.assert_array_equal(np.concatenate(in_two), found)


@pytest.mark.parametrize("n_labels", [2, 48, 5000])
def test_tempered_probabilities_are_as_they_were(n_labels):
    probabilities = np.random.default_rng(0).dirichlet(np.full(n_labels, 0.1), 50).astype(np.float32)
    least = min(MIN_PROBABILITY, 0.02 / n_labels)
    expected = scipys_softmax(np.log(np.maximum(probabilities, least)) / 1.7, axis=1)
    np.testing.assert_allclose(tempered(probabilities, 1.7), expected, atol=1e-6)
    mixed = combined({"a": probabilities, "b": probabilities[::-1]}, [1.7, 1.7], [0.25, 0.75])
    np.testing.assert_allclose(mixed, 0.25 * expected + 0.75 * expected[::-1], atol=1e-6)


def test_a_sure_head_stays_sure_of_many_labels():
    """The least probabilities of all labels must not add up to half of a cell."""
    sure = np.zeros((1, 5000), np.float32)
    sure[0, 7] = 1
    assert tempered(sure, 1.0)[0, 7] > 0.97


def test_labels_of_too_few_held_out_cells_are_judged_by_all_together():
    """1,000 held-out cells of 5,000 labels: labels without cells are accepted all the same."""
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.3, 1, 1000).astype(np.float32)
    held = Held(rng.integers(0, 5000, 1000), probability, rng.random(1000) < probability)
    thresholds = label_thresholds(held, np.zeros(5000, int), max_error=0.1)
    assert (thresholds < NEVER).mean() > 0.95
    without = np.setdiff1d(np.arange(5000), held.nodes)
    assert len(np.unique(thresholds[without])) == 1
    assert 0.7 < thresholds[without[0]] < 0.9  # a tenth of cells above .8 is wrong


def test_distances_to_the_nearest_of_many_labels(monkeypatch):
    rng = np.random.default_rng(0)
    codes = np.arange(3000) % 60
    centers = rng.normal(0, 3, (60, 5))
    latents = (centers[codes] + rng.normal(0, 1, (3000, 5))).astype(np.float32)
    distances = LabelDistances.train(latents, codes, n_labels=60)
    asked = np.concatenate([latents[:200], 10 + latents[:20]])
    expected = distances.nearest(asked)
    monkeypatch.setattr(label_distances, "MANY_LABELS", 59)
    np.testing.assert_allclose(distances.nearest(asked), expected, rtol=1e-4)
