"""subset_common_genes: exact counts of the chosen genes, whatever the memory, cells in their order."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.budget import Budget
from cellferry.h5ad import H5adReader
from simulate import simulate_cells, write_cells
from subset_common_genes import subset_common_genes

CHOSEN = ["GENE5", "GENE150", "GENE1"]


@pytest.fixture
def subset(tmp_path):
    pd.DataFrame({"gene": CHOSEN}).to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    report = {"namespace": "symbol", "datasets": {"atlas": {"column": "index"}}}
    (tmp_path / "genes.json").write_text(json.dumps(report))

    def run(cells):
        write_cells(tmp_path / "merged.h5ad", cells, "atlas")
        subset_common_genes(
            str(tmp_path / "merged.h5ad"),
            str(tmp_path / "genes.tsv"),
            str(tmp_path / "genes.json"),
            None,
            str(tmp_path / "common.h5ad"),
            name="atlas",
            gene_id="auto",
            budget=Budget(700),
        )
        return ad.read_h5ad(tmp_path / "common.h5ad")

    return run


def test_counts_names_and_labels(subset):
    cells = simulate_cells()
    common = subset(cells)
    np.testing.assert_array_equal(common.X.toarray(), cells[:, CHOSEN].X.toarray())
    assert list(common.var_names) == CHOSEN
    assert list(common.obs_names) == list(cells.obs_names)
    assert list(common.obs["label"]) == list(cells.obs["cell_type"])


def test_duplicated_genes_are_summed(subset):
    cells = simulate_cells()
    expected = cells.X.toarray()
    cells.var_names = ["GENE5", *cells.var_names[1:]]
    common = subset(cells)
    np.testing.assert_array_equal(common.X.toarray()[:, 0], expected[:, 0] + expected[:, 5])


def test_small_blocks_and_genes_in_another_order(subset, monkeypatch):
    whole = H5adReader.ranges
    monkeypatch.setattr(H5adReader, "ranges", lambda self, max_bytes: whole(self, 5000))
    cells = simulate_cells()
    common = subset(cells)
    np.testing.assert_array_equal(common.X.toarray(), cells[:, CHOSEN].X.toarray())
    assert common.X.has_sorted_indices
    assert list(common.obs_names) == list(cells.obs_names)
