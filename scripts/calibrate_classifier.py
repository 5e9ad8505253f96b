"""Mix and calibrate the classifiers on held-out cells, and set the thresholds of the decision."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import write_artifact
from cellferry.artifacts.latents import codes_among, read_codes, read_values
from cellferry.calibration.fit import HeldOutCells, learn_decision
from cellferry.calibration.mixture import prior_weights
from cellferry.core.job import job
from cellferry.features.marker_values import holds_intensities
from cellferry.heads.classifier import Classifier
from cellferry.heads.rehearsal import Rehearsal
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS, calibration_cap, calibration_mb
from cellferry.runs.hashes import of_files
from cellferry.sampling.sketch import random_sketch
from threadpoolctl import threadpool_limits


def calibrate_classifier(
    validation: list[str],
    train: list[str],
    common: str | None,
    classifier: str,
    model: str,
    genes: str,
    decision: str,
    *,
    max_error: float,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Write the calibration as JSON, a `DecisionModel` (`cellferry.artifacts.decision`).

    Parameters
    ----------
    validation
        Mapped chunks of the validation cells, which were mapped like a query's.
    train
        Mapped chunks of the training cells; batches missing from them are held-out donors.
    common
        Expression of the validation cells, in the same order; None if no head uses it.
    classifier
        Folder of the classifiers.
    model, genes
        The model's folder and its genes, recorded by their hashes.
    decision
        File to write.
    max_error
        Accepted share of wrong labels among assigned ones.
    seed, budget, threads
        Seed of the draw of validation cells, memory and cores of the job.
    """
    heads = Classifier(classifier, threads=threads)
    codes = codes_among(heads.labels, *read_codes(validation, "label"))
    cap = calibration_cap(n_labels=len(heads.labels))
    drawn = np.zeros(len(codes), dtype=bool)
    drawn[random_sketch(codes >= 0, cap, seed=seed)] = True
    codes, donors = codes[drawn], held_out_donors(validation, train)[drawn]
    held_mb = calibration_mb(len(codes), n_labels=len(heads.labels), n_heads=len(heads.head_names))
    outputs, start = [], 0
    with H5adReader(common) if common else nullcontext() as cells:
        intensities = cells is not None and holds_intensities(cells)
        max_bytes = budget.block_bytes(
            MEMORY_MODELS["calibrate_classifier"], cells=len(drawn), more_mb=heads.held_mb + held_mb
        )
        for _, block in heads.iter_predictions(
            validation, cells, [], first=0, rows=heads.rows_in(max_bytes, cells)
        ):
            outputs.append(block.of_cells(drawn[start : start + len(block.distance)]))
            start += len(block.distance)
    hashed = {"model": model, "genes": genes, "classifier": classifier}
    learned = learn_decision(
        HeldOutCells.of(codes, outputs, heads),
        heads,
        donors=donors,
        rehearsal=Rehearsal.load(Path(classifier)),
        prior=prior_weights(heads.head_names, intensities=intensities),
        max_error=max_error,
        made_from={name: of_files(path) for name, path in hashed.items()},
    )
    write_artifact(learned, decision)


def held_out_donors(validation: list[str], train: list[str]) -> np.ndarray:
    """Batch of each validation cell, as a code; -1 if the batch has training cells."""
    codes, batches = read_codes(validation, "batch")
    known = read_values(train, "batch")
    unseen = [code if batch not in known else -1 for code, batch in enumerate(batches)]
    # One entry more than batches: code -1 (null) indexes the last.
    return np.array([*unseen, -1], dtype=np.int32)[codes]


if __name__ == "__main__":
    with job(snakemake), threadpool_limits(snakemake.threads):
        calibrate_classifier(
            snakemake.input.validation,
            snakemake.input.train,
            snakemake.input.common or None,
            snakemake.input.classifier,
            snakemake.input.model,
            snakemake.input.genes,
            snakemake.output.decision,
            max_error=snakemake.params.max_error,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
