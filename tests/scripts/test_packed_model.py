"""Packed models: arrays and JSON of which scvi-tools' own model is made again."""

import json
import pickletools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cellferry.errors import InputError
from cellferry.mapping.encoder import ENCODER, WEIGHTS, Encoder
from cellferry.model.packed import ARGUMENTS, is_packed_model, pack_model, unpack_model
from cellferry.model.plain_arrays import encoder_of
from cellferry.model.scvi_models import (
    MASK,
    cells_for_model,
    model_class,
    new_cytovi,
    new_model,
    scanvi_from_scvi,
    skeleton,
)
from cellferry.model.surgery import model_with_new_batches
from simulate import simulate_cells

GENES = [f"GENE{number}" for number in range(20)]
BATCHES = ["atlas/b", "atlas/a", "lung/c"]
LABELS = ["T cell", "B/plasma", "Unknown"]
KINDS = ("SCVI", "SCANVI", "CYTOVI", "one batch")


@pytest.fixture(scope="module", params=KINDS)
def saved(request, trained, tmp_path_factory):
    """The folder of a model with random weights, as scvi-tools saves it, and the packed one."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    torch.manual_seed(3)
    if request.param == "CYTOVI":
        measured = {"atlas": [True] * 20, "lung": [True] * 15 + [False] * 5}
        cells = skeleton(GENES, BATCHES, ["T cell"], measured)
        model = new_cytovi(cells, trained.settings, [True] * 15 + [False] * 5)
    else:
        batches = BATCHES[:1] if request.param == "one batch" else BATCHES
        model = new_model(skeleton(GENES, batches, LABELS), trained.settings)
        model.is_trained_ = True
        if request.param == "SCANVI":
            model = scanvi_from_scvi(model)
    model.is_trained_ = True
    model.save(str(folder / "saved"))
    encoder_of(model).save(folder / "saved")
    (folder / "packed").mkdir()
    pack_model(folder / "saved", folder / "packed")
    return folder / "saved", folder / "packed"


def query(kind, batches=("new/x", "new/y")):
    cells = simulate_cells(60, n_genes=20, batches=batches, seed=4)
    measured = np.ones(20) if kind == "CYTOVI" else None
    return cells_for_model(cells.X, pd.Index(GENES), cells.obs["sample"].to_numpy(), measured)


def same_weights(model, other):
    weights, others = model.module.state_dict(), other.module.state_dict()
    return weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)


def test_it_is_the_model_that_was_saved(saved):
    folder, packed = saved
    model = unpack_model(packed)
    kind = model_class(folder)
    assert type(model) is kind
    cells = query(kind.__name__, batches=tuple(Encoder.load(folder, GENES).batches))
    original = kind.load(str(folder), adata=cells, accelerator="cpu")
    assert same_weights(model, original)
    own, its = (encoder_of(each) for each in (original, model))
    assert own.batches == its.batches
    assert own.genes == its.genes
    for mine, others in zip((*own.weights, *own.by_batch[0]), (*its.weights, *its.by_batch[0]), strict=True):
        np.testing.assert_array_equal(mine, others)
    skipped = {MASK, "sample_id"}
    states = [
        {name: field["state_registry"].get("categorical_mapping") for name, field in each.items()}
        for each in (registry["field_registries"] for registry in (model.registry_, original.registry_))
    ]
    for name in states[0].keys() - skipped:
        assert np.array_equal(states[0][name], states[1][name]), name


def test_surgery_is_the_same(saved):
    """The same draws give the same weights to new batches, whichever of the two it begins with."""
    folder, packed = saved
    fitted = []
    for of in (folder, packed):
        scvi.settings.seed = 5
        model = model_with_new_batches(str(of), query(model_class(folder).__name__), accelerator="cpu")
        model.train(max_epochs=1, batch_size=30, accelerator="cpu", plan_kwargs={"weight_decay": 0.0})
        fitted.append(model)
    assert same_weights(*fitted)


def test_nothing_in_it_is_a_pickle(saved):
    _, packed = saved
    assert {path.name for path in packed.iterdir()} == {WEIGHTS, ARGUMENTS}
    with np.load(packed / WEIGHTS, allow_pickle=False) as weights:
        assert all(weights[name].dtype.kind in "fi" for name in weights.files)
    for path in packed.iterdir():
        with pytest.raises(ValueError, match=r".+"):
            list(pickletools.genops(path.read_bytes()))
    assert is_packed_model(packed)


def test_the_encoder_is_held_against_its_weights(saved, tmp_path):
    folder, packed = saved
    Encoder.load(folder, GENES).save(packed)
    loaded = Encoder.load(packed, GENES)
    assert loaded.genes == GENES
    other = np.load(packed / WEIGHTS)
    changed = {name: other[name] for name in other.files}
    changed["z_encoder.mean_encoder.bias"] = changed["z_encoder.mean_encoder.bias"] + 1
    for name in (ENCODER, ARGUMENTS):
        (tmp_path / name).write_bytes((packed / name).read_bytes())
    np.savez(tmp_path / WEIGHTS, **changed)
    (packed / ENCODER).unlink()
    with pytest.raises(InputError, match=r"it was made from another weights.npz"):
        Encoder.load(tmp_path, GENES)


def edit(packed, target, **changed):
    for path in packed.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    content = json.loads((packed / ARGUMENTS).read_text())
    (target / ARGUMENTS).write_text(json.dumps(content | changed))
    return Path(target)


@pytest.mark.parametrize(
    "changed", [{"class": "Evil"}, {"arguments": {"n_latent": 3}}, {"genes": ["A"]}, {"batches": 3}]
)
def test_what_makes_no_model_is_refused(saved, tmp_path, changed):
    _, packed = saved
    with pytest.raises(InputError, match=rf"{tmp_path}: its model.json and weights.npz do not make a model"):
        unpack_model(edit(packed, tmp_path, **changed))
