"""One answer from several heads: temperatures, weights, the mixture."""

import numpy as np
import pytest
from cellferry.calibration.mixture import (
    MIN_PROBABILITY,
    TEMPERATURES,
    combined,
    fitted_temperature,
    learned_weights,
    prior_weights,
    tempered,
)
from cellferry.evaluation.metrics import auroc
from simulate import simulate_probabilities

ALL_HEADS = ["xgboost", "linear", "neighbors", "scanvi", "expression"]
OF_CYTOMETRY = ["xgboost", "linear", "neighbors", "cytovi", "expression", "expression_xgboost"]


def overconfident(n_cells, *, seed=0):
    """Overconfident probabilities."""
    probabilities, codes = simulate_probabilities(n_cells, n_labels=4, spread=1.0, seed=seed)
    powers = probabilities.astype(np.float64) ** 3
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), codes


def calibration_error(probabilities, codes):
    """Expected calibration error over ten bins of the best label's probability."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    bins = np.minimum((10 * top).astype(int), 9)
    return sum(
        abs(top[bins == one].mean() - right[bins == one].mean()) * (bins == one).mean()
        for one in np.unique(bins)
    )


def test_tempered_is_a_softmax_of_logits_over_the_temperature():
    probabilities, _ = simulate_probabilities(30, n_labels=4, seed=0)
    for temperature in (0.5, 1.0, 3.0):
        powers = probabilities.astype(np.float64) ** (1 / temperature)
        expected = powers / powers.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(tempered(probabilities, temperature), expected, atol=1e-3)
    assert tempered(probabilities[:0], 2.0).shape == (0, 4)


def test_no_head_is_believed_to_be_certain():
    vote = np.array([[1, 0, 0]], np.float32)
    found = tempered(vote, 1.0)
    np.testing.assert_allclose(found, [[1, MIN_PROBABILITY, MIN_PROBABILITY]], rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    probabilities, codes = simulate_probabilities(4000, n_labels=5, spread=1.5, seed=1)
    # Calibrated probabilities, distorted by a temperature of their logits.
    powers = probabilities.astype(np.float64) ** temperature
    given = powers / powers.sum(axis=1, keepdims=True)
    assert fitted_temperature(given, codes) == pytest.approx(temperature, rel=0.1)


def test_a_mixture_that_is_too_sure_is_calibrated_for_other_cells():
    temperature = fitted_temperature(*overconfident(2000))
    fresh, codes = overconfident(4000, seed=1)
    assert calibration_error(fresh, codes) > 0.15
    assert calibration_error(tempered(fresh, temperature), codes) < 0.04


def test_calibration_keeps_the_order_of_labels_and_tells_cells_apart_as_before():
    fresh, codes = overconfident(4000, seed=1)
    found = tempered(fresh, fitted_temperature(*overconfident(2000)))
    assert found.dtype == np.float32
    # A label that is likelier than another stays so, or is level with it.
    order = np.argsort(fresh, axis=1)
    assert (np.diff(np.take_along_axis(found, order, axis=1), axis=1) >= -1e-6).all()
    right = fresh.argmax(axis=1) == codes
    before, after = (
        auroc(np.sort(each[~right].max(axis=1)), each[right].max(axis=1)) for each in (fresh, found)
    )
    assert after == pytest.approx(before, abs=0.01)
    assert len(np.unique(found.max(axis=1))) > 3900


def test_few_cells_without_an_error_do_not_make_a_head_certain():
    right = np.array([[0.9, 0.1]] * 5, np.float32)
    codes = np.zeros(5, dtype=int)
    sharpened = tempered(right, fitted_temperature(right, codes))[0, 0]
    assert sharpened < 0.93
    many = tempered(
        np.repeat(right, 200, axis=0), fitted_temperature(np.repeat(right, 200, 0), np.zeros(1000, int))
    )
    assert many[0, 0] > 0.99


def test_without_held_out_cells_the_temperature_is_1():
    assert fitted_temperature(np.zeros((0, 3), np.float32), np.zeros(0, int)) == 1.0


def test_a_head_that_is_always_wrong_gets_the_highest_temperature():
    wrong = np.array([[0.99, 0.005, 0.005]] * 50, np.float32)
    assert fitted_temperature(wrong, np.ones(50, int)) == pytest.approx(TEMPERATURES[1], rel=0.01)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (ALL_HEADS, [1 / 8] * 4 + [1 / 2]),
        (["xgboost", "linear", "neighbors", "expression"], [1 / 6] * 3 + [1 / 2]),
        (["linear", "neighbors"], [1 / 2, 1 / 2]),
        (["expression"], [1]),
    ],
)
def test_views_weigh_the_same_before_anything_is_known(names, expected):
    np.testing.assert_allclose(prior_weights(names, intensities=False), expected)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (OF_CYTOMETRY, [1 / 16] * 4 + [3 / 8] * 2),
        (["linear", "expression_xgboost"], [1 / 4, 3 / 4]),
        (["linear", "cytovi"], [1 / 2, 1 / 2]),
        (["expression", "expression_xgboost"], [1 / 2, 1 / 2]),
        (["expression_xgboost"], [1]),
    ],
)
def test_markers_outweigh_their_summary(names, expected):
    np.testing.assert_allclose(prior_weights(names, intensities=True), expected)


def test_markers_decide_where_they_are_the_surer_view():
    """Two heads on them against four on the latent space, each as sure as the other view's."""
    by_head = {name: np.array([[0.1, 0.9]], np.float32) for name in OF_CYTOMETRY}
    by_head |= {name: np.array([[0.9, 0.1]], np.float32) for name in ("expression", "expression_xgboost")}
    weights = prior_weights(OF_CYTOMETRY, intensities=True).tolist()
    assert combined(by_head, [1.0] * 6, weights).argmax() == 0


