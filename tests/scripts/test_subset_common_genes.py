"""subset_common_genes: exact counts of the chosen genes at any memory, cells in their order."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.errors import InputError
from cellferry.features.subset import GeneFiles
from cellferry.resources.budget import Budget
from example_artifacts import write_features
from simulate import simulate_cells, write_cells
from subset_common_genes import subset_common_genes

CHOSEN = ["GENE5", "GENE150", "GENE1"]


@pytest.fixture
def subset(tmp_path):
    pd.DataFrame({"gene": CHOSEN}).to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    write_features(tmp_path / "genes.json", ("atlas", "index"))

    def run(cells, *, name="atlas", min_common=0.0, labeled_only=False, max_cells=None, seed=0):
        write_cells(tmp_path / "merged.h5ad", cells, "atlas")
        subset_common_genes(
            str(tmp_path / "merged.h5ad"),
            GeneFiles(str(tmp_path / "genes.tsv"), str(tmp_path / "genes.json")),
            str(tmp_path / "common.h5ad"),
            name=name,
            gene_id="auto",
            min_common=min_common,
            inspected=None,
            labeled_only=labeled_only,
            max_cells=max_cells,
            seed=seed,
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


def test_genes_that_a_dataset_lacks_count_as_zero_and_are_said(subset):
    """Genes were selected without this dataset, so the column with most of them is used."""
    cells = simulate_cells()[:, [5, 1, 7]].copy()
    cells.var["symbol"] = cells.var_names
    cells.var_names = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]
    common = subset(cells, name="later", min_common=0.5)
    assert list(common.var["measured"]) == [True, False, True]
    np.testing.assert_array_equal(common.X.toarray()[:, [0, 2]], cells.X.toarray()[:, :2])
    assert common.X[:, 1].nnz == 0


def test_too_few_of_the_genes(subset, tmp_path):
    cells = simulate_cells()[:, [5, 7, 8]].copy()
    with pytest.raises(
        InputError,
        match=r"datasets\.later: has 1 of the 3 genes of the model \(33%\).*gene_id.*no `pretrained`",
    ):
        subset(cells, name="later", min_common=0.5)
    assert not (tmp_path / "common.h5ad").exists()


def test_none_of_the_genes(subset):
    cells = simulate_cells()[:, [7, 8]].copy()
    with pytest.raises(InputError, match=r"has 0 of the 3 genes of the model .*; name the right var"):
        subset(cells, name="later")
    cells.var_names = ["ENSMUSG00000000001", "ENSMUSG00000000002"]
    with pytest.raises(
        InputError,
        match=r"it has mouse Ensembl ids \(.*, the model has human symbols \(.*orthologs: human-mouse",
    ):
        subset(cells, name="later")


def test_small_blocks_and_genes_in_another_order(subset, monkeypatch):
    whole = H5adReader.ranges
    monkeypatch.setattr(H5adReader, "ranges", lambda self, max_bytes: whole(self, 5000))
    cells = simulate_cells()
    common = subset(cells)
    np.testing.assert_array_equal(common.X.toarray(), cells[:, CHOSEN].X.toarray())
    assert common.X.has_sorted_indices
    assert list(common.obs_names) == list(cells.obs_names)


def test_of_a_dataset_to_evaluate_only_labeled_cells_stay_and_labels_keep_their_shares(subset):
    cells = simulate_cells(2000)
    labels = np.array(["T cell"] * 1000 + ["B cell"] * 500 + [None] * 500, dtype=object)
    cells.obs["cell_type"] = labels
    assert subset(cells, labeled_only=True).n_obs == 1500
    drawn = subset(cells, labeled_only=True, max_cells=300)
    assert drawn.n_obs == 300
    assert list(drawn.obs_names) == [name for name in cells.obs_names if name in set(drawn.obs_names)]
    assert 180 < (drawn.obs["label"] == "T cell").sum() < 220
    np.testing.assert_array_equal(drawn.X.toarray(), cells[drawn.obs_names, CHOSEN].X.toarray())
    again, other = (subset(cells, labeled_only=True, max_cells=300, seed=seed) for seed in (0, 1))
    assert list(again.obs_names) == list(drawn.obs_names)
    assert list(other.obs_names) != list(drawn.obs_names)
