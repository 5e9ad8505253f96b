"""Encoder: scvi-tools' own latents, whatever cells are encoded together; arrays of another model refused."""

import shutil
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi
from cellferry.config.settings import ModelSettings, SurgerySettings
from cellferry.errors import InputError
from cellferry.mapping.encoder import CELLS_PER_MINIBATCH, Encoder
from cellferry.model.plain_arrays import encoder_of
from cellferry.model.scvi_models import (
    cells_for_model,
    known_batches,
    model_class,
    new_cytovi,
    new_model,
    scanvi_from_scvi,
    skeleton,
)
from cellferry.resources.budget import Budget
from fit_query_model import fit_query_model
from scipy import sparse
from simulate import settings_like, simulate_cells, write_cells
from train_reference_model import train_reference_model

LEVINE = ("ref_H1_dense.h5ad", "query_H2_dense.h5ad")
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
    encoder_of(one_batch).save(folder / "one batch")
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
    encoder = Encoder.load(models[name], cells.var_names)
    latents = encoder.latents(cells.X, codes(encoder, cells))[0]
    expected = model.get_latent_representation(cells)
    assert latents.dtype == np.float32
    assert (np.abs(latents - expected) <= 1e-5 * expected.std(axis=0)).all()
    if name != "one batch":  # batches are seen, and not confused
        other = encoder.latents(cells.X, np.roll(codes(encoder, cells), 1))[0]
        assert (np.abs(other - expected) > 1e-3 * expected.std(axis=0)).any(axis=1).mean() > 0.9


def test_the_model_is_not_changed(models):
    model, cells = load(str(models["SCVI"]))
    before = model.get_latent_representation(cells)
    encoder_of(model)
    assert np.array_equal(model.get_latent_representation(cells), before)


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (7, 2), (1000, 1), (1500, 3)])
def test_latents_do_not_depend_on_how_cells_are_cut(models, size, threads):
    _, cells = load(str(models["SCVI after surgery"]))
    encoder = Encoder.load(models["SCVI after surgery"], cells.var_names)
    counts, batches = cells.X[:1500], codes(encoder, cells)[:1500]
    pieces = [
        encoder.latents(counts[start : start + size], batches[start : start + size], threads=threads)
        for start in range(0, 1500, size)
    ]
    for cut, whole in zip(zip(*pieces, strict=True), encoder.latents(counts, batches), strict=True):
        assert np.array_equal(np.concatenate(cut), whole)


def test_no_cells_and_cells_without_counts(models):
    _, cells = load(str(models["SCANVI"]))
    encoder = Encoder.load(models["SCANVI"], cells.var_names)
    assert encoder.latents(cells.X[:0], np.zeros(0, int))[0].shape == (0, 4)
    cells.X = (cells.X * 0).tocsr()
    cells.X.eliminate_zeros()
    latents = encoder.latents(cells.X[:5], np.zeros(5, int))[0]
    assert np.isfinite(latents).all()
    assert np.array_equal(latents, np.tile(latents[:1], (5, 1)))


def test_surgery_has_two_mappings_of_the_same_weights(models):
    _, cells = load(str(models["SCVI after surgery"]))
    fitted = Encoder.load(models["SCVI after surgery"], cells.var_names)
    reference = Encoder.load(models["SCVI"], cells.var_names)
    assert (fitted.n_mappings, reference.n_mappings) == (2, 1)
    with_own = np.array([fitted.batches.index(batch) for batch in reference.batches])
    codes = np.resize(with_own, N_CELLS)
    unfitted = fitted.latents(cells.X, codes)[1]
    assert np.array_equal(unfitted, reference.latents(cells.X, np.resize(range(len(with_own)), N_CELLS))[0])


def test_fitting_another_model_is_noticed(models):
    _, cells = load(str(models["SCVI"]))
    fitted, other = (
        Encoder.load(models[name], cells.var_names) for name in ("SCVI after surgery", "one batch")
    )
    with pytest.raises(ValueError, match="has changed weights"):
        fitted.beside(other)


@pytest.fixture
def copied(models, tmp_path):
    """A copy of a model, to be damaged, and its genes."""
    _, cells = load(str(models["SCVI"]))
    return shutil.copytree(models["SCVI"], tmp_path / "model"), cells.var_names


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_truncated_encoder_is_refused(copied, share):
    folder, genes = copied
    path = folder / "encoder.npz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"model: its encoder.npz is not that of the model.pt beside it"):
        Encoder.load(folder, genes)


