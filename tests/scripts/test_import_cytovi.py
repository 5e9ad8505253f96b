"""import_reference with a CytoVI model: intensities are transformed and mapped as before."""

import json
import shutil
from dataclasses import asdict
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.config.settings import (
    LabelSettings,
    ModelSettings,
    PretrainedSettings,
    SplitSettings,
)
from cellferry.cytometry.channels import channels_of
from cellferry.cytometry.marker_names import read_markers
from cellferry.cytometry.value_kind import ValueKind
from cellferry.errors import InputError
from cellferry.features.subset import GeneFiles
from cellferry.mapping.encoder import Encoder
from cellferry.model.scvi_models import cells_for_model, model_class
from cellferry.resources.budget import Budget
from example_artifacts import write_features, write_inspection
from fitting import fit_to
from foreign import LABELS, MARKERS, foreign_events, train_foreign, train_foreign_cytovi, written_to
from import_reference import import_reference
from map_query import map_query
from scipy import sparse
from shuffle_reference import shuffle_reference
from simulate import settings_like
from subset_common_genes import subset_common_genes
from train_reference_model import train_reference_model

RAW = ValueKind("raw", "mass", "told")
OTHERWISE = {"CD45RA": "139La_cd45 ra", "HLA-DR": "HLADR", "CD8a": "CD8A", "CD3": "CD3(Er170)Di"}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A model of CytoVI's defaults: batch norm, no batches in the encoder."""
    folder = tmp_path_factory.mktemp("foreign")
    return SimpleNamespace(folder=folder, events=train_foreign_cytovi(folder))


def take(folder, to, *, modality="cytometry", cofactor="auto", **changed):
    given = {"label": "annotation", "batch": "donor"}
    given |= {"model": str(folder / "model"), "latents": str(folder / "cells.h5ad")}
    given |= {"scaling": str(folder / "scaling.csv")}
    import_reference(
        settings_like(PretrainedSettings, **given | changed),
        written_to(to),
        split=settings_like(SplitSettings),
        labels=settings_like(LabelSettings),
        modality=modality,
        cofactor=cofactor,
        seed=0,
        budget=Budget(3000),
        threads=1,
    )


def common_of(folder, events, *, seen=RAW, channels=None, min_common=0.3):
    """Path of subset_common_genes' output: linear intensities for the model in a folder."""
    var = channels_of(pd.DataFrame(index=channels or list(events.var_names)), read_markers({}), "query")
    with H5adWriter(folder / "merged.h5ad", var) as writer:
        obs = {"batch": np.array([f"query/{donor}" for donor in events.obs["donor"]], dtype=object)}
        names = events.obs_names.to_numpy(dtype=object)
        writer.append(sparse.csr_matrix(events.X), names, obs)
    inspected = write_inspection(folder, "query", intensities=seen)
    subset_common_genes(
        str(folder / "merged.h5ad"),
        GeneFiles(str(folder / "genes.tsv"), str(folder / "genes.json")),
        str(folder / "common.h5ad"),
        inspected=inspected,
        name="query",
        gene_id="auto",
        min_common=min_common,
        labeled_only=False,
        max_cells=None,
        seed=0,
        budget=Budget(1000),
    )
    return str(folder / "common.h5ad")


def in_another_panel(events):
    """The same events from another laboratory: other spellings and order, and more channels."""
    order = np.random.default_rng(7).permutation(len(MARKERS))
    values = np.column_stack([np.arange(events.n_obs), events.X[:, order], np.full(events.n_obs, 3)])
    channels = ["Time", *(OTHERWISE.get(MARKERS[place], MARKERS[place]) for place in order), "CD99"]
    return ad.AnnData(values.astype(np.float32), obs=events.obs), channels


