"""import_reference: a pre-trained model in place of a reference; unusable models are refused."""

import json
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cellferry.artifacts.features import Features
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from cellferry.config.settings import LabelSettings, PretrainedSettings, SplitSettings, SurgerySettings
from cellferry.errors import InputError, RetryableError
from cellferry.heads.scanvi import ScanviHead
from cellferry.mapping.encoder import Encoder
from cellferry.resources.budget import Budget
from fit_query_model import fit_query_model
from foreign import LABELS, train_foreign, written_to
from import_reference import import_reference
from map_query import map_query
from simulate import settings_like, simulate_cells, write_cells


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A model of scvi-tools' defaults: batch norm, no batches in the encoder."""
    folder = tmp_path_factory.mktemp("foreign")
    return SimpleNamespace(folder=folder, cells=train_foreign(folder))


@pytest.fixture(scope="module")
def foreign_scanvi(tmp_path_factory):
    """A scANVI model with batches in the encoder."""
    folder = tmp_path_factory.mktemp("foreign_scanvi")
    cells = train_foreign(folder, kind="SCANVI", encode_covariates=True, use_layer_norm="both", n_layers=2)
    return SimpleNamespace(folder=folder, cells=cells)


def take(foreign, to, *, labels=None, split=None, mem_mb=3000, **changed):
    given = {"label": "annotation", "batch": "donor"}
    given |= {"model": str(foreign.folder / "model"), "latents": str(foreign.folder / "cells.h5ad")}
    import_reference(
        settings_like(PretrainedSettings, **given | changed),
        written_to(to),
        split=settings_like(SplitSettings, **split or {}),
        labels=settings_like(LabelSettings, **labels or {}),
        modality="rna",
        cofactor="auto",
        seed=0,
        budget=Budget(mem_mb),
        threads=1,
    )


def parts(folder):
    return {part: pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "validation", "test")}


def test_cells_are_split_and_keep_their_latents(foreign, tmp_path):
    take(foreign, tmp_path)
    found = parts(tmp_path)
    together = pd.concat(found.values()).set_index("cell").loc[foreign.cells.obs_names]
    assert list(together.columns) == ["batch", "label", *(f"latent_{number}" for number in range(4))]
    np.testing.assert_array_equal(
        together.filter(like="latent_").to_numpy(), foreign.cells.obsm["X_scVI"].astype(np.float32)
    )
    assert list(together["label"]) == list(foreign.cells.obs["annotation"])
    assert list(together["batch"]) == list(foreign.cells.obs["donor"])
    # Four donors: one whole donor is the test, a tenth of the rest validation.
    assert len(set(found["test"]["batch"])) == 1
    assert not set(found["test"]["batch"]) & set(found["train"]["batch"])
    known = read_artifact(ReferenceLabels, tmp_path / "labels.json")
    assert known.sizes == dict(foreign.cells.obs["annotation"].value_counts())
    assert known.hierarchy.levels == []


def test_genes_are_the_models_in_its_order(foreign, tmp_path):
    take(foreign, tmp_path)
    table = pd.read_csv(tmp_path / "genes.tsv", sep="\t")
    assert list(table["gene"]) == [f"GENE{number}" for number in range(60)]
    assert read_artifact(Features, tmp_path / "genes.json") == Features(namespace="symbol", n_selected=60)
    assert pd.read_csv(tmp_path / "history.csv").empty


@pytest.mark.parametrize("kind", ["foreign", "foreign_scanvi"])
def test_the_model_makes_of_cells_what_it_made_of_them_before(kind, request, tmp_path):
    model = request.getfixturevalue(kind)
    take(model, tmp_path)
    cells = simulate_cells(400, n_genes=60, labels=LABELS, batches=("d1", "d2", "d3", "d4"), shift=0.2)
    encoder = Encoder.load(tmp_path / "model", cells.var_names)
    codes = np.array([encoder.batches.index(donor) for donor in cells.obs["sample"]])
    (found,) = encoder.latents(cells.X, codes)
    np.testing.assert_allclose(found, model.cells.obsm["X_scVI"], atol=1e-4)


@pytest.mark.parametrize("kind", ["foreign", "foreign_scanvi"])
def test_a_query_is_fitted_and_mapped(kind, request, tmp_path):
    take(request.getfixturevalue(kind), tmp_path)
    query = simulate_cells(200, n_genes=60, labels=LABELS, batches=("x", "y"), seed=5)
    write_cells(tmp_path / "query.h5ad", query, "patients")
    common, fitted = str(tmp_path / "query.h5ad"), str(tmp_path / "fitted")
    fit_query_model(
        common,
        str(tmp_path / "model"),
        fitted,
        settings=settings_like(SurgerySettings, epochs=1, sketch_cells=200),
        batch_size=128,
        seed=0,
        budget=Budget(4000),
        threads=1,
        gpu=0,
    )
    mapped = tmp_path / "mapped.parquet"
    map_query(common, fitted, str(mapped), chunk=0, chunks=1, budget=Budget(4000), threads=1)
    assert np.isfinite(pd.read_parquet(mapped).filter(like="latent_").to_numpy()).all()


