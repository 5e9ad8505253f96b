"""A tiny trained reference model, made once for all tests of the model's scripts."""

from types import SimpleNamespace

import pytest
from cellferry.config.settings import ModelSettings
from cellferry.resources.budget import Budget
from simulate import settings_like, simulate_cells, write_cells


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Reference cells of two batches, their store, and a scVI model trained on it for a few epochs."""
    from shuffle_reference import shuffle_reference
    from train_reference_model import train_reference_model

    folder = tmp_path_factory.mktemp("trained")
    cells = simulate_cells(600, n_genes=60, batches=("a", "b"), shift=0.2)
    write_cells(folder / "common.h5ad", cells, "atlas")
    shuffle_reference(str(folder / "common.h5ad"), str(folder / "store.zarr"), seed=0, budget=Budget(1100))
    settings = settings_like(ModelSettings, epochs=5, n_hidden=16, n_latent=4, n_layers=1)
    train_reference_model(
        str(folder / "store.zarr"),
        model=str(folder / "model"),
        history=str(folder / "history.csv"),
        checkpoints=str(folder / "checkpoints"),
        settings=settings,
        seed=0,
        threads=1,
        gpu=0,
        minutes=60,
        budget=Budget(4000),
    )
    return SimpleNamespace(folder=folder, cells=cells, settings=settings)