def latents_of(folder, common, donors):
    with H5adReader(common) as reader:
        encoder = Encoder.load(folder / "model", reader.var.index)
        codes = np.array([encoder.batches.index(donor) for donor in donors], dtype=np.int64)
        return encoder.latents(reader.counts(0, reader.n_cells), codes)[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encode_covariates": True, "n_layers": 2, "use_layer_norm": "both", "use_batch_norm": "none"},
        {"protein_likelihood": "beta", "prior_mixture": False},
        {"setup": {"labels_key": "annotation", "batch_key": None}},
        {"setup": {"batch_key": "donor"}, "encoder_marker_list": ["CD3", "CD19", "HLA-DR", "CD56"]},
    ],
    ids=["defaults", "batches in the encoder", "beta", "labels", "some markers"],
)
def test_a_query_of_another_panel_gets_the_latents_that_scvi_tools_gives(options, tmp_path):
    events = train_foreign_cytovi(tmp_path, **options)
    (tmp_path / "taken").mkdir()
    take(tmp_path, tmp_path / "taken")
    query, channels = in_another_panel(events)
    common = common_of(tmp_path / "taken", query, channels=channels)
    without_batches = options.get("setup", {}).get("batch_key", "donor") is None
    donors = ["(the reference)"] * len(events) if without_batches else events.obs["donor"]
    found = latents_of(tmp_path / "taken", common, donors)
    np.testing.assert_allclose(found, events.obsm["X_CytoVI"], atol=1e-3)
    assert np.std(events.obsm["X_CytoVI"]) > 0.1
    seen = options.get("encoder_marker_list", MARKERS)
    table = pd.read_csv(tmp_path / "taken" / "genes.tsv", sep="\t")
    assert list(table["gene"]) == list(MARKERS)
    assert set(table["gene"][table["backbone"]]) == set(seen)


def test_what_is_written_of_markers_is_what_select_markers_writes(foreign, tmp_path):
    take(foreign.folder, tmp_path)
    report = json.loads((tmp_path / "genes.json").read_text())
    assert report["namespace"] == "marker"
    assert report["n_selected"] == report["n_common"] == len(MARKERS)
    assert report["transformation"]["cofactors"]["fluorescence"] == [150] * len(MARKERS)
    beside = json.loads((tmp_path / "model" / "transformation.json").read_text())
    assert beside == report["transformation"] | {"values": report["values"]}
    train = pd.read_parquet(tmp_path / "train.parquet")
    assert set(train["label"]) == set(LABELS)


def test_a_model_of_overlapping_panels_sees_what_all_batches_had(tmp_path, capsys):
    events = train_foreign_cytovi(tmp_path, lacking={"d1": ["CD14"], "d2": ["CD33", "CD14"]})
    seen = [marker for marker in MARKERS if marker not in ("CD14", "CD33")]
    with pytest.raises(InputError, match=r"takes 10 of its 12 markers .* does not list them"):
        take(tmp_path, tmp_path / "no", backbone=None)
    with pytest.raises(InputError, match=r"names 9 of them: the encoder .* takes 10 of its 12"):
        take(tmp_path, tmp_path / "no", backbone=seen[1:])
    with pytest.raises(InputError, match=r"names CD99, which it does not have"):
        take(tmp_path, tmp_path / "no", backbone=[*seen[1:], "CD99"])
    (tmp_path / "taken").mkdir()
    take(
        tmp_path, tmp_path / "taken", backbone=["hla dr" if marker == "HLA-DR" else marker for marker in seen]
    )
    found = latents_of(tmp_path / "taken", common_of(tmp_path / "taken", events), events.obs["donor"])
    np.testing.assert_allclose(found, events.obsm["X_CytoVI"], atol=1e-3)


def fitted(folder, common, *, fit=True):
    target = fit_to(common, folder / "model", folder / "fitted", fit=fit, batch_size=64)
    map_query(
        common,
        str(target),
        str(folder / "mapped.parquet"),
        chunk=0,
        chunks=1,
        budget=Budget(4000),
        threads=1,
    )
    return pd.read_parquet(folder / "mapped.parquet").filter(like="latent_").to_numpy()


