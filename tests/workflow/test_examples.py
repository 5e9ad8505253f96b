"""An example configuration of several references, run from its files to the report."""

import re
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml
from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from running import ROOT, snakemake
from simulate import simulate_cells

EXAMPLE = ROOT / "config" / "examples" / "several_references.yaml"
LABELS = ("T cell", "B cell", "NK")
SPELLED = {"T cell": "T cells", "NK": "nk cell"}
# What the example leaves at defaults that are meant for large data.
SMALLER = {
    "datasets": {name: {"chunks": 1} for name in ("atlas", "blood", "lung", "patients")},
    "model": {"epochs": 40, "n_hidden": 32},
    "surgery": {"epochs": 10},
    "prediction": {"n_trees": 20},
}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A finished run of the example, on simulated cells with the columns and spellings that it names."""
    folder = tmp_path_factory.mktemp("several")
    donors = ("d1", "d2", "d3")
    cells = {
        "atlas": simulate_cells(360, labels=LABELS, batches=donors, shift=0.2),
        "blood": simulate_cells(300, labels=LABELS, batches=donors, shift=0.2, seed=1),
        "lung": simulate_cells(120, labels=LABELS, batches=("x", "y"), shift=0.2, seed=2),
        "patients": simulate_cells(90, labels=LABELS, batches=("p", "q"), shift=0.2, seed=3),
    }
    truth = cells["patients"].obs.pop("cell_type")
    for name, own in cells.items():
        own.var_names = ["CD3E", "MS4A1", *own.var_names[2:]]
        own.obs = own.obs.rename(columns=renamed_columns(name))
        own.write_h5ad(folder / f"{name}.h5ad")
    blood = ad.read_h5ad(folder / "blood.h5ad")
    blood.obs["celltype"] = blood.obs["celltype"].astype(str).replace(SPELLED).astype("category")
    blood.write_h5ad(folder / "blood.h5ad")
    (folder / "smaller.yaml").write_text(yaml.safe_dump(SMALLER))
    result = snakemake(folder, "--cores", "2", "--configfile", EXAMPLE, folder / "smaller.yaml")
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    return SimpleNamespace(results=folder / "results", truth=truth, said=said)


def renamed_columns(name):
    """The simulated columns' names as the example has them."""
    dataset = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["datasets"][name]
    return {"sample": dataset["batch"], "cell_type": dataset.get("label", "")}


def test_both_references_are_learned_from_under_one_spelling(several):
    labels = read_artifact(ReferenceLabels, several.results / "reference" / "labels.json").sizes
    assert labels == dict.fromkeys(LABELS, 220)
    splits = pd.read_parquet(several.results / "reference" / "splits.parquet")
    assert len(splits) == 360 + 300


def test_its_genes_to_keep_are_kept(several):
    genes = pd.read_csv(several.results / "genes.tsv", sep="\t")
    assert {"CD3E", "MS4A1"} <= set(genes.iloc[:, 0])


def test_the_query_is_labeled(several):
    found = pd.read_parquet(several.results / "predictions" / "patients.parquet").set_index("cell")
    assert np.mean(found["best_label"] == several.truth.reindex(found.index)) > 0.9


def test_the_dataset_to_evaluate_is_scored(several):
    scores = read_artifact(Evaluation, several.results / "evaluation" / "lung.json")
    assert scores.forced.accuracy > 0.9
    assert re.search(r"^lung: accuracy", several.said, re.M)
