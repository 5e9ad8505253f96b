"""select_genes: common genes, variable ones among them, the reported loss, and too few genes."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.config.settings import GeneSettings, SplitSettings
from cellferry.errors import InputError
from cellferry.features import variable_genes
from cellferry.resources.budget import Budget
from select_genes import select_genes
from simulate import settings_like, simulate_cells, write_cells
from split_reference import split_reference

SETTINGS = {"n_variable": 50, "sketch_cells": 1000}


@pytest.fixture
def select(tmp_path):
    def run(reference, query, gene_map=None, gene_ids=None, orthologs=None, **settings):
        for name, cells in (("atlas", reference), ("patients", query)):
            write_cells(tmp_path / f"{name}.h5ad", cells, name)
        split_reference(
            [str(tmp_path / "atlas.h5ad")],
            [],
            str(tmp_path / "splits.parquet"),
            str(tmp_path / "labels.json"),
            settings=settings_like(SplitSettings),
            subsample=None,
            parents={},
            ontology={},
            seed=0,
            budget=Budget(1000),
        )
        return choose(tmp_path, ["atlas", "patients"], gene_map, gene_ids, orthologs=orthologs, **settings)

    return run


def choose(folder, names, gene_map=None, gene_ids=None, mem_mb=2000, orthologs=None, **settings):
    select_genes(
        {name: str(folder / f"{name}.h5ad") for name in names},
        str(folder / "splits.parquet"),
        gene_map,
        orthologs=orthologs,
        genes=str(folder / "genes.tsv"),
        report=str(folder / "genes.json"),
        references=["atlas"],
        gene_ids=gene_ids or dict.fromkeys(names, "auto"),
        settings=settings_like(GeneSettings, **SETTINGS | settings),
        seed=0,
        budget=Budget(mem_mb),
    )
    return pd.read_csv(folder / "genes.tsv", sep="\t"), json.loads((folder / "genes.json").read_text())


def test_variable_genes_are_chosen_among_common_ones(select):
    reference, query = simulate_cells(), simulate_cells(seed=1)[:, 60:].copy()
    genes, report = select(reference, query)
    assert len(genes) == 50
    assert set(genes["gene"]) <= set(query.var_names)
    assert report["n_common"] == 140
    assert report["datasets"]["atlas"]["common_share"] == pytest.approx(0.7)
    # The markers that distinguish the labels are the variable genes of this simulation.
    spread = np.ptp(
        [reference[reference.obs["cell_type"] == t].X.mean(axis=0) for t in ("T cell", "NK")], axis=0
    )
    markers = set(reference.var_names[np.argsort(-np.asarray(spread).ravel())[:10]]) & set(query.var_names)
    assert markers <= set(genes["gene"])


def test_all_common_genes_are_taken_where_there_are_few(select):
    genes, _ = select(simulate_cells(), simulate_cells(seed=1), n_variable=4000)
    assert len(genes) == 200


def test_genes_to_keep_are_kept_and_missing_ones_named(select, capsys):
    reference, query = simulate_cells(), simulate_cells(seed=1)[:, :150].copy()
    genes, _ = select(reference, query, n_variable=10, keep=["GENE7", "GENE8", "GENE199"])
    assert {"GENE7", "GENE8"} <= set(genes["gene"])
    assert "GENE199" not in set(genes["gene"])
    assert "genes.keep: not in all datasets, and so not kept: GENE199" in capsys.readouterr().out


def test_variable_genes_per_batch_where_batches_are_large_enough(select):
    reference = simulate_cells(900, batches=("a", "b"), shift=0.3)
    genes, _ = select(reference, simulate_cells(seed=1))
    assert len(genes) == 50


def test_shallow_cells_on_which_seurats_regression_fails(select, monkeypatch, capsys):
    def fails(*args, **kwargs):
        raise ValueError("reciprocal condition number")

    monkeypatch.setattr(variable_genes, "loess", fails)
    genes, _ = select(simulate_cells(), simulate_cells(seed=1))
    assert len(genes) == 50
    assert "ranked by the variance of their log-normalized counts" in capsys.readouterr().out


def test_a_sketch_that_memory_does_not_hold_is_refused(select):
    reference, query = simulate_cells(500, n_genes=1500), simulate_cells(n_genes=1500, seed=1)
    with pytest.raises(InputError, match=r"cannot run below \d+; .* or lower genes\.sketch_cells"):
        select(reference, query, mem_mb=440, sketch_cells=5000)


def test_too_few_common_genes_are_refused_with_the_culprit(select):
    query = simulate_cells(seed=1)
    query.var_names = [f"OTHER{n}" if n > 20 else name for n, name in enumerate(query.var_names)]
    with pytest.raises(
        InputError, match=r"only 21 genes are common.*patients 10%.*genes\.min_common is 0\.3"
    ):
        select(simulate_cells(), query)


def test_wrong_gene_id_column_names_the_dataset(select):
    with pytest.raises(InputError, match=r"datasets\.patients\.gene_id: there is no var column 'symbol'"):
        select(simulate_cells(), simulate_cells(seed=1), gene_ids={"atlas": "auto", "patients": "symbol"})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (200, "\ngenes.map: names 200 of 200 genes of patients"),
        (150, "\nwarning: genes.map: names 150 of 200 genes of patients; the others are left out"),
    ],
)
def test_what_a_table_of_ids_translates_is_said(select, tmp_path, capsys, rows, said):
    query = simulate_cells(seed=1)
    query.var_names = [f"ENSG{n:011d}" for n in range(200)]
    path = tmp_path / "map.csv"
    path.write_text("".join(f"ENSG{n:011d},GENE{n}\n" for n in range(rows)))
    _, report = select(simulate_cells(), query, str(path))
    assert said in capsys.readouterr().out
    assert report["n_common"] == rows


def test_a_table_of_ids_that_is_not_needed(select, tmp_path, capsys):
    (tmp_path / "map.csv").write_text("ENSG00000000003,TSPAN6\n")
    select(simulate_cells(), simulate_cells(seed=1), str(tmp_path / "map.csv"))
    assert "genes.map: not needed" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [("human", "mouse"), ("mouse", "human")])
def test_a_query_of_another_species_shares_the_genes_with_one_partner(select, tmp_path, capsys, columns):
    """Its last 20 genes have no partner, and the 20 before them two; the columns may be in either order."""
    reference, query = simulate_cells(), simulate_cells(seed=1)
    query.var_names = [f"Gene{number}" for number in range(200)]
    pairs = [{"human": f"GENE{number}", "mouse": f"Gene{number}"} for number in range(180)]
    pairs += [{"human": f"GENE{number}", "mouse": "Several"} for number in range(160, 180)]
    rows = "".join(f"{pair[columns[0]]},{pair[columns[1]]}\n" for pair in pairs)
    (tmp_path / "pairs.csv").write_text(rows)
    genes, report = select(reference, query, orthologs=str(tmp_path / "pairs.csv"))
    assert report["n_common"] == 160
    assert set(genes["gene"]) <= {f"GENE{number}" for number in range(160)}
    assert report["datasets"]["atlas"]["column"] == "index"
    mice = report["datasets"]["patients"]
    assert (mice["column"], mice["harmonized"], mice["untranslated"]) == (
        "index, by genes.orthologs",
        160,
        40,
    )
    said = capsys.readouterr().out
    lost = query.X[:, 160:].sum() / query.X.sum()
    assert "has 160 one-to-one pairs; 40 pairs of genes with several partners are not used" in said
    assert "160 of 200 genes of patients are named as their orthologs; the others have no" in said
    assert f"and {lost:.1%} of its counts" in said
    own = reference.X[:, 160:].sum() / reference.X.sum()
    assert f"40 of 200 genes of atlas, with {own:.1%} of its counts, have no one-to-one ortholog" in said


def test_the_genes_of_another_species_are_those_of_the_same_cells(select, tmp_path):
    """Renamed genes select the same as genes with the reference's names."""
    (tmp_path / "pairs.csv").write_text("".join(f"GENE{n},Gene{n}\n" for n in range(200)))
    expected, _ = select(simulate_cells(), simulate_cells(seed=1))
    query = simulate_cells(seed=1)
    query.var_names = [f"Gene{number}" for number in range(200)]
    found, _ = select(simulate_cells(), query, orthologs=str(tmp_path / "pairs.csv"))
    pd.testing.assert_frame_equal(found, expected)


