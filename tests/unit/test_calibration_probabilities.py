"""Calibration: four in five of the cells with a probability of 0.8 are right."""

import numpy as np
import pytest
from cellferry.artifacts.decision import Calibration
from cellferry.calibration.probabilities import (
    MIN_CELLS_FOR_ISOTONIC,
    calibrate,
    fit_calibration,
    fit_isotonic,
    fit_temperature,
    log_loss,
)
from simulate import simulate_probabilities
from sklearn.isotonic import IsotonicRegression


def overconfident(n_cells, *, seed=0):
    """Probabilities that are surer than they are right."""
    probabilities, codes = simulate_probabilities(n_cells, n_labels=4, spread=1.0, seed=seed)
    powers = probabilities.astype(np.float64) ** 3
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), codes


def stepped(n_cells, *, seed=0):
    """Probabilities that no temperature calibrates: right in 60 % of cells whatever they say above .5."""
    rng = np.random.default_rng(seed)
    top = rng.uniform(0.5, 1, n_cells)
    right = rng.random(n_cells) < np.where(top > 0.9, 0.95, 0.6)
    best = rng.integers(3, size=n_cells)
    probabilities = np.repeat((1 - top)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(n_cells), best] = top
    return probabilities.astype(np.float32), np.where(right, best, (best + 1) % 3)


def calibration_error(probabilities, codes):
    """Expected calibration error over ten bins of the best label's probability."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    bins = np.minimum((10 * top).astype(int), 9)
    return sum(
        abs(top[bins == one].mean() - right[bins == one].mean()) * (bins == one).mean()
        for one in np.unique(bins)
    )


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic, fit_calibration])
def test_what_is_too_sure_is_calibrated_for_other_cells(fit):
    calibration = fit(*overconfident(2000))
    fresh, codes = overconfident(4000, seed=1)
    assert calibration_error(fresh, codes) > 0.15
    assert calibration_error(calibrate(calibration, fresh), codes) < 0.04


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic])
def test_probabilities_sum_to_1_and_labels_keep_their_order(fit):
    calibration = fit(*stepped(500))
    fresh, _ = simulate_probabilities(500, n_labels=3, spread=3.0, seed=2)
    found = calibrate(calibration, fresh)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == fresh.argmax(axis=1)).all()
    # Not only the best: a label that is likelier than another stays so, or is level with it.
    order = np.argsort(fresh, axis=1)
    assert (np.diff(np.take_along_axis(found, order, axis=1), axis=1) >= -1e-6).all()


def test_the_isotonic_curve_is_scikit_learns():
    probabilities, codes = stepped(400)
    calibration = fit_isotonic(probabilities, codes)
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    curve = IsotonicRegression(y_min=1 / 402, y_max=401 / 402, out_of_bounds="clip").fit(top, right)
    fresh = stepped(200, seed=1)[0]
    expected = curve.predict(fresh.max(axis=1))
    # Below a third, the two others would be likelier.
    np.testing.assert_allclose(
        calibrate(calibration, fresh).max(axis=1), np.maximum(expected, 1 / 3), atol=1e-5
    )


def test_the_best_label_stays_the_best_where_the_curve_is_low():
    calibration = Calibration("isotonic", 1.0, (0.0, 1.0), (0.1, 0.1))
    found = calibrate(calibration, np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]], np.float32))
    assert found.argmax(axis=1).tolist() == [0, 0]
    assert found[0, 0] == pytest.approx(found[0, 1], abs=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_the_curve_holds_for_cells_that_seem_certain():
    """A temperature below 1 makes a probability 1 in float32; the curve says how often that is right."""
    calibration = Calibration("isotonic", 1.0, (0.5, 1.0), (0.6, 0.8))
    certain = np.array([[1, 0, 0], [1 - 1e-7, 1e-7, 0]], np.float32)
    np.testing.assert_allclose(calibrate(calibration, certain)[:, 0], 0.8, atol=1e-6)
    np.testing.assert_allclose(calibrate(calibration, certain).sum(axis=1), 1, atol=1e-6)


def test_a_curve_is_never_certain():
    probabilities = np.array([[0.9, 0.1]] * 300, np.float32)
    assert calibrate(fit_isotonic(probabilities, np.zeros(300, int)), probabilities).max() < 1
    assert fit_isotonic(probabilities, np.ones(300, int)).right[0] > 0


def test_what_does_better_on_other_cells_is_taken(capsys):
    assert fit_calibration(*stepped(2000)).method == "isotonic"
    assert fit_calibration(*overconfident(2000)).method == "temperature"
    assert "fit_temperature" in capsys.readouterr().out


def test_the_choice_is_by_cells_that_were_not_fitted_to():
    """On the cells it was fitted to a curve is nearly always better, since it bends to them."""
    probabilities, codes = overconfident(MIN_CELLS_FOR_ISOTONIC)
    everything = np.ones(len(codes), dtype=bool)
    losses = [
        log_loss(fit(probabilities, codes), probabilities, codes, everything)
        for fit in (fit_temperature, fit_isotonic)
    ]
    assert losses[1] < losses[0]
    assert fit_calibration(probabilities, codes).method == "temperature"


@pytest.mark.parametrize("n_cells", [0, 1, 20])
def test_few_cells_get_a_temperature(n_cells):
    calibration = fit_calibration(*overconfident(n_cells))
    assert calibration.method == "temperature"
    assert (calibration.temperature == 1) == (n_cells == 0)


def test_no_cells():
    nothing = np.zeros((0, 3), np.float32)
    for calibration in (
        Calibration("temperature", 2.0),
        Calibration("isotonic", 1.0, (0.0, 1.0), (0.1, 0.9)),
    ):
        assert calibrate(calibration, nothing).shape == (0, 3)
