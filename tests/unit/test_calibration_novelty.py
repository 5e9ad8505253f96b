"""P-values of distances to the reference: even for cells like the held-out ones, small far out."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from cellferry.artifacts.decision import Tail
from cellferry.calibration.novelty import TAIL_SHARE, fit_tail, p_values
from scipy.stats import kstest


@pytest.mark.parametrize("draw", ["gamma", "normal"])
def test_p_values_of_cells_like_the_held_out_ones_are_even(draw):
    rng = np.random.default_rng(0)
    distances = {"gamma": lambda n: rng.gamma(5, 1, n), "normal": lambda n: np.abs(rng.normal(3, 1, n))}[draw]
    found = p_values(fit_tail(distances(5000)), distances(5000))
    assert found.dtype == np.float32
    assert kstest(found, "uniform").statistic < 0.03
    for limit in (0.005, 0.02, 0.05):
        assert (found < limit).mean() == pytest.approx(limit, rel=0.6)


def test_a_small_p_value_is_not_more_frequent_than_it_says_where_few_cells_were_held_out():
    """The tail of a few cells is uncertain, and so it falls off more slowly."""
    rng = np.random.default_rng(0)
    for n_held_out in (10, 30, 200):
        small = [
            (p_values(fit_tail(rng.exponential(1, n_held_out)), rng.exponential(1, 500)) < 0.005).mean()
            for _ in range(200)
        ]
        assert np.mean(small) < 0.015, n_held_out


def test_p_values_fall_with_the_distance_and_are_small_far_out():
    tail = fit_tail(np.random.default_rng(0).gamma(5, 1, 500))
    distances = np.linspace(0, 100, 1000)
    found = p_values(tail, distances)
    assert (np.diff(found) <= 0).all()
    assert found[0] == 1
    assert found[-1] < 1e-6
    # There is no step where the tail begins.
    edge = tail.quantiles[-1]
    np.testing.assert_allclose(p_values(tail, np.array([edge, edge + 1e-6])), TAIL_SHARE, rtol=1e-3)


def test_held_out_cells_all_at_one_distance():
    found = p_values(fit_tail(np.full(30, 2.0)), np.array([1.0, 2.0, 2.5, 50.0]))
    assert np.isfinite(found).all()
    assert found[0] == 1
    assert found[3] < 1e-3


def test_without_held_out_cells_everything_is_inside():
    tail = fit_tail(np.zeros(0))
    assert p_values(tail, np.array([0.0, 1e9])).tolist() == [1, 1]
    written = json.dumps(asdict(tail), allow_nan=False)
    assert p_values(Tail(**json.loads(written)), np.array([1e9])).tolist() == [1]


def test_one_held_out_cell():
    assert np.isfinite(p_values(fit_tail(np.array([1.0])), np.array([0.0, 1.0, 3.0]))).all()
