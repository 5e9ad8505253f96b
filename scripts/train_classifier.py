"""Train the classifiers on the latents and the expression of the reference's training cells."""

import json
from pathlib import Path

import numpy as np
from cellferry.core.atomic import complete
from cellferry.core.logs import logged
from cellferry.heads.boosted_trees import depth_for
from cellferry.heads.registry import HEADS
from cellferry.heads.training import TrainedHeads, TrainingFiles, TrainingSettings, train_heads
from cellferry.resources.budget import Budget
from threadpoolctl import threadpool_limits


def train_classifier(
    files: TrainingFiles,
    reference_labels: str,
    classifier: str,
    *,
    settings: TrainingSettings,
    budget: Budget,
    threads: int,
) -> None:
    """Train the heads on a sketch of the training cells and write them to the folder `classifier`.

    Parameters
    ----------
    files
        Files of the reference.
    reference_labels
        Labels and levels, as `split_reference` wrote them.
    classifier
        Folder to write.
    settings
        What the configuration sets.
    budget, threads
        Memory and cores of the job.

    Raises
    ------
    InputError, RuntimeError
        See `cellferry.heads.training.train_heads`.
    """
    trained = train_heads(files, settings, budget=budget, threads=threads)
    known = json.loads(Path(reference_labels).read_text(encoding="utf-8"))
    text = json.dumps(description(trained, settings, known), indent=2, ensure_ascii=False)
    with complete(classifier) as folder:
        folder.mkdir()
        trained.save(folder)
        (Path(folder) / "labels.json").write_text(text, encoding="utf-8")


def description(trained: TrainedHeads, settings: TrainingSettings, known: dict) -> dict:
    """What `cellferry.heads.classifier.Classifier` reads of the heads, and how they were trained.

    Parameters
    ----------
    trained, settings
        The heads, and what the configuration sets.
    known
        Labels and levels, as `split_reference` wrote them.
    """
    labels, codes = trained.cells.labels, trained.cells.learned.codes
    return {
        "labels": labels,
        "heads": [name for name in HEADS if name in trained.by_name],
        "levels": known["levels"],
        "ontology": ontology_ids(known),
        "training_cells": {label: int(n) for label, n in zip(labels, np.bincount(codes), strict=True)},
        "validation_cells": len(trained.cells.held_out.codes),
        "settings": {
            "max_training_cells": settings.max_training_cells,
            "neighbors": settings.neighbors,
            "n_trees": settings.n_trees,
            "trees_kept": trained.trees_kept("xgboost"),
            "expression_trees_kept": trained.trees_kept("expression_xgboost"),
            "max_depth": settings.max_depth,
            "depth": depth_for(codes, settings.max_depth),
            "learning_rate": settings.learning_rate,
            "seed": settings.seed,
        },
    }


def ontology_ids(known: dict) -> dict[str, str]:
    """Ontology ids by label, coarser ones included, of those that have one."""
    ids = {label: found["ontology"] for label, found in known["labels"].items()} | known.get("ontology", {})
    return {label: found for label, found in ids.items() if found}


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        files = snakemake.input
        train_classifier(
            TrainingFiles(
                files.train,
                files.validation,
                files.model,
                files.common or None,
                files.validation_common or None,
            ),
            files.labels,
            snakemake.output.classifier,
            settings=TrainingSettings.of(snakemake.params),
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
