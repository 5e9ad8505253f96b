"""fit_query_model: surgery adds the query's batches and leaves the reference's weights alone."""

import numpy as np
import pytest
import scvi
import torch
from cellferry.config.settings import SurgerySettings
from cellferry.model.scvi_models import known_batches
from cellferry.model.surgery import PATIENCE, monitored_cells
from cellferry.resources.budget import Budget
from fit_query_model import fit_query_model
from simulate import settings_like, simulate_cells, write_cells


@pytest.fixture
def fit(trained, tmp_path):
    def run(cells, dataset, **settings):
        write_cells(tmp_path / "query.h5ad", cells, dataset)
        fit_query_model(
            str(tmp_path / "query.h5ad"),
            str(trained.folder / "model"),
            str(tmp_path / "model"),
            settings=settings_like(SurgerySettings, **{"epochs": 2, "sketch_cells": 100} | settings),
            batch_size=128,
            seed=0,
            budget=Budget(4000),
            threads=1,
            gpu=0,
        )
        return str(tmp_path / "model")

    return run


def test_no_batch_is_lost_when_there_are_more_than_the_sketch_has_cells(fit):
    batches = tuple(f"b{number}" for number in range(40))
    cells = simulate_cells(200, n_genes=60, batches=batches, seed=3)
    model = fit(cells, "patients", sketch_cells=30, epochs=1)
    assert {f"patients/{batch}" for batch in cells.obs["sample"].unique()} <= set(known_batches(model))


def weights(folder):
    return torch.load(f"{folder}/model.pt", weights_only=False, map_location="cpu")["model_state_dict"]


def test_every_batch_of_the_query_is_learned_though_the_sketch_is_small(fit, capsys):
    cells = simulate_cells(400, n_genes=60, batches=("x", "y", "z"), seed=3)
    cells.obs.loc[cells.obs_names[:390], "sample"] = "x"
    model = fit(cells, "patients", sketch_cells=30)
    assert {"patients/x", "patients/y", "patients/z"} <= set(known_batches(model))
    assert "30 of 400 cells" in capsys.readouterr().out


def test_weights_of_the_reference_stay(trained, fit):
    model = fit(simulate_cells(200, n_genes=60, batches=("x",), seed=3), "patients")
    reference, query = weights(trained.folder / "model"), weights(model)
    tensors = {name: value for name, value in reference.items() if torch.is_tensor(value)}
    grown = 0
    for name, weight in tensors.items():
        # New batches are further columns of the layers that take the batch; the rest must be as it was.
        assert torch.equal(query[name][tuple(slice(size) for size in weight.shape)], weight), name
        grown += query[name].shape != weight.shape
    assert grown > 0


def test_known_batches_need_no_training(trained, fit, capsys):
    model = fit(simulate_cells(100, n_genes=60, batches=("a",), seed=3), "atlas")
    assert "the model is used unchanged" in capsys.readouterr().out
    assert known_batches(model) == known_batches(str(trained.folder / "model"))
    assert scvi.model.SCVI.load_registry(model)["model_name"] == "SCVI"


def test_fitting_ends_when_the_loss_on_held_out_cells_stops_falling(fit, capsys):
    fit(
        simulate_cells(400, n_genes=60, batches=("x", "y"), seed=3), "patients", epochs=2000, sketch_cells=400
    )
    said = capsys.readouterr().out
    assert "at most 2000 epochs" in said
    epochs = [int(line.split("epoch ")[1].split(" ")[0]) for line in said.splitlines() if "epoch " in line]
    assert PATIENCE < max(epochs) < 1000


def test_every_batch_keeps_cells_to_learn_from():
    batches = np.array(["a"] * 25 + ["b"] * 9 + ["c"])
    monitored = monitored_cells(batches)
    assert {batch: int(monitored[batches == batch].sum()) for batch in "abc"} == {"a": 2, "b": 0, "c": 0}
