"""CytoVI's imputation of categories: the same labels with less memory."""

import inspect
import tracemalloc
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.heads.cytovi import CytoviHead
from cellferry.heads.neighbors import NeighborsHead
from cellferry.resources.memory import CYTOVI_NEIGHBORS
from scvi.external import CYTOVI
from scvi.external.cytovi import _utils
from sklearn.neighbors import NearestNeighbors


def cells_of(n_cells, *, seed, n_labels=7):
    """Latents of labels that overlap, and the labels' codes."""
    centers = np.random.default_rng(0).normal(0, 1, (n_labels, 6))
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_labels, n_cells)
    return (centers[codes] + rng.normal(0, 1.2, (n_cells, 6))).astype(np.float32), codes


def exact_neighbors(reference, query, n_neighbors, metric="euclidean"):
    found = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute", metric=metric).fit(reference)
    distances, rows = found.kneighbors(query)
    return rows, distances


def head_of(latents, codes, *, n_labels):
    """The head as it is loaded: the search finds 20, whatever `neighbors` is."""
    cells = NeighborsHead.train(latents, codes, latents[:0], n_neighbors=15, n_labels=n_labels)
    return CytoviHead(
        NeighborsHead(
            latents, codes, cells.spread, cells.groups, n_neighbors=15, n_labels=n_labels, n_searched=20
        )
    )


@pytest.mark.parametrize("n_labels", [2, 7, 40])
def test_it_is_cytovis_own_imputation(monkeypatch, n_labels):
    """Fed with exact neighbors: its own search misses some of them (pynndescent), and ours has them all."""
    monkeypatch.setattr(_utils, "_knn_query", exact_neighbors)
    latents, codes = cells_of(2000, seed=1, n_labels=n_labels)
    query, _ = cells_of(1000, seed=2, n_labels=n_labels)
    names = np.array([f"label {number:02}" for number in range(n_labels)])
    reference = ad.AnnData(
        np.zeros((2000, 1), np.float32),
        obs=pd.DataFrame({"label": pd.Categorical(names[codes])}, index=[f"r{row}" for row in range(2000)]),
        obsm={"X_CytoVI": latents},
    )
    unlabeled = ad.AnnData(np.zeros((1000, 1), np.float32), obsm={"X_CytoVI": query})
    # The function uses nothing of a model but the query.
    expected, uncertainty = CYTOVI.impute_categories_from_reference(
        SimpleNamespace(adata=unlabeled), reference, "label", return_uncertainty=True
    )
    found = head_of(latents, codes, n_labels=n_labels).probabilities(query)
    assert found.dtype == np.float32
    assert np.array_equal(names[found.argmax(axis=1)], expected)
    np.testing.assert_allclose(1 - found.max(axis=1), uncertainty, atol=1e-6)
    # Ties between labels are among them, and go to the first for both.
    if n_labels > 2:
        assert (np.sort(found, axis=1)[:, -1] == np.sort(found, axis=1)[:, -2]).sum() > 20


def test_it_asks_the_number_of_neighbors_that_cytovi_asks():
    asked = inspect.signature(CYTOVI.impute_categories_from_reference).parameters["n_neighbors"]
    assert asked.default == CYTOVI_NEIGHBORS


def test_of_a_small_reference_all_cells_vote():
    latents, codes = cells_of(5, seed=1, n_labels=2)
    found = head_of(latents, codes, n_labels=2).probabilities(latents)
    np.testing.assert_allclose(found, np.tile(np.bincount(codes, minlength=2) / 5, (5, 1)), rtol=1e-6)


def test_no_cells():
    latents, codes = cells_of(50, seed=1)
    assert head_of(latents, codes, n_labels=7).probabilities(latents[:0]).shape == (0, 7)


def test_memory_is_that_of_the_votes():
    latents, codes = cells_of(500, seed=1, n_labels=60)
    head, rows = head_of(latents, codes, n_labels=60), np.zeros((20_000, 20), dtype=np.int64)
    head.shares(rows[:10])
    tracemalloc.start()
    head.shares(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Float32 of cells × labels, and the cells' numbers twice; CytoVI takes 160 bytes of a cell and label.
    assert peak < 20_000 * (4 * 60 + 3 * 8)


def test_stored_and_read_it_votes_the_same(tmp_path):
    latents, codes = cells_of(300, seed=1)
    query, _ = cells_of(100, seed=2)
    NeighborsHead.train(latents, codes, latents[:0], n_neighbors=5, n_labels=7).save(tmp_path)
    expected = head_of(latents, codes, n_labels=7).probabilities(query)
    assert np.array_equal(CytoviHead.load(tmp_path).probabilities(query), expected)
