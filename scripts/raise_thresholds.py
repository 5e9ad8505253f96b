"""Raise a query's thresholds for labels that are less certain than in held-out cells."""

from dataclasses import replace

import numpy as np
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.calibration.decision import calibrated_probabilities
from cellferry.calibration.novelty import ood_pvalues
from cellferry.calibration.quality import limits_of_query, quality_limits
from cellferry.calibration.shift import raise_thresholds
from cellferry.config.settings import LimitSettings
from cellferry.core.job import job
from cellferry.heads.classifier import Classifier
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS, calibration_mb, shift_cap
from cellferry.sampling.sketch import random_sketch
from threadpoolctl import threadpool_limits


def raise_for_query(
    mapped: list[str],
    common: str,
    classifier: str,
    decision: str,
    raised: str,
    *,
    limits: LimitSettings,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Write the decision for a query as JSON, a `DecisionModel` like its input.

    Parameters
    ----------
    mapped, common
        The query's mapped chunks, and its counts or marker values.
    classifier, decision
        What train_classifier and calibrate_classifier (or estimate_missing_genes) wrote.
    raised
        File to write.
    limits
        Limits of quality; cells below them get no label and are left out.
    seed, budget, threads
        Seed of the draw of cells, memory and cores of the job.
    """
    heads = Classifier(classifier, threads=threads)
    learned = read_artifact(DecisionModel, decision)
    none = np.zeros(0, dtype=np.float32)
    nothing = np.zeros((0, len(heads.labels)), dtype=np.float32)
    parts: list[tuple[np.ndarray, ...]] = [(nothing, np.zeros(0, dtype=bool), none, none)]
    with H5adReader(common) as cells:
        cap = shift_cap(n_labels=len(heads.labels))
        drawn = random_sketch(np.ones(cells.n_cells, dtype=bool), cap, seed=seed)
        held_mb = calibration_mb(len(drawn), n_labels=len(heads.labels), n_heads=len(heads.head_names))
        max_bytes = budget.block_bytes(
            MEMORY_MODELS["raise_thresholds"], cells=cells.n_cells, more_mb=heads.held_mb + held_mb
        )
        for outputs in heads.predict_rows(mapped, cells, drawn, rows=heads.rows_in(max_bytes, cells)):
            part = calibrated_probabilities(learned, outputs.by_head)
            # Not `>=`: the p-value is NaN if novelty is unknown.
            inside = ~(ood_pvalues(learned.novelty, part, outputs) < limits.min_p)
            if outputs.rare:
                inside &= outputs.rare.probability <= learned.rare_threshold
            parts.append((part, inside, outputs.n_counts, outputs.n_genes))
    probabilities, inside, n_counts, n_genes = (np.concatenate(each) for each in zip(*parts, strict=True))
    learned = with_limits_of_query(learned, n_counts, n_genes)
    usable = inside & ~quality_limits(limits, learned).exceed(n_counts, n_genes)
    decided = raise_thresholds(learned, probabilities, usable, heads.hierarchy)
    found = decided.raised
    print(f"{found.labeled_before} of {found.cells} sampled cells get a label by the reference's thresholds")
    if found.labeled < found.labeled_before:
        print(f"{found.labeled} by raised ones: the expected error was {found.expected_error_before:.3f}")
    elif found.labeled:
        print(f"their expected error is {found.expected_error:.3f}, and no threshold is raised")
    write_artifact(decided, raised)


def with_limits_of_query(learned: DecisionModel, n_counts: np.ndarray, n_genes: np.ndarray) -> DecisionModel:
    """The decision with limits of quality for a shallow query, reported if lower."""
    quality = limits_of_query(learned.quality, n_counts, n_genes)
    if quality != learned.quality:
        print(
            f"the query is shallow: its limits of quality are {quality.min_counts:.3g} counts and "
            f"{quality.min_genes:.3g} genes, not {learned.quality.min_counts:.3g} and "
            f"{learned.quality.min_genes:.3g}"
        )
    return replace(learned, quality=quality)


if __name__ == "__main__":
    with job(snakemake), threadpool_limits(snakemake.threads):
        raise_for_query(
            list(snakemake.input.mapped),
            snakemake.input.common,
            snakemake.input.classifier,
            snakemake.input.decision,
            snakemake.output.raised,
            limits=LimitSettings(**snakemake.params.prediction),
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
