"""Cytometry as a user starts it: gated events to labels, an earlier model, labels for gating."""

import json
import re
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.gene_loss import GeneLoss
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from flowio import FlowData
from running import ROOT, dying, snakemake
from simulate import simulate_events, write_samples

EXAMPLE = ROOT / "config" / "examples" / "cytometry.yaml"
LEVINE = "levine32_cytof"
CYTOMETRY_ONLY = re.findall(r"^rule (\w+):", (ROOT / "rules" / "cytometry.smk").read_text(), re.M)
TRAINING = {"split_reference", "select_markers", "subset_reference", "shuffle_reference"}
TRAINING |= {"train_reference_model", "train_classifier", "calibrate_classifier", "leave_labels_out"}


@pytest.fixture(scope="module")
def levine(tmp_path_factory, test_data):
    """The unchanged example configuration, on its data."""
    folder = tmp_path_factory.mktemp("levine")
    (folder / LEVINE).symlink_to(test_data / LEVINE)
    result = snakemake(folder, "--cores", "2", "--configfile", EXAMPLE)
    assert result.returncode == 0, result.stdout + result.stderr
    predictions = pd.read_parquet(folder / "results" / "predictions" / "healthy2.parquet")
    return SimpleNamespace(folder=folder, results=folder / "results", predictions=predictions)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Two references of different panels, and a query that lacks a marker and spells others differently.

    Rules of cytometry alone are killed before each of their renames.
    """
    folder = tmp_path_factory.mktemp("simulated")
    write_samples(folder / "first", simulate_events(300, batches=("a", "b")))
    other_panel = ("139La_CD3", "CD19", "cd56", "CD4", "CD8", "HLA_DR", "CD45RA", "CD14", "CD11c", "CD25")
    write_samples(folder / "second", simulate_events(200, panel=other_panel, batches=("c",), seed=1))
    lacking = ("CD3", "CD19(Nd142)Di", "CD56", "CD4", "CD8", "HLA-DR", "CD45RA", "CD14", "CD127")
    truth = simulate_events(120, panel=lacking, batches=("x", "y"), shift=0.2, seed=2)
    write_samples(folder / "cohort", truth)
    gated = {"obs_by": "order", "label": "population", "batch": "sample", "chunks": 2}
    config = {
        "modality": "cytometry",
        "datasets": {
            name: {"role": role, "path": f"{name}/*.fcs", "obs": f"{name}/*.csv", **gated}
            for name, role in (("first", "reference"), ("second", "reference"), ("cohort", "query"))
        },
        "reference": {"subsample": 400},
        "genes": {"retrain_on_common": False},
        "model": {"epochs": 40, "n_hidden": 16},
        "surgery": {"epochs": 5},
        "prediction": {"n_trees": 20},
    }
    deaths = dict.fromkeys(CYTOMETRY_ONLY, (1, 2))
    environment = dying(folder / "deaths", deaths)
    result = snakemake(folder, "--cores", "2", "--retries", "3", config=config, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout + result.stderr
    return SimpleNamespace(folder=folder, results=folder / "results", config=config, said=said)


def other_ways_in():
    """The example's configuration, with the same query from other files."""
    config = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    both = {"role": "query", "label": "population", "cells": {"sample": ["H2"]}, "chunks": 1}
    config["datasets"] |= {
        "h5ad": {**both, "path": f"{LEVINE}/query_H2_dense.h5ad"},
        "seurat": {**both, "path": f"{LEVINE}/Levine_32dim_seurat_v5_Assay5.rds", "label": "population_id"},
        "sce": {**both, "path": f"{LEVINE}/Levine_32dim_sce.rds"},
    }
    return config


def test_references_of_different_panels_label_a_query_that_lacks_a_marker(simulated):
    scores = read_artifact(Evaluation, simulated.results / "evaluation" / "cohort.json")
    assert scores.forced.accuracy > 0.9
    panel = pd.read_csv(simulated.results / "panel.tsv", sep="\t")
    uses = {
        name: {use: set(rows["marker"].dropna()) for use, rows in own.groupby("use")}
        for name, own in panel.groupby("dataset")
    }
    assert uses["first"]["decoded"] == {"CD16"}
    assert uses["second"]["decoded"] == {"CD25"}
    assert uses["cohort"]["missing"] == {"CD11c", "CD16", "CD25"}
    assert uses["cohort"]["not in the model"] == {"CD127"}
    assert {len(own["backbone"]) for name, own in uses.items() if name != "cohort"} == {9}
    gene_loss = read_artifact(GeneLoss, simulated.results / "mapped" / "cohort" / "gene_loss.json")
    assert gene_loss.cells > 0


