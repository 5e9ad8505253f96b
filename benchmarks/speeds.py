"""Cells per second of the parts of training, mapping and prediction on one core.

    python benchmarks/speeds.py FOLDER    # in the work folder of a run; `scale.py --only speeds` makes one

One-time starts (loading models, setting up trainers) are left out: a part is timed on few and on many cells,
and the difference counts.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import scvi
import zarr
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ClassifierLabels
from cellferry.artifacts.latents import count_cells, read_latents
from cellferry.config.schema import fill_defaults
from cellferry.config.settings import LimitSettings, ModelSettings, settings_of
from cellferry.heads.registry import ON_EXPRESSION, load_heads
from cellferry.model.checkpoints import Checkpoints
from cellferry.model.reference_training import MONITORED_SHARE, TrainingStore, code_mapping
from cellferry.model.scvi_models import new_model, set_up_torch, skeleton
from cellferry.model.store import StoreDataModule
from cellferry.resources.budget import Budget
from cellferry.resources.schedule import minibatch_size
from map_query import map_query
from predict_labels import predict_labels

MIN_SECONDS = 5
MAX_PRELOADED = 100
"""Minibatches that the bare loop holds in memory and repeats as often as needed."""
FEW, MANY = 1, 20
"""Numbers of chunks of a query: `MANY` for few cells per chunk, `FEW` for all cells."""
MAP_MB, PREDICT_MB = 3000, 3000


def now() -> np.ndarray:
    """Wall and CPU seconds of this process; other work affects only the first."""
    return np.array([time.monotonic(), time.process_time()])


def seconds_of(work: Callable[[], object]) -> np.ndarray:
    """Wall and CPU seconds of some work, with its output hidden."""
    start = now()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return now() - start


def until_long_enough(work: Callable[[], int]) -> tuple[int, np.ndarray]:
    """Cells and seconds of some work, done once before and then repeated for some seconds."""
    work()
    cells, start = 0, now()
    while (now() - start)[1] < MIN_SECONDS:
        cells += work()
    return cells, now() - start


class Training:
    """The reference's store, a model and the timed parts of their training."""

    def __init__(self, folder: Path, settings: ModelSettings) -> None:
        self.store = str(folder / "results" / "reference" / "store.zarr")
        self.settings = replace(settings, early_stopping=False)
        self.attributes = dict(zarr.open_group(self.store, mode="r").attrs)
        self.batch_size = minibatch_size(settings.batch_size, self.attributes["n_cells"])
        self.model = new_model(
            skeleton(*(self.attributes[names] for names in ("genes", "batches", "labels"))), settings
        )
        self.datamodule = StoreDataModule(
            self.store,
            batch_size=self.batch_size,
            monitored_share=MONITORED_SHARE,
            batch_mapping=code_mapping(self.model, "batch", self.attributes["batches"]),
            label_mapping=code_mapping(self.model, "labels", self.attributes["labels"]),
            seed=0,
        )

    def minibatches(self) -> Iterator[dict]:
        """An epoch's minibatches as input of the module."""
        for batch in self.datamodule.train_dataloader():
            yield self.datamodule.on_before_batch_transfer(batch, 0)

    def load(self) -> int:
        """Load an epoch's minibatches; return their number of cells."""
        return sum(len(batch["X"]) for batch in self.minibatches())

    def epochs(self, number: int) -> np.ndarray:
        """Seconds of the workflow's training."""
        with tempfile.TemporaryDirectory() as checkpoints:
            return seconds_of(
                lambda: TrainingStore(self.store, self.attributes, self.batch_size, 0, "cpu").train(
                    self.model,
                    settings=self.settings,
                    epochs=number,
                    checkpoints=Checkpoints(checkpoints, {}),
                )
            )

    def bare_loop(self) -> Callable[[], int]:
        """The bare module and optimizer: a pass over preloaded minibatches."""
        batches = list(islice(self.minibatches(), MAX_PRELOADED))
        plan = scvi.train.TrainingPlan(self.model.module, lr=self.settings.learning_rate)
        optimizer = plan.configure_optimizers()["optimizer"]

        def work() -> int:
            self.model.module.train()
            for batch in batches:
                optimizer.zero_grad()
                _, _, losses = self.model.module(batch, loss_kwargs={"kl_weight": 1.0})
                losses.loss.backward()
                optimizer.step()
            return sum(len(batch["X"]) for batch in batches)

        return work

    def bare_encoder(self) -> Callable[[], int]:
        """Bare forward passes over preloaded minibatches."""
        batches = list(islice(self.minibatches(), MAX_PRELOADED))

        def work() -> int:
            self.model.module.eval()
            with torch.inference_mode():
                for batch in batches:
                    self.model.module.inference(batch["X"], batch["batch"])
            return sum(len(batch["X"]) for batch in batches)

        return work


