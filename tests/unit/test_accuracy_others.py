"""Other methods to label the cells of a run, which the benchmark compares with the workflow."""

import accuracy_others
import anndata as ad
import numpy as np
import pandas as pd
import pytest
from accuracy_others import (
    LabelRanks,
    centered_ranks,
    label_in_memory,
    latents_of,
    mapped_chunks,
    marker_genes,
)
from scipy import sparse
from scipy.stats import spearmanr
from simulate import write_cells


def test_products_of_centered_ranks_are_spearmans_correlations():
    rng = np.random.default_rng(0)
    values = rng.poisson(1, (3, 40)).astype(float)
    ranks = centered_ranks(values)
    np.testing.assert_allclose(ranks @ ranks.T, spearmanr(values.T).statistic, atol=1e-12)
    assert not centered_ranks(np.ones((1, 5))).any()


def test_markers_are_genes_by_which_a_label_exceeds_another():
    means = np.zeros((3, 600))
    means[0, 5], means[1, 7], means[2, [5, 9]] = 2, 1, 2
    # Gene 5 is higher in 0 and 2, gene 7 in 1, gene 9 in 2; no other gene differs.
    assert marker_genes(means).tolist() == [5, 7, 9]
    assert marker_genes(means[[0, 2]]).tolist() == [9]
    assert len(marker_genes(np.vstack([np.zeros(600), np.arange(600)]))) == 333


@pytest.fixture
def types():
    """Expression of cells of three labels, two of which differ by ten genes each, and the labels."""
    rng = np.random.default_rng(1)
    labels = np.repeat(["A", "B", "C"], 40)
    rates = np.full((120, 100), 1.0)
    rates[labels == "A", :40] = 4
    rates[labels != "A", 40:80] = 4
    rates[labels == "B", 80:90] = 6
    rates[labels == "C", 90:] = 6
    return np.log1p(rng.poisson(rates)), labels


def test_ranks_find_labels_and_do_not_mind_how_deep_a_cell_is_read(types):
    expression, labels = types
    learned, asked = np.arange(120) % 2 == 0, np.arange(120) % 2 == 1
    ranks = LabelRanks(expression[learned], labels[learned], seed=0)
    found = ranks.predict(expression[asked])
    assert (found == labels[asked]).mean() > 0.95
    np.testing.assert_array_equal(ranks.predict(expression[asked] * 3 + 1), found)


def test_close_labels_are_compared_on_the_genes_by_which_they_differ(types, monkeypatch):
    expression, labels = types
    ranks = LabelRanks(expression, labels, seed=0)
    compared = []
    genes = accuracy_others.marker_genes
    monkeypatch.setattr(
        accuracy_others, "marker_genes", lambda means: compared.append(len(means)) or genes(means)
    )
    # Far from A by one, from each other by a third.
    monkeypatch.setattr(accuracy_others, "NEAR", 0.6)
    ranks.predict(expression[labels == "B"])
    assert compared[0] == 3
    assert 2 in compared


def test_latents_are_those_of_the_columns_that_begin_so():
    mapped = pd.DataFrame({"cell": ["a"], "latent_0": [1.0], "unfitted_latent_0": [7.0], "latent_1": [2.0]})
    mapped["unfitted_0"] = 8.0
    assert latents_of(mapped).tolist() == [[1.0, 2.0]]


def write_part(folder, name, counts, labels, latents):
    """Counts and latents of a part; latents in two chunks, whose names do not sort as their numbers do."""
    obs = pd.DataFrame(
        {"sample": "b", "cell_type": labels}, index=[f"{name}{row}" for row in range(len(labels))]
    )
    cells = ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs)
    (folder / "results" / "common").mkdir(parents=True, exist_ok=True)
    write_cells(folder / "results" / "common" / f"{name}.h5ad", cells, name)
    table = pd.DataFrame({"cell": obs.index, "batch": "b", "label": list(labels), "latent_0": latents})
    chunks = folder / "results" / "mapped" / name
    (chunks / "model").mkdir(parents=True)
    half = len(table) // 2
    for number, rows in {10: table[half:], 9: table[:half]}.items():
        rows.to_parquet(chunks / f"{number}.parquet")


def test_cells_of_a_run_are_labeled_by_ranks_and_by_neighbors(types, tmp_path):
    expression, labels = types
    counts = np.expm1(expression)
    latents = np.select([labels == "A", labels == "B"], [0.0, 5.0], 9.0)
    write_part(tmp_path, "reference", counts, labels, latents)
    # The latents of the query lie where the expression does not: the two ways differ.
    write_part(tmp_path, "blood", counts, labels, latents[::-1])
    label_in_memory(tmp_path, ["blood"], 0)
    found = pd.read_csv(tmp_path / "in_memory" / "blood.tsv", sep="\t")
    assert found["cell"].to_list() == [f"blood{row}" for row in range(120)]
    assert (found["ranks"] == labels).mean() > 0.95
    assert found["neighbors"].to_list() == labels[::-1].tolist()
    assert [path.stem for path in mapped_chunks(tmp_path, "blood")] == ["9", "10"]


def test_latents_of_other_cells_are_refused(types, tmp_path):
    expression, labels = types
    for name in ("reference", "blood"):
        write_part(tmp_path, name, np.expm1(expression), labels, np.zeros(120))
    (tmp_path / "results" / "mapped" / "blood" / "9.parquet").unlink()
    with pytest.raises(RuntimeError, match="of blood are of other cells"):
        label_in_memory(tmp_path, ["blood"], 0)
