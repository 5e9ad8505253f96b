"""make import-model: a model's folder is detected and packed as by a run."""

import json
import pickle
import shutil
import subprocess
from contextlib import nullcontext
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from cellferry.commands.import_model import results as results_module
from cellferry.commands.import_model.__main__ import as_given, main
from cellferry.commands.import_model.cells import is_called_like
from cellferry.commands.import_model.found import Given, find
from cellferry.core.pickles import TRUST
from cellferry.errors import InputError
from cellferry.mapping.encoder import Encoder
from cellferry.model.packed import unpack_model
from cellferry.references.archive import unpack
from foreign import LABELS, train_foreign, train_foreign_cytovi
from simulate import simulate_cells
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="module")
def scvi_hub(tmp_path_factory):
    """A folder as in scvi-hub: a scANVI model with batches in its encoder, and its minified cells."""
    folder = tmp_path_factory.mktemp("hub")
    cells = train_foreign(
        folder,
        kind="SCANVI",
        minified=True,
        encode_covariates=True,
        use_layer_norm="both",
        use_batch_norm="none",
    )
    (folder / "model" / "_scvi_required_metadata.json").write_text('{"model_cls_name": "SCANVI"}')
    return SimpleNamespace(folder=folder / "model", cells=cells)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An scVI model as `save` writes it, with its cells and latents beside the folder."""
    folder = tmp_path_factory.mktemp("plain")
    cells = train_foreign(folder, n_cells=200)
    return SimpleNamespace(folder=folder / "model", cells=cells, latents=folder / "cells.h5ad")


@pytest.fixture
def around(plain, tmp_path):
    """A function that copies the model without cells into a folder, and writes cells with these latents."""

    def write(obsm, obs=None, name="adata.h5ad", folder="made"):
        target = tmp_path / folder
        if not target.exists():
            shutil.copytree(plain.folder, target)
        if obsm is not None:
            cells = ad.AnnData(obs=plain.cells.obs if obs is None else obs, obsm=obsm)
            cells.write_h5ad(target / name)
        return str(target)

    return write


def packed(tmp_path, **given):
    """Run the command; return the archive."""
    given = {"name": "made", "version": "1", "license": "CC0-1.0", "output": str(tmp_path), **given}
    arguments = [argument for key, value in given.items() for argument in (f"--{key}", str(value))]
    assert main(arguments) == 0
    return tmp_path / f"{given['name']}-{given['version']}.cellferry.zip"


def refusal(capsys, **given):
    """The command's message on a refused model."""
    given = {"name": "made", "version": "1", "license": "CC0-1.0", **given}
    assert main([argument for key, value in given.items() for argument in (f"--{key}", str(value))]) == 1
    return capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_of_scvi_hub_is_packed(scvi_hub, tmp_path, capsys):
    archive = packed(tmp_path, model=scvi_hub.folder, organism="Homo sapiens")
    said = capsys.readouterr().out
    assert "obsm scanvi_latent_qzm (the model names it)" in said
    assert "label    annotation (3 values, the model was trained with it)" in said
    assert "batch    donor (4 values, the model's batches)" in said
    manifest = unpack(archive, tmp_path / "out")
    assert set(manifest.labels) == set(LABELS)
    assert manifest.organism == "Homo sapiens"
    assert "scanvi" in manifest.settings["heads"]
    missing = " ".join(manifest.missing)
    assert all(
        each in missing for each in ("counts of held-out cells", "scores of", "classifiers on expression")
    )
    assert "a fit to the batches" not in missing
    assert all(f"  without {what}" in said for what in manifest.missing)
    genes = pd.read_csv(tmp_path / "out" / "gene_names.tsv", sep="\t")
    assert list(genes.loc[7]) == ["ENSG00000000007", "GENE7"]
    assert "ids and symbols" not in missing
    found = pd.read_parquet(tmp_path / "out" / "mapped/reference/0.parquet").filter(like="latent_").to_numpy()
    held = {tuple(row) for row in scvi_hub.cells.obsm["X_scVI"].astype(np.float32).tolist()}
    assert {tuple(row) for row in found.tolist()} <= held
    model = tmp_path / "out" / "reference" / "model"
    cells = simulate_cells(400, n_genes=60, labels=LABELS, batches=("d1", "d2", "d3", "d4"), shift=0.2)
    encoder = Encoder.load(model, cells.var_names)
    codes = np.array([encoder.batches.index(donor) for donor in cells.obs["sample"]])
    np.testing.assert_allclose(encoder.latents(cells.X, codes)[0], scvi_hub.cells.obsm["X_scVI"], atol=1e-4)
    assert type(unpack_model(model)).__name__ == "SCANVI"


