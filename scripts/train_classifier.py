"""Train the classifiers on the latents and the expression of the reference's training cells."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from cellferry.artifacts.expression_sums import REFERENCE_SUMS, ExpressionSums
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.labels import ClassifierLabels, ReferenceLabels
from cellferry.artifacts.latents import read_codes
from cellferry.config.settings import ClassifierSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.evaluation.label_agreement import LabelCall, label_calls
from cellferry.features.marker_values import holds_intensities
from cellferry.heads.boosting import depth_for
from cellferry.heads.cross_labels import CrossLabels, cross_label, datasets_of
from cellferry.heads.expression import log_normalized
from cellferry.heads.reference_datasets import ReferenceDatasets
from cellferry.heads.registry import HEADS
from cellferry.heads.training import TrainedHeads, TrainingFiles, train_heads
from cellferry.heads.training_cells import TrainingCells
from cellferry.resources.budget import Budget
from threadpoolctl import threadpool_limits

CELLS_AT_ONCE = 2048
"""Cells whose expression is summed together."""


def train_classifier(
    files: TrainingFiles,
    reference_labels: str,
    classifier: str,
    label_agreement: str | None = None,
    *,
    settings: ClassifierSettings,
    modality: str,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Train the heads on a sketch of the training cells and write them to the folder `classifier`.

    With several reference datasets, each one's cells are also labeled by the others.

    Parameters
    ----------
    files
        Files of the reference.
    reference_labels
        Labels of the reference, as `split_reference` wrote them.
    classifier
        Folder to write.
    label_agreement
        Table (tsv) of each reference dataset's labels for the others' cells; None with one dataset.
    settings
        Settings of the heads.
    modality
        `rna` or `cytometry`.
    seed, budget, threads
        Seed, memory and cores of the job.

    Raises
    ------
    InputError, RuntimeError
        See `cellferry.heads.training.train_heads`.
    """
    known = read_artifact(ReferenceLabels, reference_labels)
    below = {label: known.hierarchy.leaves_below(label) for label in known.coarse}
    trained = train_heads(
        files, settings, modality=modality, seed=seed, budget=budget, threads=threads, below=below
    )
    if label_agreement:
        found = cross_label(files, trained, settings, seed=seed, threads=threads)
        write_label_agreement(found, label_agreement)
    with complete(classifier) as folder:
        folder.mkdir()
        trained.save(folder)
        if files.common:
            sums_of_reference(files.common, trained.cells).save(folder / REFERENCE_SUMS)
        write_artifact(description(trained, settings, known, seed=seed), folder / "labels.json")
        if label_agreement:
            save_datasets(files, trained, settings.neighbors, folder)


def save_datasets(files: TrainingFiles, trained: TrainedHeads, n_neighbors: int, folder: Path) -> None:
    """Write the distance model of each reference dataset, if several have enough cells."""
    batches, names = read_codes(files.train, "batch")
    datasets, dataset_of_batch = datasets_of(names)
    codes = dataset_of_batch[batches[trained.cells.learned.rows]]
    found = ReferenceDatasets.train(trained.nearest.latents, codes, datasets, n_neighbors=n_neighbors)
    if found:
        found.save(folder)


def write_label_agreement(found: CrossLabels, table: str) -> None:
    """Write the calls as a table; missing values are empty."""
    conflicts = set()
    with complete(table) as path, open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(LabelCall._fields)
        for call in label_calls(found):
            conflict = "yes" if call.conflict else "no"
            writer.writerow(call._replace(conflict=conflict))
            if call.conflict:
                conflicts.add((call.dataset, call.label, call.reference))
    for dataset, label, reference in sorted(conflicts):
        print(f"warning: {label} of {dataset} is not the {label} of {reference}; see {table}")


def sums_of_reference(common: str, cells: TrainingCells) -> ExpressionSums:
    """Sums of expression by label over the training cells of heads on expression, read in blocks.

    A query's cells are compared with these sums, whatever heads are trained.

    Parameters
    ----------
    common
        Counts or marker values of the training cells.
    cells
        The drawn rows.
    """
    rows, codes = (values[cells.part] for values in cells.learned)
    with H5adReader(common) as reader:
        sums = ExpressionSums(cells.labels, reader.n_genes)
        for start in range(0, len(rows), CELLS_AT_ONCE):
            some = slice(start, start + CELLS_AT_ONCE)
            values = reader.rows(rows[some])
            sums.add(values if holds_intensities(reader) else log_normalized(values), codes[some])
    return sums


def description(
    trained: TrainedHeads, settings: ClassifierSettings, known: ReferenceLabels, *, seed: int
) -> ClassifierLabels:
    """Metadata of the heads for `cellferry.heads.classifier.Classifier`, with their settings.

    Parameters
    ----------
    trained, settings, seed
        The heads and their settings.
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
            snakemake.output.get("label_agreement"),
            settings=ClassifierSettings(**snakemake.params.prediction),
            modality=snakemake.params.modality,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
