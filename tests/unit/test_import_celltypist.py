"""make import-model with a CellTypist model: packed without latents; refused models."""

import pickle

import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.json_files import read_artifact
from cellferry.commands.import_model.__main__ import main
from cellferry.config.providers import reference_of
from cellferry.heads.celltypist import CelltypistHead
from cellferry.references.archive import LATENTS, unpack
from regressions import train_celltypist, write_celltypist
from simulate import simulate_cells
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

LABELS = ("T cell", "B cell", "NK")


@pytest.fixture(scope="module")
def content():
    return train_celltypist(simulate_cells(120, n_genes=60, labels=LABELS))


@pytest.fixture
def changed(content, tmp_path):
    """A function that writes the model with something changed."""

    def write(change, name="m.pkl"):
        model = pickle.loads(pickle.dumps(content))
        change(model)
        return write_celltypist(tmp_path / name, model)

    return write


def run(model, tmp_path, **given):
    given = {"name": "theirs", "version": "1", "license": "CC0-1.0", "trust": "1", **given}
    given |= {"model": model, "output": tmp_path}
    return main([argument for key, value in given.items() for argument in (f"--{key}", str(value))])


def refusal(model, tmp_path, capsys, **given):
    assert run(model, tmp_path, **given) == 1
    assert not list(tmp_path.glob("*.cellferry.zip"))
    return capsys.readouterr().err


@pytest.mark.parametrize("sgd", [False, True])
def test_a_model_is_packed_and_says_what_it_lacks(tmp_path, capsys, sgd):
    cells = simulate_cells(120, n_genes=60, labels=LABELS)
    content = train_celltypist(cells, sgd=sgd)
    write_celltypist(tmp_path / "Immune.pkl", content)
    pickle_of_other = tmp_path / "other.pkl"
    pickle_of_other.write_bytes(pickle.dumps([1]))
    assert run(tmp_path, tmp_path, organism="Homo sapiens") == 0
    said = capsys.readouterr().out
    kind = "SGDClassifier" if sgd else "LogisticRegression"
    assert f"Immune.pkl (CellTypist, {kind} of scikit-learn " in said
    assert "genes    60 (symbols, written as those of human)" in said
    assert "details: made up; source: a test; version: v1" in said
    archive = tmp_path / "theirs-1.cellferry.zip"
    out = tmp_path / "out"
    manifest = unpack(archive, out)
    assert list(manifest.labels) == sorted(LABELS)
    told = (manifest.organism, manifest.description, manifest.citation)
    assert told == ("Homo sapiens", "made up", "a test")
    assert manifest.settings["heads"] == ["celltypist"]
    missing = " ".join(manifest.missing)
    assert all(each in missing for each in ("no neighbors", "not calibrated", "counts of held-out", "scores"))
    assert all(f"  without {what}" in said for what in manifest.missing)
    assert LATENTS not in manifest.files
    assert not reference_of({"pretrained": str(archive)}).has_latents
    genes = pd.read_csv(out / "genes.tsv", sep="\t")
    assert genes["gene"].tolist() == cells.var_names.tolist()
    head = CelltypistHead.load(out / "reference/classifier")
    np.testing.assert_allclose(head.coefficients, content["Model"].coef_ / content["Scaler_"].scale_)
    decision = read_artifact(DecisionModel, out / "reference/calibration.json")
    assert decision.held_out.cells == 0
    assert set(decision.thresholds["label"].values()) == {0.95}


