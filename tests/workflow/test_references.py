"""Several references, a dataset to evaluate, and labels with different spellings."""

import json
import re

import anndata as ad
import numpy as np
import pandas as pd
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import LabelCells, ReferenceLabels
from simulate import simulate_cells

LABELS = ("T cell", "B/plasma, naive", "NK", "γδ T")
TARGETS = ("results/common/reference.h5ad", "results/common/lung.h5ad")


def test_from_files_to_the_parts(run):
    atlas = simulate_cells(240, labels=LABELS, batches=("d1", "d2", "d3"))
    blood = simulate_cells(180, labels=LABELS, batches=("d1", "d2"), seed=1)[:, ::-1].copy()
    lung = simulate_cells(200, labels=(*LABELS, "AT2"), seed=2)
    blood.obs["cell_type"] = blood.obs["cell_type"].astype(str).replace({"T cell": "T cells"})
    blood.obs.iloc[:6, 0] = ["None", "nan", "Unknown", "rare", "rare", "γδ T\n"]
    lung.obs["cell_type"] = lung.obs["cell_type"].astype(str).replace({"NK": "nk cell", "AT2": "unknown"})
    blood.obs_names = atlas.obs_names[:180]  # the same names as in the other reference
    for name, cells in {"atlas": atlas, "blood": blood, "lung": lung}.items():
        cells.obs["lineage"] = np.where(cells.obs["cell_type"].str.contains("T"), "T", "other")
        cells.write_h5ad(run.folder / f"{name}.h5ad")
    (run.folder / "names.csv").write_text("T cells,T cell\n")
    about = {"label": "cell_type", "batch": "sample"}
    reference = {**about, "role": "reference", "levels": ["lineage"]}
    datasets = {
        "atlas": {**reference, "path": "atlas.h5ad", "chunks": 2},
        "lung": {**about, "role": "evaluate", "path": "lung.h5ad", "chunks": 1, "max_cells": 100},
        "blood": {**reference, "path": "blood.h5ad", "chunks": 1},
    }
    config = {"datasets": datasets, "labels": {"rename": "names.csv", "ontology": {"T": "CL:0000084"}}}
    result = run(*TARGETS, "--cores", "2", config=config)
    assert result.returncode == 0, result.stdout + result.stderr

    parts = {part: common(run, part) for part in ("reference", "validation", "test")}
    together = pd.concat([part.obs for part in parts.values()])
    assert len(together) == 240 + 180 - 5
    assert together.index.is_unique
    assert set(together["label"]) == set(LABELS)
    assert set(together["batch"]) == {"atlas/d1", "atlas/d2", "atlas/d3", "blood/d1", "blood/d2"}
    for part in parts.values():  # whole donors
        assert not set(part.obs["batch"]) & set(together.drop(part.obs_names)["batch"])
    lung = common(run, "lung")
    assert lung.n_obs == 100
    assert set(lung.obs["label"]) == {"T cell", "B/plasma, naive", "nk cell", "γδ T"}

    described = read_artifact(ReferenceLabels, run.folder / "results" / "reference" / "labels.json")
    assert described.labels["rare"] == LabelCells(cells=2, train=0, validation=0, test=0)
    of = {"T cell": "T", "γδ T": "T", "B/plasma, naive": "other", "NK": "other", "rare": "other"}
    assert described.hierarchy.levels == ["lineage"]
    assert described.hierarchy.nodes == {label: [node] for label, node in of.items()}
    assert described.rare == {"rare": 2}
    assert described.ontology["T"] == "CL:0000084"
    said = (run.folder / "logs" / "check_datasets" / "check_datasets.log").read_text()
    assert "no reference has the label 'nk cell' (40 cells)" in said
    assert (
        "count as no label (labels.missing): 'None' (1 cells), 'nan' (1 cells), 'Unknown' (1 cells)" in said
    )
    assert "'T cells' is 'T cell'" in said


def common(run, part):
    return ad.read_h5ad(run.folder / "results" / "common" / f"{part}.h5ad")


def test_a_table_of_names_that_has_changed_is_noticed(run):
    simulate_cells(60).write_h5ad(run.folder / "cells.h5ad")
    (run.folder / "names.csv").write_text("T cell,T\n")
    datasets = {
        "atlas": {"role": "reference", "path": "cells.h5ad", "label": "cell_type", "chunks": 1},
        "patients": {"role": "query", "path": "cells.h5ad", "chunks": 1},
    }
    config = {"datasets": datasets, "labels": {"rename": "names.csv"}}
    target = "results/inspected/atlas.json"
    assert run(target, "--cores", "1", config=config).returncode == 0
    assert json.loads((run.folder / target).read_text())["labels"] == {"T": 20, "B cell": 20, "NK": 20}
    config["labels"]["rename"] = {"T cell": "T", "NK": "T"}
    assert run(target, "--cores", "1", config=config).returncode == 0
    assert json.loads((run.folder / target).read_text())["labels"] == {"T": 40, "B cell": 20}


def test_genes_of_the_references_alone_stay_whatever_queries_are_added(run):
    simulate_cells(120).write_h5ad(run.folder / "atlas.h5ad")
    simulate_cells(30, seed=1)[:, :150].copy().write_h5ad(run.folder / "blood.h5ad")
    query = {"role": "query", "path": "blood.h5ad", "chunks": 1}
    atlas = {"role": "reference", "path": "atlas.h5ad", "label": "cell_type", "chunks": 1}
    config = {"datasets": {"atlas": atlas, "blood": query}, "genes": {"retrain_on_common": False}}
    target = "results/genes.tsv"
    result = run(target, "--cores", "2", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(pd.read_csv(run.folder / target, sep="\t")) == 200
    assert not (run.folder / "results" / "chunks" / "blood").exists()

    config["datasets"]["skin"] = query
    jobs = planned(run, target, config)
    assert jobs.keys() <= {"inspect_dataset", "check_datasets", "total"}
    config["genes"]["retrain_on_common"] = True
    assert planned(run, target, config)["select_genes"] == 1


def planned(run, target, config):
    """Jobs by rule of a dry run; empty if no job is needed."""
    result = run(target, "--dry-run", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.M)
    return {rule: int(number) for rule, number in found}
