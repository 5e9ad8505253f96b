import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry import needs
from cellferry.budget import Budget
from cellferry.errors import InputError
from cellferry.heads import load_heads, predict
from threadpoolctl import threadpool_limits
from train_classifier import train_classifier

SETTINGS = {
    "max_training_cells": 10_000,
    "neighbors": 15,
    "n_trees": 50,
    "max_depth": 6,
    "learning_rate": 0.1,
    "seed": 0,
    "budget": Budget(4000),
    "threads": 1,
}
CENTRES = {"T cell": 0, "B cell": 1, "γδ <T>": 2}


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def write_mapped(path, labels, *, seed=0, batches=("a", "b")):
    """A mapped file with each label's cells around a corner of its own; None is a cell without a label."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(0, 0.5, (len(labels), 4)).astype(np.float32)
    for row, label in enumerate(labels):
        latents[row, CENTRES.get(label, 3)] += 4
    columns = {
        "cell": pa.array([f"cell{row}" for row in range(len(labels))], pa.string()),
        "batch": pa.array([batches[row % len(batches)] for row in range(len(labels))], pa.string()),
        "label": pa.array(labels, pa.string()),
    }
    columns |= {f"latent_{number}": latents[:, number] for number in range(4)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.fixture
def mapped(tmp_path):
    """Training cells in three chunks, one of them empty, and validation cells."""
    chunks = [["T cell"] * 150 + ["B cell"] * 50 + [None] * 5, [], ["γδ <T>"] * 30 + ["T cell"] * 70]
    train = [write_mapped(tmp_path / f"ref/{n}.parquet", chunk, seed=n) for n, chunk in enumerate(chunks)]
    held_back = ["T cell"] * 20 + ["B cell"] * 20 + ["not in training"] * 3
    return train, [write_mapped(tmp_path / "validation/0.parquet", held_back, seed=9)]


def test_writes_heads_that_know_the_labels(mapped, tmp_path, capsys):
    train_classifier(*mapped, str(tmp_path / "classifier"), **SETTINGS)
    description = json.loads((tmp_path / "classifier/labels.json").read_text(encoding="utf-8"))
    assert description["labels"] == sorted(CENTRES)
    assert description["training_cells"] == {"B cell": 50, "T cell": 220, "γδ <T>": 30}
    assert description["validation_cells"] == 40
    assert set(description["validation_accuracy"]) == {"xgboost", "linear", "neighbors", "mean"}
    assert min(description["validation_accuracy"].values()) > 0.95
    assert description["settings"]["trees_kept"] <= 50
    latents = np.zeros((3, 4), dtype=np.float32)
    for row, label in enumerate(description["labels"]):
        latents[row, CENTRES[label]] = 4
    for probabilities in predict(load_heads(tmp_path / "classifier", threads=1), latents)[0].values():
        assert probabilities.argmax(axis=1).tolist() == [0, 1, 2]
    log = capsys.readouterr().out
    assert "training on 300 of the reference's 305 training cells" in log
    assert "no validation cell has the label(s): γδ <T>" in log


def test_nothing_is_pickled(mapped, tmp_path):
    train_classifier(*mapped, str(tmp_path / "classifier"), **SETTINGS)
    found = sorted(path.name for path in (tmp_path / "classifier").iterdir())
    assert found == ["labels.json", "linear.npz", "neighbors.parquet", "xgboost.ubj"]
    with np.load(tmp_path / "classifier/linear.npz", allow_pickle=False) as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            "coefficients": (3, 4),
            "intercepts": (3,),
            "mean": (4,),
            "scale": (4,),
        }


def test_the_cap_draws_evenly_over_labels_and_batches_and_says_so(mapped, tmp_path, capsys):
    settings = SETTINGS | {"max_training_cells": 150}
    train_classifier(*mapped, str(tmp_path / "classifier"), **settings)
    table = pq.read_table(tmp_path / "classifier/neighbors.parquet")
    sizes = np.bincount(table["code"].to_numpy())
    assert sizes.sum() == 150
    assert sizes[2] == 30  # the rare label is kept whole
    assert "at most 150 training cells: prediction.max_training_cells" in capsys.readouterr().out


def test_the_training_cells_are_capped_and_the_reason_is_told(mapped, tmp_path, capsys, monkeypatch):
    assert needs.training_cap(n_labels=100, max_training_cells=200_000) == 200_000
    assert needs.training_cap(n_labels=1000, max_training_cells=200_000) == 50_000
    monkeypatch.setattr(needs, "MOST_CELLS_TIMES_LABELS", 300)
    train_classifier(*mapped, str(tmp_path / "classifier"), **SETTINGS)
    said = capsys.readouterr().out
    assert "at most 100 training cells: XGBoost's memory grows with cells × 3 labels" in said
    assert "training on 100 of" in said


def test_too_little_memory_is_told_at_once(mapped, tmp_path):
    with pytest.raises(InputError, match=r"cannot run below \d+; .* or lower prediction\.max_training_cells"):
        train_classifier(*mapped, str(tmp_path / "classifier"), **{**SETTINGS, "budget": Budget(300)})


def test_without_validation_cells(mapped, tmp_path):
    empty = write_mapped(tmp_path / "validation/1.parquet", [])
    train_classifier(mapped[0], [empty], str(tmp_path / "classifier"), **SETTINGS)
    description = json.loads((tmp_path / "classifier/labels.json").read_text(encoding="utf-8"))
    assert set(description["validation_accuracy"].values()) == {None}


def test_the_same_seed_gives_the_same_files(mapped, tmp_path):
    for name in ("first", "again"):
        train_classifier(*mapped, str(tmp_path / name), **SETTINGS)
    for file in ("xgboost.ubj", "neighbors.parquet", "labels.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_one_label_is_refused(tmp_path):
    only = write_mapped(tmp_path / "ref/0.parquet", ["T cell"] * 10)
    with pytest.raises(InputError, match=r"1 label\(s\) \(T cell\)"):
        train_classifier([only], [only], str(tmp_path / "classifier"), **SETTINGS)
    assert not (tmp_path / "classifier").exists()