def test_the_same_model_makes_the_same_bytes(content, tmp_path):
    model = write_celltypist(tmp_path / "m.pkl", content)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert run(model, tmp_path / name) == 0
    one, other = (tmp_path / name / "theirs-1.cellferry.zip" for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


def test_what_is_told_comes_before_what_the_model_says(content, tmp_path):
    model = write_celltypist(tmp_path / "m.pkl", content)
    assert run(model, tmp_path, description="mine", citation="Doe") == 0
    manifest = unpack(tmp_path / "theirs-1.cellferry.zip", tmp_path / "out")
    assert (manifest.description, manifest.citation) == ("mine", "Doe")


def test_a_pickle_is_taken_in_only_where_it_is_trusted(content, tmp_path, capsys):
    model = write_celltypist(tmp_path / "m.pkl", content)
    said = refusal(model, tmp_path, capsys, trust="")
    assert f"MODEL={model}: is a pickle, like all CellTypist models" in said
    assert "give TRUST=1" in said


class Running:
    """Writes a file when it is opened as a pickle."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("trust", ["", "1"])
def test_a_model_that_would_run_code_is_refused_and_runs_none(changed, tmp_path, capsys, trust):
    model = changed(lambda model: model["description"].update(more=Running(tmp_path / "made")))
    assert "would call _io.open, which is not a part of a model" in refusal(
        model, tmp_path, capsys, trust=trust
    )
    assert not (tmp_path / "made").exists()


def test_other_pickles_are_refused(content, tmp_path, capsys):
    for number, other in enumerate(([1, 2], {"Model": LogisticRegression(), "scaler": StandardScaler()})):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps(other))
        assert "is not a CellTypist model trained with scikit-learn (it names " in refusal(
            path, tmp_path, capsys
        )
    cut = tmp_path / "cut.pkl"
    cut.write_bytes(pickle.dumps(content)[:-200])
    assert "(it names no class)" in refusal(cut, tmp_path, capsys)
    cut.write_bytes(pickle.dumps(content | {"Scaler_": content["Scaler_"], "more": bytes(1 << 20)})[:-9])
    assert "cut.pkl: is not a CellTypist model: " in refusal(cut, tmp_path, capsys)
    named = [*range(5), "Scaler_", LogisticRegression(), StandardScaler()]
    path = tmp_path / "list.pkl"
    path.write_bytes(pickle.dumps(named))
    assert "it is not a dictionary of Model, Scaler_" in refusal(path, tmp_path, capsys)


def set_in(part, **values):
    return lambda model: vars(model[part]).update(values)


def label_instead(name):
    def change(model):
        classes = model["Model"].classes_.astype(object)
        classes[1] = name
        model["Model"].classes_ = classes

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda model: model.update(Model=RidgeClassifier()),
            "contains a RidgeClassifier instead of Logistic",
        ),
        (
            lambda model: model.update(Scaler_=MinMaxScaler()),
            "contains a MinMaxScaler instead of StandardScaler",
        ),
        (lambda model: model.update(Model=LogisticRegression()), "it has no features"),
        (lambda model: vars(model["Model"]).pop("coef_"), "it has no coef_"),
        (
            set_in("Model", coef_=np.ones((3, 59))),
            r"its coefficients have the shape (3, 59), but it has 60 genes",
        ),
        (
            set_in("Model", coef_=np.ones((2, 60)), intercept_=np.zeros(2)),
            "3 labels, but 2 rows of coefficients",
        ),
        (
            set_in("Model", coef_=np.full((3, 60), np.nan)),
            "its coefficients contain missing or infinite values",
        ),
        (set_in("Model", features=np.array(["CD3E"] * 60)), "duplicate gene CD3E"),
        (set_in("Scaler_", scale_=np.zeros(60)), "its scale_ contains numbers that are not above 0"),
        (set_in("Scaler_", mean_=np.zeros(3)), "its mean_ is not one number for each of 60 genes"),
        (set_in("Scaler_", mean_=None), "it has no mean_"),
        (label_instead("Unassigned"), "its label 'Unassigned' means a missing label here; remove it with"),
        (label_instead("Heterogeneous"), "its label 'Heterogeneous' means a missing label here"),
        (label_instead("unknown"), "its label 'unknown' means a missing label here"),
        (label_instead("B cell "), "it has duplicate labels"),
    ],
)
def test_models_that_cannot_be_used(changed, tmp_path, capsys, change, expected):
    assert expected in refusal(changed(change), tmp_path, capsys)


def test_several_models_in_a_folder_are_refused_with_their_names(content, tmp_path, capsys):
    for name in ("a.pkl", "b.pkl"):
        write_celltypist(tmp_path / name, content)
    said = refusal(tmp_path, tmp_path, capsys)
    assert f"contains several CellTypist models; name one: MODEL={tmp_path / 'a.pkl'}, MODEL=" in said


def test_keys_of_models_with_latents_are_refused(content, tmp_path, capsys):
    model = write_celltypist(tmp_path / "m.pkl", content)
    said = refusal(model, tmp_path, capsys, label="cell_type", backbone="CD3")
    assert "LABEL=, BACKBONE=: " in said
    assert "without cells or latents); leave it out" in said


def test_numbers_as_labels_and_versions_of_ids(tmp_path):
    cells = simulate_cells(90, n_genes=30, labels=LABELS)
    cells.var_names = [f"ENSG{number:011}.3" for number in range(30)]
    cells.obs["cluster"] = cells.obs["cell_type"].cat.codes
    content = train_celltypist(cells, labels="cluster")
    content["Model"].classes_ = np.array([0, 1, 10])
    assert run(write_celltypist(tmp_path / "m.pkl", content), tmp_path) == 0
    manifest = unpack(tmp_path / "theirs-1.cellferry.zip", tmp_path / "out")
    assert (list(manifest.labels), manifest.namespace) == (["0", "1", "10"], "ensembl")
    assert pd.read_csv(tmp_path / "out/genes.tsv", sep="\t")["gene"][7] == "ENSG00000000007"
