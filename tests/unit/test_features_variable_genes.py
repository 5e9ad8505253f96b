"""Variable genes: scanpy's values of Seurat v3's method for each batch, and ranks over batches."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from cellferry.features import variable_genes
from cellferry.features.variable_genes import standardized_variance, variable_rank
from scipy import sparse
from simulate import simulate_cells


def values_by_scanpy(cells):
    found = sc.pp.highly_variable_genes(cells, flavor="seurat_v3", n_top_genes=20, inplace=False)
    return found["variances_norm"].to_numpy()


@pytest.mark.parametrize("cells_at_once", [7, 10_000])
def test_values_are_scanpys_for_each_batch(monkeypatch, cells_at_once):
    monkeypatch.setattr(variable_genes, "CELLS_AT_ONCE", cells_at_once)
    cells = simulate_cells(500, batches=("a", "b"), shift=0.3)
    expressed = (np.arange(cells.n_vars) != 3).astype(np.float32)
    cells.X = cells.X @ sparse.diags_array(expressed).tocsr()
    cells.X.eliminate_zeros()
    for batch in ("a", "b"):
        rows = np.flatnonzero(cells.obs["sample"] == batch)
        found = standardized_variance(cells.X, rows)
        np.testing.assert_allclose(found, values_by_scanpy(cells[rows].copy()), rtol=1e-9)
        assert found[3] == 0


@pytest.mark.parametrize("name", ["more/pdac_ref.h5ad", "more/zeisel_ref.h5ad"])
def test_values_are_scanpys_on_real_cells(test_data, name):
    cells = sc.read_h5ad(test_data / name)
    cells.X = sparse.csr_matrix(cells.X, dtype=np.float32)
    found = standardized_variance(cells.X, np.arange(cells.n_obs))
    np.testing.assert_allclose(found, values_by_scanpy(cells), rtol=1e-6)


def test_ranks_are_medians_over_the_batches_with_the_gene_among_the_first():
    cells = simulate_cells(900, batches=("a", "b", "c"), shift=0.5)
    batches = cells.obs["sample"].cat.codes.to_numpy()
    assert np.bincount(batches).min() >= variable_genes.MIN_CELLS_PER_BATCH
    values = pd.DataFrame(
        {code: standardized_variance(cells.X, np.flatnonzero(batches == code)) for code in range(3)}
    )
    ranks = values.rank(ascending=False, method="first") - 1
    among_first = ranks.where(ranks < 30)
    expected = pd.DataFrame(
        {"median": among_first.median(axis=1), "missing": among_first.isna().sum(axis=1)}
    ).sort_values(["median", "missing"], kind="stable")
    found = variable_rank(cells.X, batches, 30)
    np.testing.assert_array_equal(np.argsort(found)[:30], expected.index[:30])
    assert sorted(found) == list(range(cells.n_vars))


def test_batches_of_few_cells_are_taken_together():
    cells = simulate_cells(300, batches=("a", "b"), shift=0.3)
    batches = cells.obs["sample"].cat.codes.to_numpy()
    together = variable_rank(cells.X, np.zeros(300, dtype=int), 30)
    np.testing.assert_array_equal(variable_rank(cells.X, batches, 30), together)


def test_equal_genes_are_in_their_order():
    cells = simulate_cells(400)
    twice = sparse.hstack([cells.X, cells.X], format="csr")
    rank = variable_rank(twice, np.zeros(400, dtype=int), 50)
    first, second = rank[: cells.n_vars], rank[cells.n_vars :]
    assert (first < second).all()


def test_as_many_genes_as_there_are():
    assert variable_rank(simulate_cells(100, n_genes=40).X, np.zeros(100, dtype=int), 40).tolist() == list(
        range(40)
    )


def test_memory_is_one_block_of_cells(monkeypatch):
    """Never a copy of all counts, of one batch or of all cells."""
    sizes = []
    take = variable_genes._blocks

    def measured(counts, rows):
        for block in take(counts, rows):
            sizes.append(block.shape[0])
            yield block

    monkeypatch.setattr(variable_genes, "_blocks", measured)
    variable_rank(simulate_cells(600).X, np.zeros(600, dtype=int), 50)
    assert max(sizes) == variable_genes.CELLS_AT_ONCE
