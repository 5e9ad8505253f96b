"""Models whose files would run code: refused, or opened if trusted; only data are kept."""

import os
import pathlib
import shutil
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from cellferry.config.settings import LabelSettings, PretrainedSettings, SplitSettings
from cellferry.core.pickles import code_in, names_in
from cellferry.errors import InputError
from cellferry.model.imported import import_model
from cellferry.model.saved import as_data, saved_model
from cellferry.model.scvi_models import (
    cells_for_model,
    known_batches,
    load_for_query,
    load_model,
    model_class,
)
from cellferry.resources.budget import Budget
from foreign import train_foreign, written_to
from import_reference import import_reference
from simulate import settings_like


class Making:
    """Object that makes a folder when it is opened as a pickle."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    train_foreign(folder, epochs=1, n_cells=200, encode_covariates=True)
    return folder


@pytest.fixture
def hostile(foreign, tmp_path):
    """Function that writes the model with code in one place, and returns its folder."""

    def write(change):
        saved = torch.load(foreign / "model/model.pt", weights_only=False)
        change(saved)
        (tmp_path / "hostile").mkdir()
        torch.save(saved, tmp_path / "hostile/model.pt")
        return tmp_path / "hostile"

    return write


PLACES = {
    "an attribute": lambda code: lambda saved: saved["attr_dict"].update(more_=code),
    "the registry": lambda code: lambda saved: saved["attr_dict"]["registry_"].update(more=code),
    "the losses": lambda code: lambda saved: saved["attr_dict"]["history_"].update(more=code),
    "the weights": lambda code: lambda saved: saved["model_state_dict"].update(more=code),
    "names": lambda code: lambda saved: saved.update(var_names=np.array([code] * 60, dtype=object)),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_code_runs_wherever_it_is(hostile, tmp_path, place):
    folder, made = hostile(PLACES[place](Making(tmp_path / "made"))), tmp_path / "made"
    for opening in (
        lambda: import_model(str(folder), tmp_path / "adopted"),
        lambda: saved_model(folder),
        lambda: model_class(folder),
        lambda: known_batches(folder),
    ):
        with pytest.raises(
            InputError, match=r"model.pt would call posix.mkdir, which is not a part of a model"
        ):
            opening()
    assert not made.exists()
    assert not (tmp_path / "adopted").exists()


def test_a_trusted_model_is_opened_and_what_is_kept_of_it_is_data(foreign, hostile, tmp_path):
    folder = hostile(PLACES["an attribute"](Making(tmp_path / "made")))
    with pytest.raises(InputError, match=r"if you trust its author, set pretrained.trust: true"):
        import_model(str(folder), tmp_path / "adopted")
    given = {"model": str(folder), "latents": str(foreign / "cells.h5ad"), "label": "annotation"}
    import_reference(
        settings_like(PretrainedSettings, **given, batch="donor", trust=True),
        written_to(tmp_path),
        split=settings_like(SplitSettings),
        labels=settings_like(LabelSettings),
        modality="rna",
        cofactor="auto",
        seed=0,
        budget=Budget(3000),
        threads=1,
    )
    assert (tmp_path / "made").exists()
    assert code_in(tmp_path / "model/model.pt") == []
    assert not any(name.startswith("pandas") for name in names_in(tmp_path / "model/model.pt"))


def test_trust_is_not_needed_by_what_scvi_tools_saves(foreign, tmp_path):
    assert code_in(foreign / "model/model.pt") == []
    import_model(str(foreign / "model"), tmp_path / "adopted", trust=False)
    assert known_batches(tmp_path / "adopted") == ["d1", "d2", "d3", "d4"]


def test_tables_of_other_versions_of_pandas_are_left_out(foreign, hostile, tmp_path, monkeypatch):
    module = ModuleType("pandas.core.indexes.numeric")

    class Int64Index:
        pass

    Int64Index.__module__, Int64Index.__qualname__ = module.__name__, "Int64Index"
    module.Int64Index = Int64Index
    with monkeypatch.context() as context:
        context.setitem(sys.modules, module.__name__, module)
        folder = hostile(PLACES["the losses"](Int64Index()))
    assert set(saved_model(folder)["attr_dict"]) == set(saved_model(foreign / "model")["attr_dict"])


def test_a_function_of_pandas_is_not_called(hostile, tmp_path):
    class Writing:
        def __reduce__(self):
            return pd.DataFrame.to_csv, (pd.DataFrame(), str(tmp_path / "made"))

    folder = hostile(PLACES["an attribute"](Writing()))
    with pytest.raises(InputError):
        saved_model(folder)
    assert not (tmp_path / "made").exists()


def test_what_scvi_tools_opens_itself_is_data_too(foreign, hostile, tmp_path, monkeypatch):
    """Even if a file is replaced between the check of its names and scvi-tools."""
    genes = pd.Index([f"GENE{number}" for number in range(60)])
    import_model(str(foreign / "model"), tmp_path / "adopted")
    cells = cells_for_model(np.ones((4, 60), dtype=np.float32), genes, np.array(["d1", "d2", "d3", "new"]))
    assert load_for_query(tmp_path / "adopted", cells, accelerator="cpu").history_ == {}
    kind = model_class(tmp_path / "adopted")
    shutil.copy(hostile(PLACES["the losses"](Making(tmp_path / "made"))) / "model.pt", tmp_path / "adopted")
    monkeypatch.setattr("cellferry.model.scvi_models.model_class", lambda folder: kind)
    for load in (load_model, load_for_query):
        with pytest.raises(InputError, match=r"would call posix.mkdir"):
            load(tmp_path / "adopted", cells, accelerator="cpu")
    assert not (tmp_path / "made").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved.update(attr_dict=[1]),
        lambda saved: saved["attr_dict"].update(registry_=[1]),
        lambda saved: saved["attr_dict"]["registry_"].pop("field_registries"),
        lambda saved: saved["attr_dict"]["registry_"].update(field_registries={"batch": 1}),
        lambda saved: saved["attr_dict"]["registry_"].update(setup_args=3),
        lambda saved: saved.update(var_names=None),
    ],
)
def test_data_that_is_no_model_is_refused(hostile, tmp_path, change):
    with pytest.raises(
        InputError, match=r"pretrained.model: .* is not a (file of scvi-tools|SCVI model as scvi-tools)"
    ):
        import_model(str(hostile(change)), tmp_path / "adopted")


def test_data_of_other_kinds_becomes_plain():
    given = {"index": pd.Index(["a", "b"]), "number": np.int64(3), "more": (np.array([None, "x"]), {1})}
    made = as_data(given)
    assert made["index"].tolist() == ["a", "b"]
    assert type(made["number"]) is int
    assert made["more"][0].tolist() == [None, "x"]
    with pytest.raises(TypeError, match=r"pathlib"):
        as_data({"path": [pathlib.Path("x")]})