@pytest.mark.parametrize("seed", range(40))
def test_a_changed_bit_is_refused_or_changes_nothing(copied, seed):
    folder, genes = copied
    path, found = folder / "encoder.npz", Encoder.load(folder, genes)
    content = bytearray(path.read_bytes())
    bit = np.random.default_rng(seed).integers(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        damaged = Encoder.load(folder, genes)
    except InputError:
        return
    assert damaged.genes == found.genes
    assert damaged.batches == found.batches
    for one, other in zip([*damaged.weights, damaged.bias], [*found.weights, found.bias], strict=True):
        assert np.array_equal(one, other)


def test_an_encoder_of_another_model_is_refused(models, copied):
    folder, genes = copied
    shutil.copy(models["SCANVI"] / "model.pt", folder)
    with pytest.raises(InputError, match=r"it was made from another model.pt"):
        Encoder.load(folder, genes)


def test_a_model_without_its_encoder_is_refused(copied):
    folder, genes = copied
    (folder / "encoder.npz").unlink()
    with pytest.raises(InputError, match=r"No such file"):
        Encoder.load(folder, genes)


def test_counts_of_other_genes_are_refused(copied):
    folder, genes = copied
    with pytest.raises(InputError, match=r"it has 60 genes, not the 60 of the counts"):
        Encoder.load(folder, genes[::-1])


def real_events(test_data) -> tuple[ad.AnnData, list[bool]]:
    """Intensities of a mass cytometer on CytoVI's scale, two donors; and which markers both measured."""
    donors = [ad.read_h5ad(test_data / "levine32_cytof" / name) for name in LEVINE]
    events = ad.concat(donors)[
        :, donors[0].var_names.str.startswith("CD") | (donors[0].var_names == "HLA-DR")
    ]
    values = np.arcsinh(events.X / 5)
    backbone = [number % 5 != 2 for number in range(events.n_vars)]
    values[: donors[0].n_obs, ~np.array(backbone)] = 0
    span = values.max(axis=0) - values.min(axis=0)
    cells = cells_for_model(
        sparse.csr_matrix((values - values.min(axis=0)) / span, dtype=np.float32),
        events.var_names,
        events.obs["sample"].astype(str).to_numpy(),
        np.array(backbone),
    )
    return cells, backbone


def real_counts(test_data) -> ad.AnnData:
    """Counts of three thousand genes of every third of the stimulated cells."""
    real = ad.read_h5ad(test_data / "pbmc" / "query_kang_ifnb.h5ad")[::3, :3000]
    counts = sparse.csr_matrix(real.layers.get("counts", real.X), dtype=np.float32)
    genes = pd.Index([f"GENE{number}" for number in range(counts.shape[1])])
    return cells_for_model(counts, genes, np.array([f"kang/{s}" for s in real.obs["sample_id"].astype(str)]))


@pytest.mark.parametrize("kind", ["SCVI", "SCANVI", "CYTOVI"])
def test_latents_of_real_cells_are_scvi_tools_own(kind, test_data, tmp_path):
    """A model with its first, random weights: what they are does not matter to the arithmetic."""
    settings = settings_like(ModelSettings, n_layers=2, n_latent=30)
    if kind == "CYTOVI":
        cells, backbone = real_events(test_data)
        batches = sorted(set(cells.obs["batch"]))
        measured = {batches[0]: backbone, batches[1]: [True] * cells.n_vars}
        model = new_cytovi(skeleton(list(cells.var_names), batches, ["T", "B"], measured), settings, backbone)
    else:
        cells = real_counts(test_data)
        model = new_model(
            skeleton(list(cells.var_names), sorted(set(cells.obs["batch"])), ["T", "B"]), settings
        )
    model.is_trained = True
    if kind == "SCANVI":
        model = scanvi_from_scvi(model)
        model.is_trained = True
    model.save(str(tmp_path / "model"))
    encoder_of(model).save(tmp_path / "model")
    loaded = model_class(str(tmp_path / "model")).load(
        str(tmp_path / "model"), adata=cells, accelerator="cpu"
    )
    expected = loaded.get_latent_representation(cells)
    encoder = Encoder.load(tmp_path / "model", cells.var_names)
    (latents,) = encoder.latents(sparse.csr_matrix(cells.X), codes(encoder, cells), threads=2)
    assert len(latents) > 400
    assert (np.abs(latents - expected) <= 1e-5 * expected.std(axis=0)).all()
