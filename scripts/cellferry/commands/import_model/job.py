"""One step of importing a pre-trained model, as a rule runs it.

Each step is a separate process, like a rule's job, and keeps to the rule's memory.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from ...config.settings import (
    ClassifierSettings,
    LabelSettings,
    LimitSettings,
    PretrainedSettings,
    SplitSettings,
    settings_of,
)
from ...core.atomic import complete
from ...core.logs import logged
from ...resources.budget import Budget
from ...resources.memory import MEMORY_MODELS
from ...resources.rules import RULES

# Steps import scripts when needed: torch alone takes more memory than most steps have.

PARTS = {"train": "reference", "validation": "validation", "test": "test"}
"""Folder of the mapped cells of each part."""


class Paths:
    """Files of the results, as the rules name them."""

    def __init__(self, results: Path) -> None:
        self.genes, self.report = str(results / "genes.tsv"), str(results / "genes.json")
        self.model, self.classifier = (str(results / f"reference/{name}") for name in ("model", "classifier"))
        self.labels, self.history = (
            str(results / "reference/labels.json"),
            str(results / "reference/history.csv"),
        )
        self.decision = str(results / "reference/calibration.json")
        self.left_out = str(results / "reference/left_out.json")
        self.adopted, self.made_latents = results.parent / "adopted", results.parent / "latents.parquet"
        self.mapped = {part: str(results / f"mapped/{folder}/0.parquet") for part, folder in PARTS.items()}


def _adopt_model(config: dict[str, Any], paths: Paths, budget: Budget, threads: int) -> None:
    from import_reference import encoder_of, set_up_torch, take_model_in

    budget.require(MEMORY_MODELS["import_reference"])
    with complete(paths.adopted) as folder:
        _, _, adopted = take_model_in(
            PretrainedSettings(**settings_of(PretrainedSettings, config)),
            folder,
            width=config["cells"]["n_latent"],
            modality=config["modality"],
            cofactor=config["cytometry"]["cofactor"],
            seed=config["seed"],
            accelerator=set_up_torch(threads=threads, seed=config["seed"], gpu=0),
        )
        encoder_of(adopted).save(folder)


def _map_cells(config: dict[str, Any], paths: Paths, budget: Budget, threads: int) -> None:
    from .counted import map_cells

    cells = config["cells"]
    map_cells(
        Path(cells["path"]),
        cells["place"],
        paths.adopted,
        paths.made_latents,
        label=cells["label"],
        batch=cells["batch"],
        model_batch=cells["model_batch"],
        budget=budget,
        threads=threads,
    )


def _import_reference(config: dict[str, Any], paths: Paths, budget: Budget, threads: int) -> None:
    from import_reference import WrittenFiles, import_reference

    import_reference(
        PretrainedSettings(**settings_of(PretrainedSettings, config)),
        WrittenFiles(paths.genes, paths.report, paths.model, paths.history, paths.labels, paths.mapped),
        split=SplitSettings(**settings_of(SplitSettings, config)),
        labels=LabelSettings(**settings_of(LabelSettings, config)),
        modality=config["modality"],
        cofactor=config["cytometry"]["cofactor"],
        seed=config["seed"],
        budget=budget,
        threads=threads,
    )


def _train_classifier(config: dict[str, Any], paths: Paths, budget: Budget, threads: int) -> None:
    from train_classifier import TrainingFiles, train_classifier

    train_classifier(
        TrainingFiles([paths.mapped["train"]], [paths.mapped["validation"]], paths.model, None, None, None),
        paths.labels,
        paths.classifier,
        settings=ClassifierSettings(**settings_of(ClassifierSettings, config)),
        modality=config["modality"],
        seed=config["seed"],
        budget=budget,
        threads=threads,
    )


def _calibrate_classifier(config: dict[str, Any], paths: Paths, budget: Budget, threads: int) -> None:
    from calibrate_classifier import calibrate_classifier

    calibrate_classifier(
        [paths.mapped["validation"]],
        [paths.mapped["train"]],
        None,
        paths.classifier,
        paths.model,
        paths.genes,
        paths.decision,
        max_error=config["prediction"]["max_error"],
        seed=config["seed"],
        budget=budget,
        threads=threads,
    )


def _leave_labels_out(config: dict[str, Any], paths: Paths, budget: Budget, threads: int) -> None:
    from leave_labels_out import leave_labels_out

    leave_labels_out(
        [paths.mapped["test"]],
        None,
        paths.classifier,
        paths.decision,
        paths.left_out,
        limits=LimitSettings(**settings_of(LimitSettings, config)),
        seed=config["seed"],
        budget=budget,
        threads=threads,
    )


class Step(NamedTuple):
    """A step, with the memory and cores of the same or the most similar rule."""

    do: Callable[[dict[str, Any], Paths, Budget, int], None]
    rule: str


STEPS = {
    "adopt_model": Step(_adopt_model, "import_reference"),
    "map_cells": Step(_map_cells, "convert_to_chunks"),
    "import_reference": Step(_import_reference, "import_reference"),
    "train_classifier": Step(_train_classifier, "train_classifier"),
    "calibrate_classifier": Step(_calibrate_classifier, "calibrate_classifier"),
    "leave_labels_out": Step(_leave_labels_out, "leave_labels_out"),
}
"""The steps from a pre-trained model to the packed files, in order."""

WITHOUT_LATENTS = ("adopt_model", "map_cells")
"""Steps for cells without latents only."""


def main() -> None:
    """Run a step; arguments are its name, attempt, configuration, results and log."""
    name, attempt, config, results, log = sys.argv[1:]
    step = STEPS[name]
    request = RULES[step.rule].local
    threads = min(request.threads, len(os.sched_getaffinity(0)))
    with logged(log), threadpool_limits(threads):
        step.do(
            json.loads(Path(config).read_text(encoding="utf-8")),
            Paths(Path(results)),
            Budget(request.mem_mb * int(attempt), int(attempt)),
            threads,
        )


if __name__ == "__main__":
    main()
