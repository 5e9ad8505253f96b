"""Distances to the reference, and the p-values that are made of them."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from cellferry.calibration.novelty import TAIL_SHARE, Tail
from cellferry.heads.label_distances import LabelDistances
from scipy.spatial.distance import mahalanobis
from scipy.stats import kstest


def blobs(sizes, *, seed=0, n_latent=4):
    """Latents (float32) around a centre of each label, wider in some directions; and the labels."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    structure = np.random.default_rng(99)
    centres = 5 * structure.normal(size=(len(sizes), n_latent))
    shapes = structure.normal(size=(len(sizes), n_latent, n_latent))
    noise = np.einsum("nl,nlm->nm", rng.normal(size=(len(codes), n_latent)), shapes[codes])
    return (centres[codes] + noise).astype(np.float32), codes


@pytest.mark.parametrize(
    "sizes", [(60, 40, 80), (50, 1, 2), (3, 3)], ids=["many", "one and two cells", "few"]
)
def test_it_is_scipys_mahalanobis_with_the_shrunk_covariance(sizes):
    latents, codes = blobs(sizes)
    fresh, _ = blobs((10,) * len(sizes), seed=1)
    distances = LabelDistances.train(latents, codes, n_labels=len(sizes)).nearest(fresh)
    own = [latents[codes == code].astype(np.float64) for code in range(len(sizes))]
    scatters = [(cells - cells.mean(axis=0)).T @ (cells - cells.mean(axis=0)) for cells in own]
    pooled = sum(scatters) / (len(codes) - len(sizes))
    n_borrowed = 2 * latents.shape[1]
    inverses = [
        np.linalg.inv((scatter + n_borrowed * pooled) / (len(cells) + n_borrowed))
        for scatter, cells in zip(scatters, own, strict=True)
    ]
    expected = [
        min(
            mahalanobis(cell, cells.mean(axis=0), inverse)
            for cells, inverse in zip(own, inverses, strict=True)
        )
        for cell in fresh.astype(np.float64)
    ]
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, rtol=1e-3)


def test_a_latent_that_never_varies_and_a_single_cell_per_label():
    latents, codes = blobs((30, 30))
    latents[:, 2] = 1
    assert np.isfinite(LabelDistances.train(latents, codes, n_labels=2).nearest(latents)).all()
    lonely = LabelDistances.train(latents[:2], np.array([0, 1]), n_labels=2).nearest(latents)
    assert np.isfinite(lonely).all()


def test_a_distance_does_not_depend_on_the_cells_beside_it():
    latents, codes = blobs((60, 40))
    distances = LabelDistances.train(latents, codes, n_labels=2)
    whole = distances.nearest(latents)
    pieces = np.concatenate([distances.nearest(latents[start : start + 7]) for start in range(0, 100, 7)])
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)
    assert distances.nearest(latents[:0]).shape == (0,)


def test_without_a_label_the_distance_is_to_the_others(tmp_path):
    latents, codes = blobs((60, 40, 50))
    distances = LabelDistances.train(latents, codes, n_labels=3)
    without = distances.without(1)
    assert len(without.means) == 2
    farther = without.nearest(latents) / distances.nearest(latents)
    assert (farther >= 1).all()
    assert np.median(farther[codes == 1]) > 2
    assert np.median(farther[codes != 1]) == 1
    distances.save(tmp_path)
    assert np.array_equal(LabelDistances.load(tmp_path).nearest(latents), distances.nearest(latents))


@pytest.mark.parametrize("draw", ["gamma", "normal"])
def test_p_values_of_cells_like_the_held_back_ones_are_even(draw):
    rng = np.random.default_rng(0)
    distances = {"gamma": lambda n: rng.gamma(5, 1, n), "normal": lambda n: np.abs(rng.normal(3, 1, n))}[draw]
    p_values = Tail.fit(distances(5000)).p_values(distances(5000))
    assert p_values.dtype == np.float32
    assert kstest(p_values, "uniform").statistic < 0.03
    for limit in (0.005, 0.02, 0.05):
        assert (p_values < limit).mean() == pytest.approx(limit, rel=0.6)


def test_a_small_p_value_is_not_more_frequent_than_it_says_where_few_cells_were_held_back():
    """The tail of a few cells is uncertain, and so it falls off more slowly."""
    rng = np.random.default_rng(0)
    for n_held_back in (10, 30, 200):
        small = [
            (Tail.fit(rng.exponential(1, n_held_back)).p_values(rng.exponential(1, 500)) < 0.005).mean()
            for _ in range(200)
        ]
        assert np.mean(small) < 0.015, n_held_back


def test_p_values_fall_with_the_distance_and_are_small_far_out():
    tail = Tail.fit(np.random.default_rng(0).gamma(5, 1, 500))
    distances = np.linspace(0, 100, 1000)
    p_values = tail.p_values(distances)
    assert (np.diff(p_values) <= 0).all()
    assert p_values[0] == 1
    assert p_values[-1] < 1e-6
    # There is no step where the tail begins.
    edge = tail.quantiles[-1]
    np.testing.assert_allclose(tail.p_values(np.array([edge, edge + 1e-6])), TAIL_SHARE, rtol=1e-3)


def test_held_back_cells_all_at_one_distance():
    p_values = Tail.fit(np.full(30, 2.0)).p_values(np.array([1.0, 2.0, 2.5, 50.0]))
    assert np.isfinite(p_values).all()
    assert p_values[0] == 1
    assert p_values[3] < 1e-3


def test_without_held_back_cells_everything_is_inside():
    tail = Tail.fit(np.zeros(0))
    assert tail.p_values(np.array([0.0, 1e9])).tolist() == [1, 1]
    written = json.dumps(asdict(tail), allow_nan=False)
    assert Tail(**json.loads(written)).p_values(np.array([1e9])).tolist() == [1]


def test_one_held_back_cell():
    assert np.isfinite(Tail.fit(np.array([1.0])).p_values(np.array([0.0, 1.0, 3.0]))).all()