@pytest.mark.slow
def test_a_cytovi_model_and_latents_that_are_named(tmp_path, capsys):
    train_foreign_cytovi(tmp_path, n_cells=200)
    given = {
        "model": tmp_path / "model",
        "latents": tmp_path / "cells.h5ad",
        "scaling": tmp_path / "scaling.csv",
    }
    archive = packed(tmp_path, **given, label="annotation", batch="donor")
    said = capsys.readouterr().out
    assert "cells.h5ad, obsm X_CytoVI (by its name and its 4 dimensions)" in said
    assert "label    annotation (as given)" in said
    manifest = unpack(archive, tmp_path / "out")
    assert manifest.modality == "cytometry"
    missing = " ".join(manifest.missing)
    assert "a fit to the batches of queries: the model's encoder does not use batches" in missing
    assert (tmp_path / "out/reference/model/transformation.json").exists()
    assert type(unpack_model(tmp_path / "out/reference/model")).__name__ == "CYTOVI"


def test_a_folder_of_popv(plain, scvi_hub, tmp_path, monkeypatch):
    folder = tmp_path / "popv"
    shutil.copytree(plain.folder, folder / "scvi")
    shutil.copytree(scvi_hub.folder, folder / "scanvi", ignore=shutil.ignore_patterns("adata.h5ad"))
    obs = scvi_hub.cells.obs.rename(columns={"donor": "_batch_annotation"})
    obs["_labels_annotation"] = ["not known", *obs["annotation"][1:]]
    obs["popv_scvi_prediction"] = obs["annotation"]
    latents = {"X_scvi": scvi_hub.cells.obsm["X_scVI"], "X_scvi_umap_popv": np.zeros((400, 2))}
    ad.AnnData(obs=obs, obsm=latents).write_h5ad(folder / "minified_ref_adata.h5ad")
    (folder / "metadata.json").write_text(json.dumps({"setup_dict": {"unknown_celltype_label": "not known"}}))
    monkeypatch.chdir(folder / "scvi")
    for model in (folder, folder / "scvi", "."):
        found = find(Given(str(model)))
        assert (found.model, found.latents.key) == (folder / "scvi", "X_scvi")
        assert (found.label, found.batch) == ("_labels_annotation", "_batch_annotation")
        assert found.unlabeled == ["not known"]
    latents["X_scanvi"] = scvi_hub.cells.obsm["X_scVI"]
    ad.AnnData(obs=obs, obsm=latents).write_h5ad(folder / "minified_ref_adata.h5ad")
    with pytest.raises(
        InputError, match=r"several models.*name one: MODEL=.*scanvi \(SCANVI\), MODEL=.*scvi"
    ):
        find(Given(str(folder)))
    assert find(Given(str(folder / "scanvi"))).latents.key == "X_scanvi"


def test_the_names_of_latents():
    assert is_called_like("X_scVI", "SCVI")
    assert is_called_like("X_latent_qzm", "SCANVI")
    assert is_called_like("_scanvi_latent_qzm", "SCANVI")
    assert not is_called_like("X_scVI", "SCANVI")
    assert not is_called_like("scvi_latent_qzm", "SCANVI")
    assert not is_called_like("scvi_latent_qzv", "SCVI")
    assert not is_called_like("X_scvi_umap_popv", "SCVI")
    assert not is_called_like("X_pca", "SCVI")


def test_latents_that_stand_twice_are_one(plain, around):
    latents = plain.cells.obsm["X_scVI"]
    assert (
        find(Given(around({"X_scVI": latents, "X_latent_qzm": latents.copy()}))).latents.key == "X_latent_qzm"
    )


def test_latents_that_may_be_either_are_refused(plain, around, capsys):
    latents = plain.cells.obsm["X_scVI"]
    model = around({"X_scVI": latents, "X_scvi": latents + 1})
    said = refusal(capsys, model=model)
    assert "obsm X_scVI" in said
    assert "several candidates for the latents of its cells: " in said
    assert "obsm X_scvi; name the right one" in said
    assert find(Given(model, key="X_scvi")).latents.key == "X_scvi"