def test_orthologs_that_are_not_needed(select, tmp_path, capsys):
    (tmp_path / "pairs.csv").write_text("GENE1,Gene1\n")
    _, report = select(simulate_cells(), simulate_cells(seed=1), orthologs=str(tmp_path / "pairs.csv"))
    assert report["n_common"] == 200
    assert "genes.orthologs: not needed, no dataset has genes of another species than atlas" in (
        capsys.readouterr().out
    )


def test_loss_is_counted(select):
    query = simulate_cells(seed=1)
    query.var_names = ["GENE1", "GENE1", *query.var_names[2:]]
    _, report = select(simulate_cells(), query, n_variable=4000)
    loss = report["datasets"]["patients"]
    assert loss["genes"] == 200
    assert loss["harmonized"] == 199
    assert loss["duplicates_summed"] == 1
    assert loss["counts_in_selected"] == pytest.approx(1.0)


def test_a_reference_alone_chooses_among_its_own_genes(select, tmp_path):
    """As with genes.retrain_on_common: false; only its own share is reported, and no query is refused."""
    both, _ = select(simulate_cells(), simulate_cells(seed=1), n_variable=50)
    genes, report = choose(tmp_path, ["atlas"], n_variable=50, min_common=1.0)
    assert list(genes["gene"]) == list(both["gene"])
    assert list(report["datasets"]) == ["atlas"]
    assert report["n_common"] == 200
    assert report["datasets"]["atlas"]["common_share"] == 1