def test_a_model_whose_encoder_takes_no_batch_is_used_as_it_is(foreign, tmp_path, capsys):
    take(foreign.folder, tmp_path)
    assert "encoder takes no batch" in capsys.readouterr().out
    query = foreign_events(300, batches=("x", "y"), seed=5)
    common = common_of(tmp_path, query)
    found = fitted(tmp_path, common)
    assert "encoder takes no batch: fitting would not change the latents" in capsys.readouterr().out
    np.testing.assert_allclose(found, latents_of(tmp_path, common, ["d1"] * len(query)), atol=1e-5)


def test_training_would_not_have_moved_it(foreign, tmp_path):
    """Surgery of the original model by scvi-tools itself."""
    take(foreign.folder, tmp_path)
    common = common_of(tmp_path, foreign_events(300, batches=("x", "y"), seed=5))
    with H5adReader(common) as reader:
        values, names = reader.counts(0, reader.n_cells), reader.var.index
        batches = reader.obs("batch", 0, reader.n_cells)
    cells = cells_for_model(values, names, batches, np.ones(len(names)))
    model = model_class(str(tmp_path / "model")).load_query_data(
        cells, str(tmp_path / "model"), accelerator="cpu"
    )
    model.is_trained_ = True
    before = model.get_latent_representation()
    model.train(max_epochs=2, accelerator="cpu", plan_kwargs={"weight_decay": 0.0}, enable_progress_bar=False)
    np.testing.assert_allclose(model.get_latent_representation(), before, atol=1e-6)


@pytest.mark.parametrize("likelihood", ["normal", "beta"])
def test_a_query_is_fitted_though_it_lacks_markers(likelihood, tmp_path):
    train_foreign_cytovi(tmp_path, encode_covariates=True, protein_likelihood=likelihood)
    (tmp_path / "taken").mkdir()
    take(tmp_path, tmp_path / "taken")
    query = foreign_events(300, markers=MARKERS[:-2], batches=("x", "y"), seed=5)
    common = common_of(tmp_path / "taken", query)
    latents = fitted(tmp_path / "taken", common)
    assert np.isfinite(latents).all()
    as_is = fitted(tmp_path / "taken", common, fit=False)
    assert not np.allclose(latents, as_is, atol=1e-4)
    rows = Encoder.load(tmp_path / "taken" / "fitted", ad.read_h5ad(common).var_names).by_batch[0][0]
    np.testing.assert_allclose(rows[-2:], np.tile(rows[:-2].mean(axis=0), (2, 1)), atol=1e-6)


def test_values_are_taken_as_they_are_where_no_scaling_is_told(foreign, tmp_path):
    take(foreign.folder, tmp_path, scaling=None)
    scaled = ad.AnnData(foreign.events.layers["scaled"].astype(np.float32), obs=foreign.events.obs)
    scaled.var_names = foreign.events.var_names
    with pytest.raises(
        InputError, match=r"query: has raw values \(told\), .*without a table in pretrained.scaling"
    ):
        common_of(tmp_path, foreign.events)
    common = common_of(tmp_path, scaled, seen=ValueKind("scaled", "mass", "told"))
    with H5adReader(common) as reader:
        np.testing.assert_allclose(reader.counts(0, 400).toarray(), scaled.X, atol=1e-6)
    found = latents_of(tmp_path, common, foreign.events.obs["donor"])
    np.testing.assert_allclose(found, foreign.events.obsm["X_CytoVI"], atol=1e-4)


def test_scaled_values_do_not_go_with_a_scaling(foreign, tmp_path):
    take(foreign.folder, tmp_path)
    with pytest.raises(InputError, match=r"has scaled values \(told\), .* trained on transformed ones"):
        common_of(tmp_path, foreign.events, seen=ValueKind("scaled", "mass", "told"))


