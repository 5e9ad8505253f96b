"""Two runs with the same seed give the same labels, to the last digit; each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cellferry.runs.hashes import of_predictions
from example_artifacts import write_reference_labels
from simulate import simulate_cells, write_cells

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

CHAIN = """
import sys
from pathlib import Path
from calibrate_classifier import calibrate_classifier
from cellferry.config.settings import ClassifierSettings, LimitSettings, ModelSettings, SurgerySettings
from cellferry.heads.training import TrainingFiles
from cellferry.resources.budget import Budget
from fit_query_model import fit_query_model
from map_query import map_query
from predict_labels import predict_labels
from shuffle_reference import shuffle_reference
from simulate import settings_like
from threadpoolctl import threadpool_limits
from train_classifier import train_classifier
from train_reference_model import train_reference_model

inputs, seed = Path(sys.argv[1]), int(sys.argv[2])
job = {"budget": Budget(4000), "threads": 2}

shuffle_reference(str(inputs / "reference.h5ad"), "store.zarr", seed=seed, budget=Budget(2000))
train_reference_model(
    "store.zarr", model="model", history="history.csv", checkpoints="checkpoints", minutes=60, gpu=0,
    settings=settings_like(ModelSettings, epochs=4, n_hidden=16, n_latent=4, n_layers=1), seed=seed, **job,
)
for part in ("reference", "validation", "query"):
    common, model = str(inputs / f"{part}.h5ad"), "model"
    if part != "reference":
        model = f"{part}_model"
        fit_query_model(
            common,
            "model",
            model,
            settings=settings_like(SurgerySettings, epochs=4, sketch_cells=200),
            batch_size=128,
            seed=seed,
            gpu=0,
            **job,
        )
    map_query(common, model, f"{part}.parquet", chunk=0, chunks=1, **job)
with threadpool_limits(2):
    files = TrainingFiles(
        ["reference.parquet"],
        ["validation.parquet"],
        "model",
        str(inputs / "reference.h5ad"),
        str(inputs / "validation.h5ad"),
    )
    train_classifier(
        files, str(inputs / "labels.json"), "classifier",
        settings=settings_like(ClassifierSettings, n_trees=10), modality="rna", seed=seed, **job,
    )
    calibrate_classifier(
        ["validation.parquet"], ["reference.parquet"], str(inputs / "validation.h5ad"), "classifier", "model",
        str(inputs / "genes.tsv"), "calibration.json", max_error=0.05, seed=seed, **job,
    )
    predict_labels(
        "query.parquet", str(inputs / "query.h5ad"), "classifier", "calibration.json", "predictions.parquet",
        chunk=0, chunks=1, limits=settings_like(LimitSettings), **job,
    )
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Counts of a reference's training and validation cells, and of a query whose labels are similar."""
    folder = tmp_path_factory.mktemp("inputs")
    for seed, (part, batches) in enumerate(
        {"reference": ("a", "b"), "validation": ("c",), "query": ("x", "y")}.items()
    ):
        cells = simulate_cells(400, n_genes=60, batches=batches, shift=0.5, seed=seed)
        write_cells(folder / f"{part}.h5ad", cells, "query" if part == "query" else "atlas")
    (folder / "genes.tsv").write_text("gene\n")
    write_reference_labels(folder / "labels.json", ["B cell", "NK", "T cell"])
    return folder


def run(inputs, folder, seed):
    folder.mkdir()
    path = os.pathsep.join(str(ROOT / name) for name in ("scripts", "tests"))
    # Another order of sets in every process.
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "random", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-c", CHAIN, str(inputs), str(seed)]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder / "predictions.parquet"


def test_two_runs_give_the_same_labels_to_the_last_digit(inputs, tmp_path):
    first, again = (run(inputs, tmp_path / name, seed=3) for name in ("first", "again"))
    predictions = pd.read_parquet(first)
    assert len(set(predictions["label"])) > 1
    assert len(set(predictions["linear_probability"])) > 100
    pd.testing.assert_frame_equal(pd.read_parquet(again), predictions, check_exact=True)
    # The same weights and classifiers byte for byte, or their hashes would differ.
    assert of_predictions([str(again)]) == of_predictions([str(first)])
