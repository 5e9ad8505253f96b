"""A pre-trained CytoVI model as the reference: the workflow's results for it and a query."""

import re
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from foreign import foreign_events, train_foreign_cytovi
from running import snakemake

SPELLED = {"CD45RA": "cd45_ra", "HLA-DR": "HLADR"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Values of a query that lacks a marker and spells others differently, as input of the model."""
    folder = tmp_path_factory.mktemp("imported_cytovi")
    train_foreign_cytovi(folder, n_cells=200)
    events = foreign_events(90, batches=("x", "y"), seed=1)
    query = events[:, events.var_names[1:][::-1]].copy()
    query.var_names = [SPELLED.get(name, name) for name in query.var_names]
    query.write_h5ad(folder / "query.h5ad")
    model = {"model": "model", "latents": "cells.h5ad", "label": "annotation", "scaling": "scaling.csv"}
    config = {
        "modality": "cytometry",
        "pretrained": {**model, "batch": "donor"},
        "datasets": {
            "query": {"role": "query", "path": "query.h5ad", "chunks": 1, "technology": "mass"},
        },
    }
    targets = ("results/common/query.h5ad", "results/panel.tsv")
    result = snakemake(folder, *targets, "--cores", "2", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    return SimpleNamespace(folder=folder, config=config, events=events, results=folder / "results")


def test_values_are_transformed_as_the_models_were(imported):
    found = ad.read_h5ad(imported.results / "common" / "query.h5ad")
    scaling = pd.read_csv(imported.folder / "scaling.csv", index_col="marker")
    assert list(found.var_names) == list(scaling.index)
    span = (scaling["high"] - scaling["low"]).to_numpy()
    expected = (np.arcsinh(imported.events.X / 5) - scaling["low"].to_numpy()) / span
    expected[:, 0] = 0  # is missing
    np.testing.assert_allclose(found.X.toarray(), expected, atol=1e-5)


def test_the_panel_says_what_became_of_it(imported):
    panel = pd.read_csv(imported.results / "panel.tsv", sep="\t")
    uses = panel.set_index("marker")["use"]
    assert uses["CD45"] == "missing"
    assert set(uses.drop("CD45")) == {"backbone"}


def test_it_goes_on_to_labels_without_training(imported):
    result = snakemake(imported.folder, "--dry-run", config=imported.config)
    assert result.returncode == 0, result.stdout + result.stderr
    rules = set(re.findall(r"^(\w+) +\d+$", result.stdout + result.stderr, re.M))
    assert {"copy_reference_model", "map_query", "train_classifier", "predict_labels", "write_fcs"} <= rules
    assert not rules & {
        "select_markers",
        "train_reference_model",
        "import_reference",
        "estimate_missing_genes",
    }