@pytest.fixture
def good_and_bad():
    """Two heads' probabilities of the same cells: right ones, and the same of other cells."""
    good, codes = simulate_probabilities(1000, n_labels=4, spread=2.0, seed=2)
    return [np.random.default_rng(0).permutation(good), good], codes


def test_weights_stay_where_no_donor_was_held_out(good_and_bad):
    heads, codes = good_and_bad
    prior = prior_weights(["linear", "neighbors"], intensities=False)
    assert np.array_equal(learned_weights(heads, codes, np.full(1000, -1), prior), prior)


def test_weights_move_to_the_better_head_the_more_donors_there_are(good_and_bad):
    heads, codes = good_and_bad
    prior = prior_weights(["linear", "neighbors"], intensities=False)
    found = []
    for n_donors in (1, 3, 10):
        donors = np.arange(1000) % 10
        donors[donors >= n_donors] = -1
        weights = learned_weights(heads, codes, donors, prior)
        assert weights.sum() == pytest.approx(1)
        found.append(weights[1])
    assert 0.5 < found[0] < found[1] < found[2]
    assert found[2] > 0.75


def test_a_donor_of_many_cells_weighs_no_more_than_one_of_a_hundred(good_and_bad):
    heads, codes = good_and_bad
    prior = prior_weights(["linear", "neighbors"], intensities=False)
    whole = learned_weights(heads, codes, np.zeros(1000, int), prior)
    hundred = learned_weights([head[:100] for head in heads], codes[:100], np.zeros(100, int), prior)
    np.testing.assert_allclose(whole, hundred, atol=0.05)


def test_a_head_that_gives_the_truth_0_is_not_ruled_out_for_ever():
    heads = [np.array([[1, 0]] * 300, np.float32), np.array([[0, 1]] * 300, np.float32)]
    weights = learned_weights(heads, np.ones(300, int), np.arange(300) // 100, np.array([0.5, 0.5]))
    assert 0 < weights[0] < 0.3


def test_the_mixture_is_a_weighted_mean_of_tempered_probabilities(good_and_bad):
    heads, _ = good_and_bad
    found = combined(dict(zip(["a", "b"], heads, strict=True)), [2.0, 0.5], [0.25, 0.75])
    expected = 0.25 * tempered(heads[0], 2.0) + 0.75 * tempered(heads[1], 0.5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_as_many_weights_as_heads(good_and_bad):
    heads, _ = good_and_bad
    with pytest.raises(ValueError, match="zip"):
        combined({"a": heads[0], "b": heads[1]}, [1.0], [0.5, 0.5])
