"""The configuration: an earlier run or an imported model in place of a reference."""

import os
import pickle

import pytest
from cellferry.config.checks import check
from cellferry.config.schema import fill_defaults
from configurations import problems, small_config
from placeholders import write_earlier_run


@pytest.fixture
def config(tmp_path):
    return small_config(tmp_path)


@pytest.fixture
def trained_before(config, tmp_path):
    """A configuration with the results of an earlier run in place of a reference."""
    write_earlier_run(tmp_path / "earlier")
    del config["datasets"]["atlas"]
    return config | {"pretrained": str(tmp_path / "earlier")}


def test_the_results_of_an_earlier_run_take_the_place_of_a_reference(trained_before):
    check(trained_before, config_files=[])


def test_what_is_missing_of_an_earlier_run_is_listed(trained_before, tmp_path):
    (tmp_path / "earlier/reference/calibration.json").unlink()
    (tmp_path / "earlier/genes.tsv").unlink()
    said = problems(trained_before)
    assert "has no genes.tsv, reference/calibration.json; name the folder" in said
    assert str(tmp_path / "earlier") in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"format": 99}',
            "contains results of format 99, but this version reads format 7; run it again with",
        ),
        (
            '{"format": 2, "labels": {"B": {"cells": 9, "predictable": true}}, "levels": []}',
            "contains results of format 2, but this version reads format 7; run it again with this",
        ),
        ('{"labels"', "labels.json cannot be read ("),
    ],
)
def test_an_earlier_run_of_another_format_or_cut_off(trained_before, tmp_path, text, said):
    (tmp_path / "earlier/reference/labels.json").write_text(text)
    assert said in problems(trained_before)


def test_files_of_an_older_format_are_not_missed(trained_before, tmp_path):
    (tmp_path / "earlier/reference/labels.json").write_text("{}")
    (tmp_path / "earlier/reference/calibration.json").unlink()
    assert "contains results of format 1, but" in problems(trained_before)
    assert "calibration.json" not in problems(trained_before)


def test_a_reference_beside_an_earlier_runs(trained_before, config):
    trained_before["datasets"]["atlas"] = config["datasets"]["patients"] | {"role": "reference", "label": "x"}
    assert "datasets.atlas.role: `pretrained` already gives the reference" in problems(trained_before)


def test_its_own_results_are_no_earlier_runs(trained_before, tmp_path, monkeypatch):
    (tmp_path / "earlier").rename(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    assert "where this run writes its own results" in problems(trained_before | {"pretrained": "results"})


@pytest.fixture
def imported(config, tmp_path):
    """A configuration with a pre-trained model in place of a reference."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.pt").touch()
    (tmp_path / "cells.csv").write_text("cell,cell_type,donor,latent_0\na,B,d,1\n")
    del config["datasets"]["atlas"]
    given = {"model": str(tmp_path / "model"), "latents": str(tmp_path / "cells.csv"), "label": "cell_type"}
    return config | {"pretrained": given}


def test_a_model_of_others_takes_the_place_of_a_reference(imported):
    check(imported, config_files=[])
    fill_defaults(imported)
    assert imported["pretrained"]["batch"] is None
    assert imported["pretrained"]["key"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "nowhere"}, "has no file model.pt; name the folder"),
        ({"latents": "nowhere.h5ad"}, "pretrained.latents: there is no file nowhere.h5ad"),
        ({"label": "celltype"}, "has no column 'celltype' (did you mean 'cell_type'?)"),
        ({"batch": "sample"}, "pretrained.batch: "),
        ({"genes": "x"}, "pretrained: there is no key 'genes'"),
        ({"label": None}, "pretrained.label: None is not of type 'string'"),
    ],
)
def test_a_mistake_in_a_model_of_others_is_named(imported, change, said):
    imported["pretrained"] |= change
    assert said in problems(imported)


@pytest.fixture
def imported_cytovi(imported, tmp_path):
    """A configuration with a pre-trained CytoVI model, and its scaling."""
    (tmp_path / "scaling.csv").write_text("marker,low,high\nCD3,0.1,5\n")
    imported["pretrained"]["scaling"] = str(tmp_path / "scaling.csv")
    return imported | {"modality": "cytometry"}


def test_a_cytovi_model_comes_with_its_scaling(imported_cytovi):
    check(imported_cytovi, config_files=[])
    fill_defaults(imported_cytovi)
    assert imported_cytovi["pretrained"]["backbone"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scaling": "nowhere.csv"}, "pretrained.scaling: there is no file nowhere.csv"),
        ({"scaling": "cells.csv"}, "has no column marker, low, high; it has: cell, cell_type, donor"),
        ({"backbone": []}, "pretrained.backbone: [] "),
        ({"backbone": "CD3"}, "pretrained.backbone: 'CD3' is not of type 'array', 'null'"),
    ],
)
def test_a_mistake_in_the_scaling_of_a_model_is_named(imported_cytovi, tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    imported_cytovi["pretrained"] |= change
    assert said in problems(imported_cytovi)


def test_a_model_that_says_how_it_is_scaled_is_not_told(imported_cytovi, tmp_path):
    (tmp_path / "model/transformation.json").touch()
    assert "already contains the scaling of values (transformation.json)" in problems(imported_cytovi)


def test_only_intensities_are_scaled(imported_cytovi):
    said = problems(imported_cytovi | {"modality": "rna"})
    assert "pretrained.scaling: has no effect for modality rna" in said


def test_what_a_model_of_others_needs(imported):
    del imported["pretrained"]["label"]
    assert "pretrained: the key 'label' is missing" in problems(imported)


@pytest.mark.parametrize("heads", [["expression"], ["expression", "expression_xgboost"]])
def test_expression_alone_takes_counts(imported, heads):
    for modality in ("rna", "cytometry"):
        said = problems(imported | {"prediction": {"heads": heads}, "modality": modality})
        assert f"[{', '.join(heads)}] leaves no head to predict with: a pre-trained model" in said


def test_cytovis_vote_takes_no_counts(imported):
    check(
        imported | {"prediction": {"heads": ["cytovi"]}, "modality": "cytometry"},
        config_files=[],
    )


class Making:
    """Makes a folder when it is opened as a pickle."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_a_model_of_others_is_refused_unless_it_is_trusted(imported, tmp_path):
    (tmp_path / "model/model.pt").write_bytes(pickle.dumps({"attr_dict": Making(tmp_path / "made")}, 2))
    said = problems(imported)
    assert "pretrained.model: " in said
    assert (
        "would call posix.mkdir, which is not a part of a model: opening such a file runs its author's code"
        in said
    )
    assert "set pretrained.trust: true" in said
    imported["pretrained"]["trust"] = True
    check(imported, config_files=[])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("model", ["reference/model/model.pt", "mapped/validation/model/model.pt"])
def test_code_in_a_model_of_an_earlier_run_is_refused(trained_before, tmp_path, model):
    (tmp_path / "earlier" / model).write_bytes(pickle.dumps([Making(tmp_path / "made")]))
    said = problems(trained_before)
    assert f"{model} would call posix.mkdir" in said
    assert "cellferry does not write such a file: get the folder again from its source" in said
    assert "trust:" not in said
    assert not (tmp_path / "made").exists()
