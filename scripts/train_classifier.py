"""Train the classifiers on the latents and the expression of the reference's training cells."""

from dataclasses import replace

import numpy as np
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.labels import ClassifierLabels, ReferenceLabels
from cellferry.config.settings import ClassifierSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.heads.boosting import depth_for
from cellferry.heads.registry import HEADS
from cellferry.heads.training import TrainedHeads, TrainingFiles, train_heads
from cellferry.resources.budget import Budget
from threadpoolctl import threadpool_limits


def train_classifier(
    files: TrainingFiles,
    reference_labels: str,
    classifier: str,
    *,
    settings: ClassifierSettings,
    modality: str,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Train the heads on a sketch of the training cells and write them to the folder `classifier`.

    Parameters
    ----------
    files
        Files of the reference.
    reference_labels
        Labels of the reference, as `split_reference` wrote them.
    classifier
        Folder to write.
    settings
        How they are trained.
    modality
        `rna` or `cytometry`.
    seed, budget, threads
        Seed of what is random, memory and cores of the job.

    Raises
    ------
    InputError, RuntimeError
        See `cellferry.heads.training.train_heads`.
    """
    known = read_artifact(ReferenceLabels, reference_labels)
    trained = train_heads(files, settings, modality=modality, seed=seed, budget=budget, threads=threads)
    with complete(classifier) as folder:
        folder.mkdir()
        trained.save(folder)
        write_artifact(description(trained, settings, known, seed=seed), folder / "labels.json")


def description(
    trained: TrainedHeads, settings: ClassifierSettings, known: ReferenceLabels, *, seed: int
) -> ClassifierLabels:
    """What `cellferry.heads.classifier.Classifier` reads of the heads, and how they were trained.

    Parameters
    ----------
    trained, settings, seed
        The heads, and how they were trained.
    known
        Labels of the reference.
    """
    labels, codes = trained.cells.labels, trained.cells.learned.codes
    return ClassifierLabels(
        hierarchy=replace(known.hierarchy, leaves=labels),
        heads=[name for name in HEADS if name in trained.by_name],
        ontology=known.ontology,
        training_cells=dict(zip(labels, np.bincount(codes).tolist(), strict=True)),
        validation_cells=len(trained.cells.held_out.codes),
        settings={
            "max_training_cells": settings.max_training_cells,
            "neighbors": settings.neighbors,
            "n_trees": settings.n_trees,
            "trees_kept": trained.trees_kept("xgboost"),
            "expression_trees_kept": trained.trees_kept("expression_xgboost"),
            "max_depth": settings.max_depth,
            "depth": depth_for(codes, settings.max_depth),
            "learning_rate": settings.learning_rate,
            "seed": seed,
        },
    )


if __name__ == "__main__":
    with job(snakemake), threadpool_limits(snakemake.threads):
        files = snakemake.input
        train_classifier(
            TrainingFiles(
                files.train,
                files.validation,
                files.model,
                files.common or None,
                files.validation_common or None,
                files.rare or None,
            ),
            files.labels,
            snakemake.output.classifier,
            settings=ClassifierSettings(**snakemake.params.prediction),
            modality=snakemake.params.modality,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