def test_the_model_says_how_values_become_its_own(simulated):
    told = json.loads((simulated.results / "reference" / "model" / "transformation.json").read_text())
    report = json.loads((simulated.results / "genes.json").read_text())
    assert told == report["transformation"] | {"values": report["values"]}


def test_a_subsample_is_trained_on(simulated):
    labels = read_artifact(ReferenceLabels, simulated.results / "reference" / "labels.json")
    parts = [about.train + about.validation + about.test for about in labels.labels.values()]
    assert sum(parts) == 400
    assert max(parts) - min(parts) <= 1


def test_scripts_that_died_were_started_again(simulated):
    """Before each of their renames: the output is complete and lacks its final name."""
    notes = [path.name for path in (simulated.folder / "deaths").iterdir()]
    assert {f"{script}.1" for script in CYTOMETRY_ONLY} <= set(notes)
    assert simulated.said.count("Trying to restart job") >= len(CYTOMETRY_ONLY)
    again = snakemake(simulated.folder, "--cores", "2", config=simulated.config)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_labels_are_those_of_the_model_as_it_is(simulated):
    """By default events are mapped once, without fitting."""
    columns = pq.read_schema(simulated.results / "mapped" / "cohort" / "0.parquet").names
    assert [name for name in columns if name.startswith("unfitted_")] == []
    predictions = pd.read_parquet(simulated.results / "predictions" / "cohort.parquet")
    assert "fitted_label" not in predictions


def test_a_file_of_each_sample_is_written(simulated):
    folder = simulated.results / "fcs" / "cohort"
    assert {path.name for path in folder.glob("[!.]*")} == {"x.fcs", "y.fcs", "labels.csv"}


def test_gated_populations_get_their_label(levine):
    scores = read_artifact(Evaluation, levine.results / "evaluation" / "healthy2.json")
    assert scores.truth_in_reference == 700
    assert scores.forced.accuracy >= 0.95
    assert {"expression", "expression_xgboost", "cytovi"} <= set(scores.heads)


def test_values_are_the_same_whichever_way_in(levine):
    ways = ("h5ad", "seurat", "sce")
    targets = [f"results/common/{way}.h5ad" for way in ways]
    result = snakemake(levine.folder, *targets, "--cores", "2", config=other_ways_in())
    assert result.returncode == 0, result.stdout + result.stderr
    expected = ad.read_h5ad(levine.results / "common" / "healthy2.h5ad")
    for way in ways:
        found = ad.read_h5ad(levine.results / "common" / f"{way}.h5ad")
        assert list(found.var_names) == list(expected.var_names)
        np.testing.assert_allclose(found.X.toarray(), expected.X.toarray(), atol=1e-6)
        assert list(found.obs["label"].astype(str)) == list(expected.obs["label"].astype(str))


def test_another_query_is_labeled_without_training(levine, tmp_path):
    (tmp_path / LEVINE).symlink_to(levine.folder / LEVINE)
    config = other_ways_in()
    config = {
        "modality": "cytometry",
        "pretrained": str(levine.results),
        "datasets": {"h5ad": config["datasets"]["h5ad"]},
        "labels": config["labels"],
    }
    planned = snakemake(tmp_path, "-n", "--cores", "2", config=config)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    jobs = set(re.findall(r"^(\w+) +\d+$", planned.stdout + planned.stderr, re.M))
    assert {"copy_reference_model", "map_query", "predict_labels", "write_fcs"} <= jobs
    assert not jobs & TRAINING
    target = "results/predictions/h5ad.parquet"
    result = snakemake(tmp_path, target, "--cores", "2", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    found = pd.read_parquet(tmp_path / target)
    # The same events in the same order get the same fit and labels.
    assert list(found["label"]) == list(levine.predictions["label"])


def test_labels_are_written_to_gate_on(levine, test_data):
    folder = levine.results / "fcs" / "healthy2"
    codes = pd.read_csv(folder / "labels.csv").set_index("label")["code"]
    flow = FlowData(folder / "all.fcs")
    names = [channel["pnn"] for channel in flow.channels.values()]
    events = pd.DataFrame(flow.as_array(preprocess=False), columns=names)
    expected = [codes.get(label, 0) for label in levine.predictions["label"]]
    assert events["label_code"].tolist() == expected
    original = FlowData(test_data / LEVINE / "Levine_H2.fcs").as_array(preprocess=False)
    np.testing.assert_allclose(events.to_numpy()[:, : original.shape[1]], original, rtol=1e-6)


def test_the_report_tells_of_panels(levine):
    page = (levine.results / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Viability (viability)" in text
    assert "Effect of fitting the model to a query" not in text
    assert "raw" in text
    panel = pd.read_csv(levine.results / "panel.tsv", sep="\t")
    assert (panel["use"] == "backbone").groupby(panel["dataset"]).sum().to_dict() == {
        "healthy1": 32,
        "healthy2": 32,
    }
