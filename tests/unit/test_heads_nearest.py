"""Nearest cells: the whole of a small reference, nearly all neighbors in a large one."""

import numpy as np
import pytest
from cellferry.heads.nearest import MIN_SEARCHED, NearestCells, grouped
from sklearn.neighbors import NearestNeighbors


def types_of_cells(n_cells, *, seed, n_types=10, n_latent=30):
    """Latents of cells of several types, each with four directions of its own, and noise in all."""
    shared, rng = np.random.default_rng(0), np.random.default_rng(seed)
    centers = shared.normal(0, 1, (n_types, n_latent))
    directions = shared.normal(0, 0.5, (n_types, 4, n_latent))
    codes = rng.integers(0, n_types, n_cells)
    programs = np.einsum("np,npl->nl", rng.normal(0, 1, (n_cells, 4)), directions[codes])
    return (centers[codes] + programs + rng.normal(0, 0.3, (n_cells, n_latent))).astype(np.float32)


def searched(reference, latents, n_neighbors):
    return NearestCells(reference, grouped(reference), n_neighbors).search(latents)


@pytest.mark.parametrize("n_cells", [15, 300, MIN_SEARCHED])
@pytest.mark.parametrize("n_latent", [2, 5, 32])
def test_a_small_reference_is_searched_whole(n_cells, n_latent):
    reference = types_of_cells(n_cells, seed=1, n_latent=n_latent)
    latents = types_of_cells(200, seed=2, n_latent=n_latent)
    rows, distances = searched(reference, latents, 15)
    expected, positions = (
        NearestNeighbors(n_neighbors=15, algorithm="brute").fit(reference).kneighbors(latents)
    )
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, atol=1e-3)
    assert (rows == positions).mean() > 0.999


def test_of_a_large_reference_nearly_all_neighbors_are_found():
    reference, latents = types_of_cells(40_000, seed=1), types_of_cells(500, seed=2)
    rows, distances = searched(reference, latents, 15)
    expected, positions = (
        NearestNeighbors(n_neighbors=15, algorithm="brute").fit(reference).kneighbors(latents)
    )
    found = [len(set(some) & set(all_)) for some, all_ in zip(rows, positions, strict=True)]
    assert np.mean(found) / 15 > 0.9
    assert distances.mean() < 1.01 * expected.mean()
    np.testing.assert_allclose(
        distances, np.linalg.norm(reference[rows] - latents[:, None], axis=2), rtol=1e-5
    )


@pytest.mark.parametrize("size", [1, 13, 512])
def test_neighbors_do_not_depend_on_the_cells_beside(size):
    reference, latents = types_of_cells(10_000, seed=1), types_of_cells(700, seed=2)
    nearest = NearestCells(reference, grouped(reference), 15)
    rows, distances = nearest.search(latents)
    pieces = [nearest.search(latents[start : start + size]) for start in range(0, len(latents), size)]
    assert np.array_equal(np.concatenate([piece[0] for piece in pieces]), rows)
    assert np.array_equal(np.concatenate([piece[1] for piece in pieces]), distances)


def test_more_neighbors_than_a_group_has_cells():
    reference = types_of_cells(10_000, seed=1)
    rows, distances = searched(reference, reference[:50], 3000)
    assert [len(set(some)) for some in rows] == [3000] * 50
    assert (np.diff(distances, axis=1) >= 0).all()


def test_cells_at_one_place():
    reference = np.zeros((2000, 3), np.float32)
    rows, distances = searched(reference, reference[:3], 5)
    assert [len(set(some)) for some in rows] == [5] * 3
    assert (distances == 0).all()


def test_groups_are_the_same_every_time():
    reference = types_of_cells(5000, seed=1)
    assert np.array_equal(grouped(reference), grouped(reference))
    assert grouped(reference).max() + 1 == pytest.approx(12, abs=2)