def test_scanvis_own_classifier_is_kept_where_it_knows_the_labels(foreign_scanvi, tmp_path):
    take(foreign_scanvi, tmp_path)
    head = ScanviHead.load(tmp_path / "model")
    assert set(head.labels) == set(LABELS)
    cells = simulate_cells(400, n_genes=60, labels=LABELS, batches=("d1", "d2", "d3", "d4"), shift=0.2)
    cells.layers["raw counts"] = cells.X
    cells.obs = cells.obs.rename(columns={"sample": "donor", "cell_type": "annotation"})
    model = scvi.model.SCANVI.load(str(foreign_scanvi.folder / "model"), adata=cells, accelerator="cpu")
    expected = model.predict(soft=True)[list(head.labels)]
    latents = foreign_scanvi.cells.obsm["X_scVI"]
    np.testing.assert_allclose(head.probabilities(latents), expected, atol=1e-3)


def test_scanvis_own_classifier_is_left_out_where_labels_are_others(foreign_scanvi, tmp_path, capsys):
    take(foreign_scanvi, tmp_path, label="donor", batch=None)
    assert not (tmp_path / "model" / ScanviHead.file_name).exists()
    assert "has no vote: it lacks the labels d1, d2, d3, d4" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["SCVI", "SCANVI"])
def test_a_minified_model_with_the_cells_that_scvi_tools_saved_beside_it(kind, tmp_path):
    cells = train_foreign(tmp_path, kind=kind, n_cells=200, minified=True)
    take(SimpleNamespace(folder=tmp_path), tmp_path / "taken", latents=str(tmp_path / "model" / "adata.h5ad"))
    found = pd.concat(parts(tmp_path / "taken").values()).set_index("cell").loc[cells.obs_names]
    np.testing.assert_array_equal(found.filter(like="latent_").to_numpy(), cells.obsm["X_scVI"])


def test_labels_are_renamed_and_have_levels(foreign, tmp_path):
    labels = {"rename": {"NK": "natural killer"}, "missing": ["B cell"]}
    split = {"min_cells_per_label": 3}
    labels["parents"] = {"natural killer": "lymphoid", "T cell": "lymphoid"}
    take(foreign, tmp_path, labels=labels, split=split)
    assert set(pd.concat(parts(tmp_path).values())["label"]) == {"natural killer", "T cell"}
    assert read_artifact(ReferenceLabels, tmp_path / "labels.json").hierarchy.coarser_labels == {"lymphoid"}


@pytest.mark.parametrize("suffix", ["csv.gz", "tsv", "parquet"])
def test_latents_in_a_table(foreign, tmp_path, suffix):
    take(foreign, tmp_path)
    expected = parts(tmp_path)
    latents = pd.DataFrame(foreign.cells.obsm["X_scVI"], index=foreign.cells.obs_names)
    table = pd.concat([foreign.cells.obs, latents.add_prefix("Z")], axis=1)
    path = tmp_path / f"cells.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if suffix == "tsv" else ",")
    (tmp_path / "again").mkdir()
    take(foreign, tmp_path / "again", latents=str(path), key="Z")
    for part, found in parts(tmp_path / "again").items():
        assert list(found["cell"]) == list(expected[part]["cell"])
        assert list(found["label"]) == list(expected[part]["label"])
        np.testing.assert_allclose(
            found.filter(like="latent_"), expected[part].filter(like="latent_"), rtol=1e-5
        )


def test_versions_of_ensembl_ids_are_no_part_of_them(foreign, tmp_path):
    saved = torch.load(foreign.folder / "model" / "model.pt", weights_only=False)
    saved["var_names"] = np.array([f"ENSG{number:011d}.{number % 9}" for number in range(60)])
    (tmp_path / "model with versions").mkdir()
    torch.save(saved, tmp_path / "model with versions" / "model.pt")
    take(foreign, tmp_path, model=str(tmp_path / "model with versions"))
    assert json.loads((tmp_path / "genes.json").read_text())["namespace"] == "ensembl"
    assert pd.read_csv(tmp_path / "genes.tsv", sep="\t")["gene"][7] == "ENSG00000000007"


