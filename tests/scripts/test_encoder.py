"""Encoder: scvi-tools' own latents, whatever cells are encoded together."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import scvi
from cellferry.config.settings import SurgerySettings
from cellferry.model.encoder import CELLS_PER_MINIBATCH, Encoder
from cellferry.model.scvi_models import cells_for_model, known_batches, model_class, new_model, skeleton
from cellferry.resources.budget import Budget
from fit_query_model import fit_query_model
from simulate import settings_like, simulate_cells, write_cells
from train_reference_model import train_reference_model

N_CELLS = 2 * CELLS_PER_MINIBATCH + 300


@pytest.fixture(scope="module")
def models(trained, tmp_path_factory):
    """Folder of each kind of model that maps cells."""
    folder = tmp_path_factory.mktemp("models")
    train_reference_model(
        str(trained.folder / "store.zarr"),
        model=str(folder / "scanvi"),
        history=str(folder / "history.csv"),
        checkpoints=str(folder / "checkpoints"),
        settings=replace(trained.settings, type="scanvi", n_layers=2, scanvi_epochs=1),
        seed=0,
        threads=1,
        gpu=0,
        minutes=60,
        budget=Budget(4000),
    )
    query = simulate_cells(300, n_genes=60, batches=("x", "y"), seed=5, shift=0.5)
    write_cells(folder / "query.h5ad", query, "patients")
    found = {"SCVI": trained.folder / "model", "SCANVI": folder / "scanvi"}
    for name in list(found):
        found[f"{name} after surgery"] = folder / f"fitted {name}"
        fit_query_model(
            str(folder / "query.h5ad"),
            str(found[name]),
            str(found[f"{name} after surgery"]),
            settings=settings_like(SurgerySettings, epochs=3, sketch_cells=200),
            batch_size=128,
            seed=0,
            budget=Budget(4000),
            threads=1,
            gpu=0,
        )
    cells = skeleton([f"GENE{number}" for number in range(60)], ["only one"], ["T cell"])
    one_batch = new_model(cells, trained.settings)
    one_batch.is_trained = True
    one_batch.save(str(folder / "one batch"))
    return {**found, "one batch": folder / "one batch"}


def load(folder) -> tuple[scvi.model.SCVI, ad.AnnData]:
    """A model, and cells of all its batches in turn."""
    simulated = simulate_cells(N_CELLS, n_genes=60, seed=7)
    batches = np.resize(known_batches(folder), N_CELLS)
    cells = cells_for_model(simulated.X, simulated.var_names, batches)
    return model_class(folder).load(str(folder), adata=cells, accelerator="cpu"), cells


def codes(encoder, cells):
    return np.array([encoder.batches.index(batch) for batch in cells.obs["batch"]])


@pytest.mark.parametrize(
    "name", ["SCVI", "SCANVI", "SCVI after surgery", "SCANVI after surgery", "one batch"]
)
def test_latents_are_scvi_tools_own(models, name):
    model, cells = load(str(models[name]))
    encoder = Encoder(model)
    latents = encoder.latents(cells.X, codes(encoder, cells))
    expected = model.get_latent_representation(cells)
    assert latents.dtype == np.float32
    assert (np.abs(latents - expected) <= 1e-5 * expected.std(axis=0)).all()
    if name != "one batch":  # batches are seen, and not confused
        other = encoder.latents(cells.X, np.roll(codes(encoder, cells), 1))
        assert (np.abs(other - expected) > 1e-3 * expected.std(axis=0)).any(axis=1).mean() > 0.9


def test_the_model_is_not_changed(models):
    model, cells = load(str(models["SCVI"]))
    before = model.get_latent_representation(cells)
    Encoder(model)
    assert np.array_equal(model.get_latent_representation(cells), before)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_latents_do_not_depend_on_how_cells_are_cut(models, size):
    model, cells = load(str(models["SCVI after surgery"]))
    encoder = Encoder(model)
    counts, batches = cells.X[:1500], codes(encoder, cells)[:1500]
    pieces = [
        encoder.latents(counts[start : start + size], batches[start : start + size])
        for start in range(0, 1500, size)
    ]
    assert np.array_equal(np.concatenate(pieces), encoder.latents(counts, batches))


def test_no_cells_and_cells_without_counts(models):
    model, cells = load(str(models["SCANVI"]))
    encoder = Encoder(model)
    assert encoder.latents(cells.X[:0], np.zeros(0, int)).shape == (0, 4)
    cells.X = (cells.X * 0).tocsr()
    cells.X.eliminate_zeros()
    latents = encoder.latents(cells.X[:5], np.zeros(5, int))
    assert np.isfinite(latents).all()
    assert np.array_equal(latents, np.tile(latents[:1], (5, 1)))