def test_several_references(tmp_path):
    """Common to all, chosen on the training cells of both, each read with its own genes."""
    atlas, blood = simulate_cells(300), simulate_cells(300, seed=1)[:, ::-1][:, :150].copy()
    merged = {"atlas": atlas, "blood": blood, "patients": simulate_cells(100, seed=2)}
    for name, cells in merged.items():
        write_cells(tmp_path / f"{name}.h5ad", cells, name)
        merged[name] = str(tmp_path / f"{name}.h5ad")
    split = np.array(["train", "test"])[(np.arange(600) % 10 == 0).astype(int)]
    splits = pa.DictionaryArray.from_arrays(pa.array((split == "test").astype(np.int8)), ["train", "test"])
    pq.write_table(pa.table({"split": splits}), tmp_path / "splits.parquet")
    select_genes(
        merged,
        str(tmp_path / "splits.parquet"),
        None,
        genes=str(tmp_path / "genes.tsv"),
        report=str(tmp_path / "genes.json"),
        references=["atlas", "blood"],
        gene_ids=dict.fromkeys(merged, "auto"),
        settings=settings_like(GeneSettings, **SETTINGS),
        seed=0,
        budget=Budget(2000),
    )
    genes = pd.read_csv(tmp_path / "genes.tsv", sep="\t")
    common = list(atlas.var_names[50:])
    parts = {"atlas": atlas[split[:300] == "train"], "blood": blood[split[300:] == "train"]}
    train = ad.concat({name: cells[:, common] for name, cells in parts.items()}, label="batch")
    rank = variable_genes.variable_rank(train.X, train.obs["batch"].cat.codes.to_numpy(), 50)
    assert list(genes["gene"]) == list(train.var_names[rank < 50])
    report = json.loads((tmp_path / "genes.json").read_text())
    assert report["sketch_cells"] == 540
    assert report["datasets"]["blood"]["common_share"] == 1