def test_a_model_without_batches(tmp_path):
    cells = train_foreign(tmp_path, donors=("all",), n_cells=200, setup={"batch_key": None})
    take(SimpleNamespace(folder=tmp_path), tmp_path / "imported", batch=None)
    found = pd.concat(parts(tmp_path / "imported").values())
    assert len(found) == len(cells)
    assert set(found["batch"]) == {"reference"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"label": "cell_type"},
            r"pretrained.label: .* no column 'cell_type'; it has: annotation, donor",
        ),
        ({"batch": "sample"}, r"pretrained.batch: .* has no column 'sample'"),
        ({"key": "X_pca"}, r"pretrained.key: .* has no obsm X_pca; .* of: X_scVI"),
        ({"model": "nowhere"}, r"pretrained.model: nowhere has no file model.pt"),
    ],
)
def test_what_is_not_there_is_named(foreign, tmp_path, changed, said):
    with pytest.raises(InputError, match=said):
        take(foreign, tmp_path, **changed)


def test_latents_of_another_width_are_refused(foreign, tmp_path):
    other = ad.AnnData(obs=foreign.cells.obs, obsm={"X_scVI": foreign.cells.obsm["X_scVI"][:, :3]})
    other.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=r"has 3 latents per cell, and the model .* makes 4"):
        take(foreign, tmp_path, latents=str(tmp_path / "cells.h5ad"))
    assert not (tmp_path / "model").exists()


def test_latents_that_are_no_numbers_are_refused(foreign, tmp_path):
    latents = foreign.cells.obsm["X_scVI"].copy()
    latents[7, 2] = np.nan
    ad.AnnData(obs=foreign.cells.obs, obsm={"X_scVI": latents}).write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=f"not numbers, those of {foreign.cells.obs_names[7]} among them"):
        take(foreign, tmp_path, latents=str(tmp_path / "cells.h5ad"))
    assert not list(tmp_path.glob("*.parquet"))


def changed_model(foreign, folder, change):
    saved = torch.load(foreign.folder / "model" / "model.pt", weights_only=False)
    change(saved)
    folder.mkdir()
    torch.save(saved, folder / "model.pt")
    return str(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda saved: saved["attr_dict"]["registry_"].update(model_name="TOTALVI"), "of class TOTALVI"),
        (
            lambda saved: saved["attr_dict"]["registry_"]["setup_args"].update(
                categorical_covariate_keys=["assay"]
            ),
            "was trained with categorical_covariate_keys",
        ),
        (lambda saved: saved.update(var_names=np.array(["GENE1"] * 60)), r"duplicate names \(GENE1\)"),
        (lambda saved: saved.pop("attr_dict"), r"is not a file of scvi-tools' model.save\(\)"),
        (
            lambda saved: saved["model_state_dict"].pop("px_r"),
            "cannot be loaded by scvi-tools",
        ),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(foreign, tmp_path, change, said):
    model = changed_model(foreign, tmp_path / "changed", change)
    with pytest.raises(InputError, match=said):
        take(foreign, tmp_path, model=model)
    assert not (tmp_path / "model").exists()


def test_a_file_that_is_no_model_is_refused(foreign, tmp_path):
    (tmp_path / "no model").mkdir()
    (tmp_path / "no model" / "model.pt").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"is not a file of scvi-tools' model.save\(\)"):
        take(foreign, tmp_path, model=str(tmp_path / "no model"))


def test_a_model_of_counts_that_are_not_logarithmised_is_taken(tmp_path):
    cells = train_foreign(tmp_path, n_cells=200, log_variational=False)
    (tmp_path / "taken").mkdir()
    take(SimpleNamespace(folder=tmp_path), tmp_path / "taken")
    counts = simulate_cells(200, n_genes=60, labels=LABELS, batches=("d1", "d2", "d3", "d4"), shift=0.2)
    encoder = Encoder.load(tmp_path / "taken" / "model", counts.var_names)
    codes = np.array([encoder.batches.index(donor) for donor in counts.obs["sample"]])
    np.testing.assert_allclose(encoder.latents(counts.X, codes)[0], cells.obsm["X_scVI"], atol=1e-4)


def test_an_encoder_of_another_kind_is_refused(tmp_path):
    train_foreign(tmp_path, n_cells=200, latent_distribution="ln")
    with pytest.raises(InputError, match="is of a kind that is not supported"):
        take(SimpleNamespace(folder=tmp_path), tmp_path / "imported")


def test_too_little_memory_is_told_at_once(foreign, tmp_path):
    with pytest.raises(RetryableError, match="mem_mb=900"):
        take(foreign, tmp_path, mem_mb=900)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (None, r"pretrained.latents: cell 1 of .* is called 'x\\x01', which holds a control character"),
        ("annotation", r"pretrained.label: .* has the value 'x\\x01', which .* another in labels.rename"),
        ("donor", r"pretrained.batch: .* has the value 'x\\x01', which"),
    ],
)
def test_names_with_control_characters_are_refused(foreign, tmp_path, column, said):
    cells = foreign.cells.copy()
    if column:
        cells.obs[column] = ["x\x01", *cells.obs[column][1:]]
    else:
        cells.obs_names = ["x\x01", *cells.obs_names[1:]]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=said):
        take(foreign, tmp_path, latents=str(tmp_path / "cells.h5ad"))