def test_files_that_may_be_either_are_refused(plain, around):
    latents = plain.cells.obsm["X_scVI"]
    around({"X_scVI": latents}, name="one.h5ad")
    with pytest.raises(
        InputError, match=r"several candidates .*one.h5ad, obsm X_scVI, .*two.h5ad, obsm X_scVI; name"
    ):
        find(Given(around({"X_scVI": latents}, name="two.h5ad")))


def test_a_table_beside_the_model(plain, around):
    table = pd.DataFrame(plain.cells.obsm["X_scVI"], index=plain.cells.obs_names).add_prefix("latent_")
    folder = around(None)
    table.join(plain.cells.obs.astype(str)).to_csv(f"{folder}/cells.csv")
    pd.DataFrame({"a": [1, 2], "b": [3, 4]}).to_csv(f"{folder}/other.csv")
    found = find(Given(folder))
    assert (found.latents.path.name, found.label, found.batch) == ("cells.csv", "annotation", "donor")


def test_a_model_without_latents_is_refused_and_told_what_it_needs(plain, around, capsys):
    said = refusal(capsys, model=plain.folder)
    assert "no latents of the training cells of this SCVI model (there is no h5ad file beside it)" in said
    assert "needs 4 latents and a label per cell" in said
    assert "give LATENTS=cells.h5ad" in said
    model = around({"X_pca": np.zeros((200, 4)), "X_umap": np.zeros((200, 2))})
    assert "adata.h5ad has obsm X_pca (4), X_umap (2)" in refusal(capsys, model=model)


def test_latents_of_another_model_are_refused(plain, around, capsys):
    model = around({"X_scVI": np.zeros((200, 3)), "other": np.zeros((200, 4))})
    assert "adata.h5ad has obsm X_scVI (3), other (4)" in refusal(capsys, model=model)
    assert "has 3 latents per cell, but the model" in refusal(capsys, model=model, key="X_scVI")
    assert "KEY=X_more: contains no latents of a SCVI model with 4" in refusal(
        capsys, model=model, key="X_more"
    )
    latents = f"{model}/adata.h5ad"
    assert f"LATENTS={latents}: contains no latents of a SCVI" in refusal(
        capsys, model=model, latents=latents
    )
    assert "there is no file nowhere.h5ad" in refusal(capsys, model=model, latents="nowhere.h5ad")


def test_labels_that_may_be_either_are_refused(plain, around):
    latents = {"X_scVI": plain.cells.obsm["X_scVI"]}
    obs = plain.cells.obs.assign(
        cell_type=plain.cells.obs["annotation"], celltype=plain.cells.obs["annotation"]
    )
    model = around(latents, obs)
    with pytest.raises(
        InputError, match="several columns look like labels; name one of: cell_type, celltype"
    ):
        find(Given(model))
    assert find(Given(model, label="celltype")).label == "celltype"
    with pytest.raises(
        InputError, match=r"LABEL=cells: the cells have no column 'cells'; they have: annotation"
    ):
        find(Given(model, label="cells"))
    with pytest.raises(InputError, match=r"BATCH=lab: the cells have no column 'lab'"):
        find(Given(model, label="celltype", batch="lab"))


def test_cells_without_labels_are_refused(plain, around):
    obs = plain.cells.obs[["donor"]]
    with pytest.raises(InputError, match=r"no column of the cells looks like labels; .* donor \(4 values\)"):
        find(Given(around({"X_scVI": plain.cells.obsm["X_scVI"]}, obs)))


def test_batches_that_the_cells_do_not_name(plain, around):
    obs = plain.cells.obs[["annotation"]]
    found = find(Given(around({"X_scVI": plain.cells.obsm["X_scVI"]}, obs)))
    assert found.batch is None
    assert "and the cells have no column 'donor': all cells are one" in found.lines[-1]


