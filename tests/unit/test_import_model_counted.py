"""make import-model: cells beside a model with counts but without latents."""

import shutil
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.commands.import_model import results as results_module
from cellferry.commands.import_model.counted import map_cells
from cellferry.commands.import_model.found import Given, find
from cellferry.commands.import_model.job import STEPS, WITHOUT_LATENTS
from cellferry.config.settings import PretrainedSettings
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from foreign import LABELS, train_foreign
from import_reference import encoder_of, take_model_in
from simulate import settings_like, simulate_cells

PLACE = "layers/raw counts"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A model with batches in its encoder, its imported form, its cells, and their latents."""
    folder = tmp_path_factory.mktemp("theirs")
    latents = train_foreign(folder, n_cells=200, encode_covariates=True).obsm["X_scVI"]
    cells = simulate_cells(200, n_genes=60, labels=LABELS, batches=("d1", "d2", "d3", "d4"), shift=0.2)
    cells.obs = cells.obs.rename(columns={"sample": "donor", "cell_type": "annotation"})
    cells.layers["raw counts"] = cells.X.copy()
    cells.X = cells.X.log1p()
    # As in real files: more genes, in another order.
    more = ad.AnnData(np.ones((200, 2)), obs=cells.obs[[]], var=pd.DataFrame(index=["more", "still more"]))
    more.layers["raw counts"] = more.X.copy()
    cells = ad.concat([more, cells[:, ::-1]], axis=1, merge="first")
    given = settings_like(PretrainedSettings, model=str(folder / "model"), latents="", label="annotation")
    adopted = folder / "adopted"
    how = {"modality": "rna", "cofactor": "auto", "seed": 0, "accelerator": "cpu"}
    encoder_of(take_model_in(given, adopted, width=4, **how)[2]).save(adopted)
    return SimpleNamespace(folder=folder / "model", adopted=adopted, cells=cells, latents=latents)


def mapped(theirs, cells, tmp_path, *, batch="donor", model_batch="donor"):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    map_cells(
        tmp_path / "cells.h5ad",
        PLACE,
        theirs.adopted,
        tmp_path / "latents.parquet",
        label="annotation",
        batch=batch,
        model_batch=model_batch,
        budget=Budget(2000),
        threads=1,
    )
    return pd.read_parquet(tmp_path / "latents.parquet")


def test_latents_are_those_that_the_model_makes(theirs, tmp_path):
    found = mapped(theirs, theirs.cells, tmp_path)
    assert list(found["cell"]) == list(theirs.cells.obs_names)
    assert list(found["label"]) == list(theirs.cells.obs["annotation"])
    assert list(found["batch"]) == list(theirs.cells.obs["donor"])
    np.testing.assert_allclose(found.filter(like="latent_"), theirs.latents, atol=1e-4)


def test_the_batches_that_are_held_out_may_be_others_than_the_models(theirs, tmp_path):
    cells = theirs.cells.copy()
    cells.obs["lab"] = np.where(cells.obs["donor"] == "d1", "one", "other")
    found = mapped(theirs, cells, tmp_path, batch="lab")
    assert set(found["batch"]) == {"one", "other"}
    np.testing.assert_allclose(found.filter(like="latent_"), theirs.latents, atol=1e-4)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (5, -1, "raw counts, by its name the model's training data, has negative or missing values"),
        (5, np.nan, "has negative or missing values"),
        (slice(None), 0, "raw counts contains only zeros; give LATENTS="),
    ],
)
def test_values_that_the_model_cannot_have_seen_are_refused(theirs, tmp_path, place, value, said):
    cells = theirs.cells.copy()
    cells.layers["raw counts"].data[place] = value
    with pytest.raises(InputError, match=said):
        mapped(theirs, cells, tmp_path)
    assert not (tmp_path / "latents.parquet").exists()


def test_batches_that_the_model_does_not_know_are_refused(theirs, tmp_path):
    cells = theirs.cells.copy()
    cells.obs["donor"] = [*cells.obs["donor"][:7], "d9", *cells.obs["donor"][8:]]
    with pytest.raises(InputError, match="cell0_7 has 'd9' in the column 'donor', which is not a batch"):
        mapped(theirs, cells, tmp_path)
    with pytest.raises(InputError, match="has no column 'lab', the batches for the model's encoder"):
        mapped(theirs, cells, tmp_path, model_batch="lab")


@pytest.mark.slow
def test_a_folder_with_counts_alone(theirs, tmp_path, monkeypatch):
    """The first steps, as they are started; the others do not use counts."""
    shutil.copytree(theirs.folder, tmp_path / "model")
    theirs.cells.write_h5ad(tmp_path / "model" / "adata.h5ad")
    found = find(Given(str(tmp_path / "model")))
    assert found.latents.counts == PLACE
    assert (found.label, found.batch) == ("annotation", "donor")
    assert f"adata.h5ad, {PLACE} (computed by the model from these counts)" in found.lines[1]
    monkeypatch.setattr(results_module, "STEPS", {name: STEPS[name] for name in WITHOUT_LATENTS})
    (tmp_path / "made").mkdir()
    results_module.make_results(results_module.configuration(found, {}), found, tmp_path / "made")
    made = pd.read_parquet(tmp_path / "made" / "latents.parquet")
    np.testing.assert_allclose(made.filter(like="latent_"), theirs.latents, atol=1e-4)


@pytest.mark.parametrize("lacks", ["a gene", "the layer", "counts, being minified"])
def test_cells_that_the_model_cannot_map_are_no_cells_for_it(theirs, tmp_path, lacks):
    cells = theirs.cells.copy()
    if lacks == "a gene":
        cells = cells[:, :-1].copy()
    elif lacks == "the layer":
        del cells.layers["raw counts"]
    else:
        cells.uns["_scvi_adata_minify_type"] = "latent_posterior_parameters"
    shutil.copytree(theirs.folder, tmp_path / "model")
    cells.write_h5ad(tmp_path / "model" / "adata.h5ad")
    with pytest.raises(
        InputError, match=r"no latents of the training cells .*adata.h5ad has nothing in obsm"
    ):
        find(Given(str(tmp_path / "model")))
