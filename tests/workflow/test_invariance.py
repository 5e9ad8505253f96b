"""Results do not depend on the number of chunks; on real cells."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from cellferry.config.settings import LimitSettings
from cellferry.resources.budget import Budget
from content import content, contents
from map_query import map_query
from predict_labels import predict_labels
from running import snakemake
from simulate import settings_like

pytestmark = pytest.mark.slow

# Before and after the reference's name: batches are sorted by name.
CHUNKS = {"all_at_once": 1, "in_3": 3}
MANY_CHUNKS = 25
# Here they were equal to the last bit; another processor may sum the rows of a product in another order.
TOLERANCE = 1e-6


def config(test_data, *, reference_chunks, queries):
    """Cell lines by CEL-seq2, and the same Drop-seq cells as several queries; trained to convergence."""
    cells = {"cells": {"demuxlet_cls": ["SNG"]}, "label": "cell_line_demuxlet"}
    reference = {"role": "reference", "path": str(test_data / "cellmix" / "ref_celseq2_5cl.h5ad")}
    query = {"role": "query", "path": str(test_data / "cellmix" / "query_dropseq.h5ad")}
    return {
        "datasets": {
            "celseq2": {**reference, **cells, "batch": "plate", "chunks": reference_chunks},
            **{name: {**query, **cells, "chunks": CHUNKS[name]} for name in queries},
        },
        "genes": {"n_variable": 500},
        "model": {"epochs": 20, "n_latent": 8, "n_hidden": 32, "n_layers": 1},
        "surgery": {"epochs": 20},
        "prediction": {"n_trees": 30},
    }


def results(folder, settings, *targets):
    result = snakemake(folder, *targets, "--cores", "2", config=settings)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "results"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, test_data):
    """A run whose queries are the same file, in 1 and in 3 chunks; its results."""
    settings = config(test_data, reference_chunks=1, queries=CHUNKS)
    targets = [f"results/predictions/{name}.parquet" for name in CHUNKS]
    return results(tmp_path_factory.mktemp("whole"), settings, *targets)


def query(whole, name):
    """A query's predictions, latents and fitted model."""
    mapped = [pd.read_parquet(whole / f"mapped/{name}/{chunk}.parquet") for chunk in range(CHUNKS[name])]
    return SimpleNamespace(
        predictions=pd.read_parquet(whole / f"predictions/{name}.parquet"),
        latents=pd.concat(mapped).filter(like="latent_").to_numpy(),
        model=torch.load(whole / f"mapped/{name}/model/model.pt", weights_only=False)["model_state_dict"],
    )


def test_labels_do_not_depend_on_the_chunks(whole):
    expected, found = query(whole, "all_at_once").predictions, query(whole, "in_3").predictions
    assert len(found) == 210
    assert (found["best_label"] == found["truth"]).mean() > 0.9
    for column in expected.select_dtypes(exclude="number"):
        assert list(found[column]) == list(expected[column]), column
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("table", ["label_genes", "shifted_genes"])
def test_genes_of_labels_do_not_depend_on_the_chunks(whole, table):
    expected, found = (
        (whole / f"predictions/{name}/{table}.tsv").read_bytes() for name in ("all_at_once", "in_3")
    )
    assert found == expected
    assert table == "shifted_genes" or expected.count(b"\n") > 10


def test_latents_do_not_depend_on_the_chunks(whole):
    expected, found = query(whole, "all_at_once").latents, query(whole, "in_3").latents
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_many_small_chunks(whole, tmp_path):
    """By the scripts' functions: jobs would spend most time on starting."""
    expected = query(whole, "all_at_once")
    latents, predictions = [], []
    for chunk in range(MANY_CHUNKS):
        mapped, predicted = tmp_path / f"{chunk}_mapped.parquet", tmp_path / f"{chunk}.parquet"
        map_query(
            str(whole / "common" / "all_at_once.h5ad"),
            str(whole / "mapped" / "all_at_once" / "model"),
            str(mapped),
            chunk=chunk,
            chunks=MANY_CHUNKS,
            budget=Budget(2000),
            threads=1,
        )
        predict_labels(
            str(mapped),
            str(whole / "common" / "all_at_once.h5ad"),
            str(whole / "reference" / "classifier"),
            str(whole / "mapped" / "all_at_once" / "raised.json"),
            str(predicted),
            chunk=chunk,
            chunks=MANY_CHUNKS,
            limits=settings_like(LimitSettings),
            budget=Budget(2000),
            threads=1,
        )
        latents.append(pd.read_parquet(mapped).filter(like="latent_").to_numpy())
        predictions.append(pd.read_parquet(predicted))
    np.testing.assert_allclose(np.concatenate(latents), expected.latents, rtol=0, atol=TOLERANCE)
    found = pd.concat(predictions, ignore_index=True)
    columns = [column for column in found if column in expected.predictions]
    assert {"cell", "label", "best_label", "probability"} <= set(columns)
    pd.testing.assert_frame_equal(found[columns], expected.predictions[columns], rtol=0, atol=TOLERANCE)


def test_surgery_depends_on_the_cells_alone(whole):
    """Not on the dataset's name, which is in its batches' names."""
    expected, found = query(whole, "all_at_once").model, query(whole, "in_3").model
    assert list(found) == list(expected)
    tensors = [weights for weights in expected if isinstance(expected[weights], torch.Tensor)]
    assert len(tensors) > 10
    for weights in tensors:
        assert torch.equal(found[weights], expected[weights]), weights


def test_what_the_model_trains_on_does_not_depend_on_the_references_chunks(whole, tmp_path, test_data):
    settings = config(test_data, reference_chunks=7, queries=["all_at_once"])
    again = results(tmp_path, settings, "results/reference/store.zarr")
    store = contents(again / "reference" / "store.zarr")
    assert len(store) > 5
    assert store == contents(whole / "reference" / "store.zarr")
    for part in ("reference", "validation", "test"):
        name = f"common/{part}.h5ad"
        assert content(again / name) == content(whole / name), part
    assert content(again / "genes.tsv") == content(whole / "genes.tsv")
