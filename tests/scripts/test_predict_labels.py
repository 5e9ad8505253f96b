import json

import numpy as np
import pandas as pd
import predict_labels as script
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.boosted_trees import XGBoostHead
from cellferry.budget import Budget
from cellferry.linear_model import LinearHead
from cellferry.neighbors import NeighborsHead
from predict_labels import answer, predict_labels
from threadpoolctl import threadpool_limits

LABELS = ["B", "NK", "T"]
COLUMNS = [
    "cell", "label", "best_label", "probability", "runner_up", "runner_up_probability", "distance",
    "xgboost_label", "xgboost_probability", "linear_label", "linear_probability",
    "neighbors_label", "neighbors_probability",
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Classifiers for three blobs, at 4 on one axis each."""
    folder = tmp_path_factory.mktemp("classifier")
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], 80)
    latents = (4 * np.eye(4)[codes] + rng.normal(0, 0.5, (240, 4))).astype(np.float32)
    nothing = (latents[:0], codes[:0])
    settings = {"n_labels": 3, "n_trees": 60, "max_depth": 4, "learning_rate": 0.1, "threads": 1, "seed": 0}
    XGBoostHead.train(latents, codes, nothing, **settings).save(folder)
    LinearHead.train(latents, codes).save(folder)
    NeighborsHead.train(latents, codes, latents[:0], n_neighbors=15, n_labels=3).save(folder)
    (folder / "labels.json").write_text(json.dumps({"labels": LABELS}), encoding="utf-8")
    return folder


def write_mapped(path, latents, labels=None):
    names = [f"cell{row}" for row in range(len(latents))]
    table = {
        "cell": pa.array(names, pa.string()),
        "batch": pa.array(["a"] * len(latents), pa.string()),
        "label": pa.array(labels or [None] * len(latents), pa.string()),
    }
    latents = np.asarray(latents, dtype=np.float32).reshape(-1, 4)
    table |= {f"latent_{number}": latents[:, number] for number in range(4)}
    pq.write_table(pa.table(table), path)
    return path


def predict(tmp_path, classifier, latents, labels=None, **settings):
    mapped = write_mapped(tmp_path / "mapped.parquet", latents, labels)
    settings = {"min_probability": 0.5, "max_distance": None, "budget": Budget(3000), "threads": 1} | settings
    predict_labels(str(mapped), str(classifier), str(tmp_path / "predictions.parquet"), **settings)
    return pd.read_parquet(tmp_path / "predictions.parquet")


def test_cells_in_a_blob_get_its_label_in_the_order_they_came(tmp_path, classifier):
    order = np.random.default_rng(1).integers(0, 3, 200)
    found = predict(tmp_path, classifier, 4 * np.eye(4)[order])
    assert list(found.columns) == COLUMNS
    assert found["cell"].tolist() == [f"cell{row}" for row in range(200)]
    for column in ("label", "best_label", "xgboost_label", "linear_label", "neighbors_label"):
        assert found[column].tolist() == [LABELS[code] for code in order], column
    assert (found["probability"] > 0.9).all()
    assert (found["runner_up"] != found["best_label"]).all()


def test_probability_is_the_mean_of_the_heads(tmp_path, classifier):
    found = predict(tmp_path, classifier, 4 * np.eye(4)[[0, 1, 2]])
    heads = found[["xgboost_probability", "linear_probability", "neighbors_probability"]]
    np.testing.assert_allclose(found["probability"], heads.mean(axis=1), atol=1e-6)


def test_ambiguous_cells_are_unknown(tmp_path, classifier):
    between = np.array([[4, 4, 4, 0], [1.3, 1.3, 1.3, 0]])
    found = predict(tmp_path, classifier, np.concatenate([between, 4 * np.eye(4)[:3]]), min_probability=0.8)
    assert found["label"].tolist() == ["unknown", "unknown", *LABELS]
    assert set(found["best_label"]) <= set(LABELS)
    assert (found["probability"][:2] < 0.8).all()


def test_the_threshold_decides(tmp_path, classifier):
    latents = np.random.default_rng(0).normal(1, 2, (100, 4))
    none = predict(tmp_path, classifier, latents, min_probability=0)
    some = predict(tmp_path, classifier, latents, min_probability=0.7)
    every = predict(tmp_path, classifier, latents, min_probability=1.0)
    assert not (none["label"] == "unknown").any()
    assert ((some["label"] == "unknown") == (some["probability"] < 0.7)).all()
    assert (every["label"] == "unknown").mean() > 0.9


def test_cells_far_from_the_reference_are_unknown_however_sure_the_heads(tmp_path, classifier):
    latents = np.concatenate([40 * np.eye(4)[:3], 4 * np.eye(4)[:3]])
    sure = predict(tmp_path, classifier, latents)
    assert sure["label"].tolist() == LABELS * 2
    assert (sure["distance"] > 1).tolist() == [True] * 3 + [False] * 3
    limited = predict(tmp_path, classifier, latents, max_distance=1.0)
    assert limited["label"].tolist() == ["unknown"] * 3 + LABELS
    assert limited["best_label"].tolist() == LABELS * 2


def test_truth_is_carried_where_there_is_any(tmp_path, classifier):
    found = predict(tmp_path, classifier, 4 * np.eye(4)[:3], ["B", None, "HSC"])
    assert list(found.columns) == [*COLUMNS, "truth"]
    assert found["truth"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize("n_cells", [0, 1])
def test_a_chunk_of_no_or_one_cell(tmp_path, classifier, n_cells):
    found = predict(tmp_path, classifier, 4 * np.eye(4)[:n_cells])
    assert list(found.columns) == COLUMNS
    assert found["best_label"].tolist() == LABELS[:n_cells]


def test_blocks_do_not_change_the_answer(tmp_path, classifier, monkeypatch):
    latents = np.random.default_rng(0).normal(1, 2, (700, 4))
    whole = predict(tmp_path, classifier, latents)
    monkeypatch.setattr(script, "ROWS_PER_GROUP", 256)
    pieces = predict(tmp_path, classifier, latents)
    pd.testing.assert_frame_equal(whole, pieces, rtol=0, atol=1e-6)


def test_runner_up_of_two_labels():
    columns = answer(
        {"one": np.array([[0.2, 0.8]], np.float32)},
        np.ones(1, np.float32),
        ["a", "b"],
        min_probability=0.5,
        max_distance=None,
    )
    assert columns["best_label"][0] == "b"
    assert columns["runner_up"][0] == "a"
    assert columns["runner_up_probability"][0] == pytest.approx(0.2)
