"""Distances of cells to the labels of the reference, as scipy calculates them."""

import numpy as np
import pytest
from cellferry.heads.label_distances import LabelDistances
from scipy.spatial.distance import mahalanobis


def blobs(sizes, *, seed=0, n_latent=4):
    """Latents (float32) around a center of each label, wider in some directions; and the labels."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    structure = np.random.default_rng(99)
    centers = 5 * structure.normal(size=(len(sizes), n_latent))
    shapes = structure.normal(size=(len(sizes), n_latent, n_latent))
    noise = np.einsum("nl,nlm->nm", rng.normal(size=(len(codes), n_latent)), shapes[codes])
    return (centers[codes] + noise).astype(np.float32), codes


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
    without = distances.drop_label(1)
    assert len(without.means) == 2
    farther = without.nearest(latents) / distances.nearest(latents)
    assert (farther >= 1).all()
    assert np.median(farther[codes == 1]) > 2
    assert np.median(farther[codes != 1]) == 1
    distances.save(tmp_path)
    assert np.array_equal(LabelDistances.load(tmp_path).nearest(latents), distances.nearest(latents))