def test_a_query_of_too_few_markers_is_refused(foreign, tmp_path):
    take(foreign.folder, tmp_path)
    with pytest.raises(InputError, match=r"datasets.query: has 3 of the model's 12 input markers"):
        common_of(tmp_path, foreign_events(50, markers=MARKERS[:3]))


def rewritten(foreign, path, change):
    table = pd.read_csv(foreign.folder / "scaling.csv")
    change(table).to_csv(path, index=False, sep="\t")
    return str(path)


def test_a_cofactor_of_the_table_goes_before_the_configurations(foreign, tmp_path):
    own = [7.0, *[None] * (len(MARKERS) - 1)]
    table = rewritten(foreign, tmp_path / "t.tsv", lambda table: table.assign(cofactor=own)[::-1])
    take(foreign.folder, tmp_path, scaling=table, cofactor=3)
    told = json.loads((tmp_path / "genes.json").read_text())["transformation"]
    assert told["cofactors"]["mass"] == told["cofactors"]["fluorescence"] == [7, *[3] * 11]
    expected = pd.read_csv(foreign.folder / "scaling.csv")
    np.testing.assert_allclose(told["low"], expected["low"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table[2:], r"scaling: .* lacks CD45, CD3 of the model's 12 markers, and has CD4, "),
        (lambda table: table.drop(columns="high"), r"scaling: .* has no column high; it has: marker, low"),
        (lambda table: pd.concat([table, table[:1]]), "scaling: .* has the marker CD45 twice"),
        (lambda table: table.assign(high=table["low"]), "gives CD45 the values .* low is the smaller one"),
        (lambda table: table.assign(low="low"), "gives CD45 the values 'low' and .* are numbers"),
        (lambda table: table.assign(cofactor=0), "gives CD45 the cofactor '0'; give a number above 0"),
    ],
)
def test_a_wrong_table_of_scaling_is_refused(foreign, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        take(foreign.folder, tmp_path, scaling=rewritten(foreign, tmp_path / "t.tsv", change))
    assert not (tmp_path / "genes.tsv").exists()


def test_a_model_of_another_modality_is_refused(foreign, tmp_path):
    with pytest.raises(InputError, match=r"class CYTOVI, .* modality rna .* or set modality: cytometry"):
        take(foreign.folder, tmp_path, modality="rna", scaling=None)
    train_foreign(tmp_path, n_cells=200)
    with pytest.raises(
        InputError, match=r"class SCVI, .* modality cytometry .* CYTOVI only; .* modality: rna"
    ):
        take(tmp_path, tmp_path / "no", scaling=None)


@pytest.mark.parametrize("option", [{"log_variational": True}, {"latent_distribution": "ln"}])
def test_an_encoder_of_another_kind_is_refused(tmp_path, option):
    train_foreign_cytovi(tmp_path, n_cells=200, **option)
    with pytest.raises(InputError, match="is of a kind that is not supported: values as they are"):
        take(tmp_path, tmp_path / "no")


def test_markers_that_are_told_twice_are_refused(foreign, tmp_path):
    saved = torch.load(foreign.folder / "model" / "model.pt", weights_only=False)
    saved["var_names"] = np.array([*MARKERS[:-1], "cd-45"])
    (tmp_path / "twice").mkdir()
    torch.save(saved, tmp_path / "twice" / "model.pt")
    with pytest.raises(InputError, match=r"markers with duplicate names \(cd-45\)"):
        take(foreign.folder, tmp_path, model=str(tmp_path / "twice"))


def test_the_backbone_of_a_model_that_tells_it_is_not_told_again(foreign, tmp_path):
    with pytest.raises(InputError, match=r"pretrained.backbone: the model .* lists its encoder's markers"):
        take(foreign.folder, tmp_path, backbone=["CD3"])


@pytest.fixture(scope="module")
def own(tmp_path_factory, foreign):
    """A model that this workflow trained on CD45 to CD33 of two references, one without CD33."""
    folder = tmp_path_factory.mktemp("own")
    measured = {"a": [True] * 10, "b": [True] * 9 + [False]}
    var = pd.DataFrame({"measured": True, "backbone": measured["b"]}, index=list(MARKERS[:10]))
    var = var.assign(measured_a=measured["a"], measured_b=measured["b"])
    events = foreign_events(300, markers=MARKERS[:10], batches=("a/1", "b/1"))
    values = foreign.events.layers["scaled"][:300, :10].astype(np.float32)
    with H5adWriter(folder / "common.h5ad", var) as writer:
        obs = {
            name: events.obs[of].astype(object).to_numpy()
            for name, of in (("batch", "donor"), ("label", "annotation"))
        }
        writer.append(sparse.csr_matrix(values), events.obs_names.to_numpy(dtype=object), obs)
        writer.write_uns(values="intensities")
    shuffle_reference(str(folder / "common.h5ad"), str(folder / "store.zarr"), seed=0, budget=Budget(2000))
    transformation = {
        "markers": list(MARKERS[:10]),
        "cofactors": {"mass": [5.0] * 10, "fluorescence": [150.0] * 10},
        "low": [0.5] * 10,
        "high": [4.5] * 10,
        "limits": [-1.0, 2.0],
    }
    report = {"transformation": transformation, "values": {name: asdict(RAW) for name in measured}}
    values = dict.fromkeys(measured, RAW)
    write_features(folder / "genes.json", namespace="marker", transformation=transformation, values=values)
    settings = settings_like(ModelSettings, type="cytovi", n_latent=4, n_layers=1, n_hidden=16, epochs=1)
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
        marker_report=str(folder / "genes.json"),
    )
    latents = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    ad.AnnData(obs=events.obs, obsm={"X_CytoVI": latents}).write_h5ad(folder / "cells.h5ad")
    return SimpleNamespace(folder=folder, report=report)