def test_what_is_no_model_is_told_as_what_it_is(plain, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    regression = {"Model": LogisticRegression(), "scaler": StandardScaler()}
    (tmp_path / "other" / "knn.pkl").write_bytes(pickle.dumps(regression))
    (tmp_path / "other" / "none.pkl").touch()
    said = refusal(capsys, model=tmp_path / "other")
    assert (
        "neither it nor a subfolder has a file model.pt (it contains knn.pkl, none.pkl); name the folder"
        in said
    )
    shutil.copytree(plain.folder, tmp_path / "prefixed")
    (tmp_path / "prefixed" / "model.pt").rename(tmp_path / "prefixed" / "atlas_model.pt")
    assert "has no file model.pt, but atlas_model.pt" in refusal(capsys, model=tmp_path / "prefixed")
    shutil.copytree(plain.folder, tmp_path / "results" / "reference" / "model")
    assert f"pack them: make pack RESULTS={tmp_path / 'results'}" in refusal(
        capsys, model=tmp_path / "results"
    )
    (tmp_path / "a-1.cellferry.zip").touch()
    assert "is already a packed reference" in refusal(capsys, model=tmp_path / "a-1.cellferry.zip")
    assert "there is no file or folder" in refusal(capsys, model=tmp_path / "nowhere")
    assert "MODEL= is missing" in refusal(capsys)
    assert "LICENSE= is missing" in refusal(capsys, model=plain.folder, license="")


def test_a_model_of_another_class_is_refused(plain, around, capsys):
    folder = around(None)
    saved = torch.load(f"{folder}/model.pt", weights_only=False)
    saved["attr_dict"]["registry_"]["model_name"] = "TOTALVI"
    torch.save(saved, f"{folder}/model.pt")
    said = refusal(capsys, model=folder)
    assert f"MODEL: {folder} is a model of class TOTALVI" in said
    assert "SCVI, SCANVI, CYTOVI only" in said


class Making:
    """Writes a file when it is opened as a pickle."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return print, ("made", "up"), None, None, None


def test_a_model_that_would_run_code_is_opened_only_where_it_is_trusted(plain, around, tmp_path, capsys):
    folder = around({"X_scVI": plain.cells.obsm["X_scVI"]})
    saved = torch.load(f"{folder}/model.pt", weights_only=False)
    saved["attr_dict"]["more_"] = Making(tmp_path)
    torch.save(saved, f"{folder}/model.pt")
    said = refusal(capsys, model=folder)
    assert "model.pt would call builtins.print" in said
    assert "if you trust its author, give TRUST=1" in said
    assert "pretrained" not in said
    config = results_module.configuration(find(Given(folder, trust=True)), {"trust": True})
    assert config["pretrained"]["trust"]


def test_messages_name_what_is_given_here():
    said = as_given(f"pretrained.label: has no column 'a'; name those (pretrained.key); {TRUST}")
    assert said == ("LABEL: has no column 'a'; name those (KEY); if you trust its author, give TRUST=1")


@pytest.mark.slow
def test_what_a_step_refuses_is_said(plain, around, capsys):
    latents = plain.cells.obsm["X_scVI"].copy()
    latents[7, 2] = np.nan
    folder = around({"X_scVI": latents})
    said = refusal(capsys, model=folder)
    assert f"LATENTS: {folder}/adata.h5ad has latents that are not numbers" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([3, 3, 0, 0, 0, 0], None),
        ([3, 3, 3], "^import_reference: mem_mb=9 is too low .last of 3 attempts.; use the model in a run"),
        ([0, 2], "^wrong$"),
        ([1], "^import_reference: the disk is full or a quota is used up; free some space, or set TMPDIR"),
        ([-9], "import_reference was killed .signal 9., most likely because"),
    ],
)
def test_more_memory_is_tried_before_a_step_is_given_up(codes, said, tmp_path, monkeypatch):
    codes, tried = iter(codes), []

    def run(rule, attempt, *_):
        code = next(codes)
        tried.append((rule, attempt))
        full = "the disk is full or a quota is used up in /tmp: free some, then start snakemake again"
        ended = {1: full, 3: "cannot go on: mem_mb=9 is too low; raise\n", 2: "error: wrong\n"}.get(code, "")
        return subprocess.CompletedProcess([], code, stderr=ended)

    monkeypatch.setattr(results_module, "_run", run)
    found = SimpleNamespace(latents=SimpleNamespace(counts=None))
    with pytest.raises(InputError, match=said) if said else nullcontext():
        results_module.make_results({}, found, tmp_path)
    assert next(codes, None) is None
    if not said:
        assert tried[:3] == [("import_reference", attempt) for attempt in (1, 2, 3)]
        assert [rule for rule, _ in tried[3:]] == [
            "train_classifier",
            "calibrate_classifier",
            "leave_labels_out",
        ]
