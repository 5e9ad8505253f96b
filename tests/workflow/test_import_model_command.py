"""make import-model: the file labels a query as a run does that takes the model in itself."""

import numpy as np
import pandas as pd
from cellferry.commands.import_model.__main__ import main as import_model
from foreign import LABELS, train_foreign
from running import snakemake, without_torch
from simulate import simulate_cells


def test_a_packed_model_gives_the_labels_of_a_run_that_takes_it_in(tmp_path):
    """To the last digit, and where nothing that trains is installed."""
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