def test_the_folder_of_our_own_model_stands_alone(own, tmp_path):
    shutil.copytree(own.folder / "model", tmp_path / "theirs" / "model")
    shutil.copy(own.folder / "cells.h5ad", tmp_path / "theirs")
    take(tmp_path / "theirs", tmp_path, scaling=None)
    told = json.loads((tmp_path / "genes.json").read_text())
    assert {key: told[key] for key in own.report} == own.report
    table = pd.read_csv(tmp_path / "genes.tsv", sep="\t")
    assert list(table["gene"][~table["backbone"]]) == ["CD33"]
    query = foreign_events(100, seed=3)
    with H5adReader(common_of(tmp_path, query)) as reader:
        expected = np.clip((np.arcsinh(query.X[:, :10] / 5) - 0.5) / 4, -1, 2)
        np.testing.assert_allclose(reader.counts(0, 100).toarray(), expected, atol=1e-5)
    assert np.isfinite(fitted(tmp_path, str(tmp_path / "common.h5ad"))).all()


def test_a_model_that_says_how_it_is_scaled_needs_no_table(own, foreign, tmp_path):
    with pytest.raises(InputError, match=r"contains transformation.json with the scaling of values"):
        take(own.folder, tmp_path, scaling=str(foreign.folder / "scaling.csv"))


def test_a_transformation_of_another_model_is_refused(own, foreign, tmp_path):
    shutil.copytree(foreign.folder / "model", tmp_path / "model of others")
    shutil.copy(own.folder / "model" / "transformation.json", tmp_path / "model of others")
    with pytest.raises(InputError, match=r"is of another model, with other markers \(CD20, IgM\)"):
        take(foreign.folder, tmp_path, model=str(tmp_path / "model of others"), scaling=None)
    (tmp_path / "model of others" / "transformation.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged or of another program"):
        take(foreign.folder, tmp_path, model=str(tmp_path / "model of others"), scaling=None)
