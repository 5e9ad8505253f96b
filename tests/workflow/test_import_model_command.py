"""make import-model: the file labels a query as a run that imports the model itself."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.commands.import_model.__main__ import main as import_model
from foreign import LABELS, train_foreign
from regressions import celltypist_answers, train_celltypist, write_celltypist
from running import snakemake, without_torch
from simulate import simulate_cells


def test_a_packed_model_gives_the_labels_of_a_run_that_takes_it_in(tmp_path):
    """To the last digit, and without packages for training."""
    donors = ("d1", "d2", "d3", "d4", "d5")
    options = {"encode_covariates": True, "n_hidden": 32, "epochs": 60}
    train_foreign(tmp_path, kind="SCANVI", n_cells=600, n_genes=100, donors=donors, minified=True, **options)
    query = simulate_cells(80, n_genes=100, labels=LABELS, batches=("x", "y"), shift=0.2, seed=1)
    truth = query.obs["cell_type"].to_numpy()
    query.obs = query.obs[["sample"]]
    query.write_h5ad(tmp_path / "query.h5ad")

    model = tmp_path / "model"
    given = {"model": model, "name": "theirs", "version": "3", "license": "CC0-1.0", "output": tmp_path}
    assert import_model([f"--{key}={value}" for key, value in given.items()]) == 0
    taken_in = {"model": str(model), "latents": str(model / "adata.h5ad"), "label": "annotation"}
    tables = []
    for name, pretrained, env in (
        ("run", taken_in | {"batch": "donor"}, None),
        ("file", str(tmp_path / "theirs-3.cellferry.zip"), without_torch()),
    ):
        config = {
            "pretrained": pretrained,
            "datasets": {
                "query": {
                    "role": "query",
                    "path": str(tmp_path / "query.h5ad"),
                    "batch": "sample",
                    "chunks": 1,
                }
            },
            "surgery": {"fit": False},
        }
        (tmp_path / name).mkdir()
        result = snakemake(tmp_path / name, "--cores", "2", config=config, env=env)
        assert result.returncode == 0, result.stdout + result.stderr
        tables.append(pd.read_parquet(tmp_path / name / "results" / "predictions" / "query.parquet"))
    pd.testing.assert_frame_equal(*tables)
    assert np.mean(tables[0]["best_label"] == truth) > 0.9


def test_a_model_of_celltypist_labels_as_celltypist_does(tmp_path):
    """By its own formula on all genes, and without packages for training."""
    learned = simulate_cells(200, n_genes=120, labels=LABELS)[:, :100].copy()
    content = train_celltypist(learned)
    write_celltypist(tmp_path / "m.pkl", content)
    given = {"model": tmp_path / "m.pkl", "name": "genes", "version": "1", "license": "CC0-1.0", "trust": "1"}
    assert import_model([f"--{key}={value}" for key, value in {**given, "output": tmp_path}.items()]) == 0
    # Cells of a type that the model lacks, without some of its genes and with other genes.
    query = simulate_cells(90, n_genes=120, labels=(*LABELS, "new"), batches=("x", "y"), shift=0.5, seed=1)
    query = query[:, 15:].copy()
    query.write_h5ad(tmp_path / "query.h5ad")
    dataset = {"path": str(tmp_path / "query.h5ad"), "batch": "sample", "label": "cell_type", "chunks": 2}
    config = {
        "pretrained": str(tmp_path / "genes-1.cellferry.zip"),
        "datasets": {"query": {"role": "query", **dataset}},
    }
    result = snakemake(tmp_path, "--cores", "2", config=config, env=without_torch())
    assert result.returncode == 0, result.stdout + result.stderr

    found = pd.read_parquet(tmp_path / "results" / "predictions" / "query.parquet")
    best, probabilities = celltypist_answers(content, query)
    assert found["cell"].tolist() == query.obs_names.tolist()
    assert found["best_label"].tolist() == found["celltypist_label"].tolist() == best.tolist()
    np.testing.assert_allclose(found["probability"], probabilities.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(found["celltypist_probability"], found["probability"])
    sure = probabilities.max(axis=1) >= 0.95
    assert 0 < sure.sum() < len(sure)
    assert found["label"].tolist() == np.where(sure, best, "unknown").tolist()
    assert found[["ood_pvalue", "distance"]].isna().all(axis=None)
    # CellTypist's mode `prob match`, and the best label if that has no match.
    classes = content["Model"].classes_
    for members, best_label, row in zip(found["prediction_set"], best, probabilities, strict=True):
        assert set(members.split(" | ")) == {*classes[row > 0.5], best_label}

    labeled = ad.read_h5ad(tmp_path / "results" / "labeled" / "query.h5ad")
    assert not labeled.obsm
    assert "counts_of_all_genes" not in labeled.obs
    kept = [gene for gene in query.var_names if gene in learned.var_names]
    np.testing.assert_array_equal(labeled[:, kept].X.toarray(), query[:, kept].X.toarray())
    scores = json.loads((tmp_path / "results" / "evaluation" / "query.json").read_text())
    known = query.obs["cell_type"] != "new"
    assert scores["forced"]["accuracy"] == pytest.approx((best == query.obs["cell_type"])[known].mean())
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    for said in (
        "no neighbors, no distances",
        "probabilities are not calibrated",
        "No map: the reference has no latent space.",
        "Missing ones count as the mean of the model's training cells.",
        "nothing was fitted on held-out cells",
    ):
        assert said in page, said
    assert "Probabilities are calibrated on held-out cells" not in page
