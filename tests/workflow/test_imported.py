"""A pre-trained model as the reference: from it to labels, as a user starts it."""

import re
import subprocess
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.left_out import LeftOut
from foreign import LABELS, train_foreign
from running import command_line, dying, snakemake
from simulate import simulate_cells


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A finished run: a query without labels that lacks a tenth of the genes, and a dataset to evaluate."""
    folder = tmp_path_factory.mktemp("imported")
    donors = ("d1", "d2", "d3", "d4", "d5")
    train_foreign(
        folder, n_cells=600, n_genes=100, donors=donors, epochs=60, encode_covariates=True, n_hidden=32
    )
    query = simulate_cells(80, n_genes=100, labels=LABELS, batches=("x", "y"), shift=0.2, seed=1)
    truth = query.obs["cell_type"].to_numpy()
    query = query[:, 10:].copy()
    query.obs = query.obs[["sample"]]
    query.write_h5ad(folder / "query.h5ad")
    labeled = simulate_cells(90, n_genes=100, labels=LABELS, batches=("z",), shift=0.2, seed=2)
    labeled.write_h5ad(folder / "labeled.h5ad")
    config = {
        "pretrained": {"model": "model", "latents": "cells.h5ad", "label": "annotation", "batch": "donor"},
        "datasets": {
            "query": {"role": "query", "path": "query.h5ad", "batch": "sample", "chunks": 1},
            "labeled": {"role": "evaluate", "path": "labeled.h5ad", "label": "cell_type", "chunks": 1},
        },
        "surgery": {"epochs": 10},
        "prediction": {"n_trees": 30},
    }
    deaths = deaths_at_renames(folder, "import_reference", (2, 7), config)
    planned = snakemake(folder, "plan", "--cores", "2", config=config)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    result = snakemake(folder, "--cores", "2", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    return SimpleNamespace(
        folder=folder,
        config=config,
        truth=truth,
        results=folder / "results",
        planned=planned.stdout,
        deaths=deaths,
        said=result.stdout + result.stderr,
    )


def deaths_at_renames(folder, rule, renames, config):
    """Run a rule that is killed before it renames some outputs, and started again; returns the log."""
    environment = dying(folder / "deaths", {rule: renames})
    command = command_line(folder, rule, "--cores", "2", "--retries", "3", config=config)
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_import_reference_is_made_again_after_it_died(imported):
    """All its outputs exist at the end; the other tests use them."""
    assert imported.deaths.count("Trying to restart job") == 2


def test_labels_are_right(imported):
    found = pd.read_parquet(imported.results / "predictions" / "query.parquet")
    assert np.mean(found["best_label"] == imported.truth) > 0.9
    assert not [column for column in found if column.startswith("expression_")]


def test_a_dataset_to_evaluate_is_scored_without_a_baseline(imported):
    scores = read_artifact(Evaluation, imported.results / "evaluation" / "labeled.json")
    assert scores.baseline is None
    assert scores.forced.accuracy > 0.9
    assert not (imported.results / "evaluation" / "test.json").exists()
    table = pd.read_csv(imported.results / "evaluation" / "scores.tsv", sep="\t")
    assert set(table["dataset"]) == {"labeled"}
    assert "baseline" not in set(table["head"])
    assert "(baseline -, -)" in imported.said


def test_what_the_reference_cannot_see_is_said(imported):
    left_out = read_artifact(LeftOut, imported.results / "reference" / "left_out.json").labels
    assert set(left_out) == set(LABELS)
    rules = read_artifact(DecisionModel, imported.results / "reference" / "calibration.json")
    assert set(rules.weights) == {"xgboost", "linear", "neighbors"}


def test_the_report_says_what_is_not_known(imported):
    report = (imported.results / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", report))
    assert "the accuracy lost to missing genes cannot be estimated" in text
    assert re.search(r"query 100 90 90\.0%", text)


def test_nothing_but_what_is_needed_was_run(imported):
    rules = {path.name for path in (imported.results / "benchmarks").iterdir()}
    assert "import_reference" in rules
    assert not rules & {"split_reference", "select_genes", "train_reference_model", "estimate_missing_genes"}
    again = snakemake(imported.folder, "--dry-run", config=imported.config)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_plan_lists_what_was_run(imported):
    planned = set(re.findall(r"^(\w+) +\d+ +[\d,]+ MB", imported.planned, re.M))
    run = {path.name for path in (imported.results / "benchmarks").iterdir()}
    assert planned - {"all"} == run - {"plan"}


def test_no_labeled_dataset_is_needed(imported):
    datasets = {"query": imported.config["datasets"]["query"]}
    result = snakemake(imported.folder, "--dry-run", config={**imported.config, "datasets": datasets})
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert re.search(r"^report +1$", said, re.M)
    assert not re.search(r"^(evaluate|import_reference|train_classifier) +\d", said, re.M)
