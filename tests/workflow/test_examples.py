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
from cellferry.commands.pack.contents import pack
from running import ROOT, snakemake
from simulate import simulate_cells

EXAMPLE = ROOT / "config" / "examples" / "several_references.yaml"
LABELS = ("T cell", "B cell", "NK", "monocyte")
TYPES = (*LABELS, "mast cell")
LACKING = {"atlas": ("mast cell",), "blood": ("monocyte",), "lung": TYPES[3:], "patients": ()}
"""Types that datasets lack; both types of only one reference are called `monocyte`."""
SPELLED = {"T cell": "T cells", "NK": "nk cell"}
# Defaults of the example that are meant for large data.
SMALLER = {
    "datasets": {name: {"chunks": 1} for name in ("atlas", "blood", "lung", "patients")},
    "model": {"epochs": 40, "n_hidden": 32},
    "surgery": {"epochs": 10},
    "prediction": {"n_trees": 20},
}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A finished run of the example, on simulated cells with its columns and spellings.

    The references share three types; each has one more, with the same name in both.
    """
    folder = tmp_path_factory.mktemp("several")
    donors = ("d1", "d2", "d3")
    cells = {
        "atlas": simulate_cells(600, labels=TYPES, batches=donors, shift=0.2),
        "blood": simulate_cells(500, labels=TYPES, batches=donors, shift=0.2, seed=1),
        "lung": simulate_cells(200, labels=TYPES, batches=("x", "y"), shift=0.2, seed=2),
        "patients": simulate_cells(150, labels=TYPES, batches=("p", "q"), shift=0.2, seed=3),
    }
    types = cells["patients"].obs.pop("cell_type").astype(str)
    for name, every in cells.items():
        if name == "patients":
            own = every
        else:
            own = every[~every.obs["cell_type"].isin(LACKING[name])].copy()
            named = own.obs["cell_type"].astype(str).replace({"mast cell": "monocyte"})
            own.obs["cell_type"] = named.astype("category")
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
    truth = types.replace({"mast cell": "monocyte"})
    return SimpleNamespace(results=folder / "results", types=types, truth=truth, said=said)


def renamed_columns(name):
    """The example's names of the simulated columns."""
    dataset = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["datasets"][name]
    return {"sample": dataset["batch"], "cell_type": dataset.get("label", "")}


def test_both_references_are_learned_from_under_one_spelling(several):
    labels = read_artifact(ReferenceLabels, several.results / "reference" / "labels.json").sizes
    assert labels == dict.fromkeys(LABELS, 220)
    splits = pd.read_parquet(several.results / "reference" / "splits.parquet")
    assert len(splits) == 480 + 400


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


def test_a_name_for_two_types_is_found(several):
    table = pd.read_csv(several.results / "evaluation" / "label_agreement.tsv", sep="\t")
    assert set(table.loc[table["conflict"] == "yes", "label"]) == {"monocyte"}
    same = table[table["relation"] == "same"]
    assert set(zip(same["dataset"], same["label"], strict=True)) == {
        (dataset, label) for dataset in ("atlas", "blood") for label in LABELS[:3]
    }
    assert (same["label"] == same["called"]).all()
    report = (several.results / "report.html").read_text(encoding="utf-8")
    assert "monocyte: atlas and blood use this label for different cells" in report
    assert "Agreement of the references" in report


def test_each_type_of_one_reference_alone_is_nearest_to_it(several):
    found = pd.read_parquet(several.results / "predictions" / "patients.parquet").set_index("cell")
    types = several.types.reindex(found.index)
    for name, of_type in (("atlas", "monocyte"), ("blood", "mast cell")):
        of = found[types == of_type]
        # Both get one label, and the nearest reference distinguishes them.
        assert (of["best_label"] == "monocyte").mean() >= 0.9
        assert (of["nearest_reference"] == name).mean() >= 0.9
    labeled = ad.read_h5ad(several.results / "labeled" / "patients.h5ad", backed="r")
    assert list(labeled.obs["nearest_reference"]) == list(found["nearest_reference"])
    assert "nearest_reference_colors" not in labeled.uns


def test_a_run_of_its_results_names_the_nearest_reference_too(several, tmp_path):
    """The classifiers' folder is complete, and a packed reference contains it."""
    names = {path.name for path in (several.results / "reference" / "classifier").iterdir()}
    assert "reference_datasets.npz" in names
    archive = tmp_path / "several-1.cellferry.zip"
    about = {"name": "several", "version": "1", "license": "CC0-1.0", "organism": "none"}
    assert "reference/classifier/reference_datasets.npz" in pack(several.results, archive, **about).files