def training_speeds(training: Training) -> Iterator[tuple[str, int, np.ndarray]]:
    """Name, cells and seconds of the parts of training."""
    yield "training: minibatches from the store alone", *until_long_enough(training.load)
    cells, seconds = until_long_enough(training.bare_loop())
    yield "training: bare torch loop on preloaded minibatches", cells, seconds
    n_train = training.datamodule.n_train
    epochs = 1 + int(np.ceil(3 * MIN_SECONDS * cells / seconds[1] / n_train))
    training.epochs(1)
    difference = training.epochs(1 + epochs) - training.epochs(1)
    yield "training: the workflow's epoch, 5 % more cells watched", epochs * n_train, difference
    yield "encoder: bare forward passes on preloaded minibatches", *until_long_enough(training.bare_encoder())


def query_speeds(folder: Path, limits: LimitSettings) -> Iterator[tuple[str, int, np.ndarray]]:
    """Name, cells and seconds of mapping and prediction, on the query as a whole."""
    results = folder / "results"
    common, classifier = str(results / "common" / "query.h5ad"), str(results / "reference" / "classifier")
    with H5adReader(common) as reader:
        n_cells = reader.n_cells
    with tempfile.TemporaryDirectory(dir=folder) as name:
        mapped = {chunks: f"{name}/{chunks}.parquet" for chunks in (FEW, MANY)}

        def map_all(chunks: int) -> np.ndarray:
            return seconds_of(
                lambda: map_query(
                    common,
                    str(results / "mapped" / "query" / "model"),
                    mapped[chunks],
                    chunk=0,
                    chunks=chunks,
                    budget=Budget(MAP_MB),
                    threads=1,
                )
            )

        def predict_all(chunks: int) -> np.ndarray:
            return seconds_of(
                lambda: predict_labels(
                    mapped[chunks],
                    common,
                    classifier,
                    str(results / "reference" / "calibration.json"),
                    f"{name}/predictions.parquet",
                    chunk=0,
                    chunks=chunks,
                    limits=limits,
                    budget=Budget(PREDICT_MB),
                    threads=1,
                )
            )

        more = n_cells - n_cells // MANY
        for part, work in (("map_query", map_all), ("predict_labels", predict_all)):
            work(MANY)
            few = work(MANY)
            yield part, more, work(FEW) - few
        paths = [mapped[FEW]]
        rows = np.arange(min(count_cells(paths), 20_000))
        latents = read_latents(paths, rows)
        with H5adReader(common) as reader:
            counts = reader.counts(0, len(rows))
        names = read_artifact(ClassifierLabels, Path(classifier) / "labels.json").heads
        for head, fitted in load_heads(classifier, names, threads=1).items():
            seen = counts if head in ON_EXPRESSION else latents
            timed = until_long_enough(lambda fitted=fitted, seen=seen: len(fitted.probabilities(seen)))
            yield f"predict_labels: {head} alone", *timed


def measure(folder: Path) -> list[dict]:
    """Rows of all parts; `of` is the number of cells of a training minibatch."""
    set_up_torch(threads=1, seed=0, gpu=0)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    fill_defaults(config)
    training = Training(folder, ModelSettings(**settings_of(ModelSettings, config)))
    limits = LimitSettings(**settings_of(LimitSettings, config))
    found = [*training_speeds(training), *query_speeds(folder, limits)]
    of = f"minibatches of {training.batch_size}"
    rows = [{"name": name, "of": of, "cells": cells} for name, cells, _ in found]
    return [
        row | {"seconds": wall, "cpu_seconds": cpu}
        for row, (_, _, (wall, cpu)) in zip(rows, found, strict=True)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(json.dumps(measure(options.folder.resolve())))
