"""P-values of how unlike the reference cells are: even for cells like the held-out ones, small far out."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from cellferry.artifacts.decision import Tail
from cellferry.calibration.novelty import (
    TAIL_SHARE,
    entropies,
    fit_tail,
    learn_novelty,
    ood_pvalues,
    p_values,
)
from scipy.stats import entropy, kstest
from sklearn.metrics import roc_auc_score


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


def judged(n_cells, *, seed, doubt=0.0, shift=0.0, near=0.0, n_labels=5):
    """Probabilities of labels, and distances, of cells near a label; with more doubt, or farther away."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (n_cells, n_labels))
    logits[np.arange(n_cells), rng.integers(n_labels, size=n_cells)] += 6 - doubt
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    # The two distances see the same cell, each with an error of its own.
    far = rng.gamma(5, 0.2, n_cells)
    distance, label_distance = (far * rng.gamma(20, 0.05, n_cells) + more for more in (near, shift))
    return probabilities.astype(np.float32), SimpleNamespace(distance=distance, label_distance=label_distance)


HELD_OUT = 2000
NOVELTY = learn_novelty(*judged(HELD_OUT, seed=0))


def test_p_values_of_the_whole_are_even_for_cells_like_the_held_out_ones():
    found = ood_pvalues(NOVELTY, *judged(5000, seed=1))
    assert found.dtype == np.float32
    assert kstest(found, "uniform").statistic < 0.05
    for limit in (0.005, 0.02, 0.05):
        assert (found < limit).mean() == pytest.approx(limit, rel=0.6)


def test_they_are_even_too_where_the_undecided_are_the_far_ones():
    """Fisher's own distribution takes its parts for independent; of such cells half too many would be out."""

    def between(seed):
        probabilities, cells = judged(4000, seed=seed)
        order = np.argsort(entropies(probabilities))
        together = np.sort(cells.distance)
        return probabilities[order], SimpleNamespace(distance=together, label_distance=together)

    found = ood_pvalues(learn_novelty(*between(0)), *between(1))
    assert kstest(found, "uniform").statistic < 0.05
    assert (found < 0.02).mean() == pytest.approx(0.02, rel=0.6)


@pytest.mark.parametrize(
    "missing", [{"doubt": 5.0}, {"near": 1.5, "shift": 1.5}, {"doubt": 4.0, "near": 0.7, "shift": 0.7}]
)
def test_a_type_that_the_reference_lacks_is_noticed_by_doubt_or_by_distance(missing):
    known, unknown = (ood_pvalues(NOVELTY, *judged(1000, seed=2, **how)) for how in ({}, missing))
    assert roc_auc_score([0] * 1000 + [1] * 1000, -np.concatenate([known, unknown])) > 0.9
    assert (unknown < 0.005).mean() > 10 * (known < 0.005).mean()


def test_a_shift_that_one_of_the_distances_sees_puts_no_cell_outside():
    shifted = ood_pvalues(NOVELTY, *judged(5000, seed=3, shift=5.0))
    assert (shifted < 0.005).mean() < 0.01


def test_few_cells_that_are_sure_do_not_put_less_sure_ones_outside():
    """Fifty held-out cells of cell lines by one technology, and the same lines by a noisier one."""
    novelty = learn_novelty(*judged(50, seed=0, doubt=-3.0))
    less_sure, unknown = (judged(1000, seed=6, doubt=doubt) for doubt in (0.5, 6.0))
    assert np.median(less_sure[0].max(axis=1)) > 0.95
    assert (ood_pvalues(novelty, *less_sure) < 0.005).mean() < 0.02
    assert (ood_pvalues(novelty, *unknown) < 0.05).mean() > 0.5


def test_what_a_cell_is_told_does_not_depend_on_the_others():
    probabilities, cells = judged(300, seed=4, doubt=3.0)
    whole = ood_pvalues(NOVELTY, probabilities, cells)
    for kept in (slice(0, 1), slice(7, 150)):
        part = SimpleNamespace(distance=cells.distance[kept], label_distance=cells.label_distance[kept])
        np.testing.assert_array_equal(ood_pvalues(NOVELTY, probabilities[kept], part), whole[kept])


def test_entropies_are_scipys_and_sure_cells_have_none():
    probabilities, _ = judged(50, seed=5, doubt=4.0)
    probabilities[0] = np.eye(5)[0]
    np.testing.assert_allclose(entropies(probabilities), entropy(probabilities, axis=1), atol=1e-6)
    assert entropies(probabilities)[0] == 0


def test_no_cells_held_out_or_asked():
    nothing = learn_novelty(*judged(0, seed=0))
    assert ood_pvalues(nothing, *judged(20, seed=1, doubt=6.0, near=9.0, shift=9.0)).tolist() == [1] * 20
    assert ood_pvalues(NOVELTY, *judged(0, seed=1)).shape == (0,)
    assert np.isfinite(ood_pvalues(learn_novelty(*judged(1, seed=0)), *judged(20, seed=1))).all()
