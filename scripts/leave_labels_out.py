"""Leave each label out of the reference, and predict its held-out cells from the rest."""

from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict

import numpy as np
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.evaluation import Separation
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.latents import codes_among, mapping_columns, matrix, read_codes
from cellferry.artifacts.left_out import LeftOut, LeftOutLabel
from cellferry.calibration.decision import calibrated_probabilities, decide
from cellferry.calibration.novelty import ood_pvalues
from cellferry.calibration.quality import quality_limits
from cellferry.config.settings import LimitSettings
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.evaluation.metrics import auroc
from cellferry.heads.classifier import Classifier
from cellferry.labels.vocabulary import UNKNOWN
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MAX_LEFT_OUT, MEMORY_MODELS, calibration_cap, calibration_mb
from cellferry.sampling.sketch import stratified_sketch
from threadpoolctl import threadpool_limits

MIN_LABELS = 3
"""A prediction needs two labels to choose from."""


def leave_labels_out(
    mapped: list[str],
    common: str | None,
    classifier: str,
    decision: str,
    left_out: str,
    *,
    limits: LimitSettings,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Write per label the predictions of its held-out cells without it in the reference.

    Parameters
    ----------
    mapped, common
        Latents, in chunks, and counts of the held-out cells; None without counts.
    classifier, decision
        What train_classifier and calibrate_classifier wrote.
    left_out
        JSON to write, `LeftOut`.
    limits
        Limits of quality; cells below them get no label.
    seed, budget, threads
        Seed of the draw of cells, memory and cores of the job.
    """
    heads = Classifier(classifier, threads=threads)
    learned = read_artifact(DecisionModel, decision)
    quality = quality_limits(limits, learned)
    codes = codes_among(heads.labels, *read_codes(mapped, "label"))
    drawn = np.zeros(len(codes), dtype=bool)
    cap = calibration_cap(n_labels=len(heads.labels))
    taken_out = labels_to_take_out(codes, seed=seed) if len(heads.labels) >= MIN_LABELS else []
    if len(taken_out):
        codes = np.where(np.isin(codes, taken_out), codes, -1)
    drawn[stratified_sketch(codes, cap, seed=seed)] = True
    codes = codes[drawn]
    held_mb = heads.held_mb
    held_mb += calibration_mb(len(codes), n_labels=len(heads.labels), n_heads=len(heads.head_names))
    with H5adReader(common) if common else nullcontext() as cells:
        max_bytes = budget.block_bytes(
            MEMORY_MODELS["leave_labels_out"], cells=len(drawn), more_mb=2 * held_mb
        )
        rows = heads.rows_in(max_bytes, cells)
        mappings, parts, start = mapping_columns(mapped), [], 0
        for block, outputs in heads.iter_predictions(mapped, cells, [], first=0, rows=rows):
            kept = drawn[start : start + len(block)]
            outputs = outputs.of_cells(kept)
            latents = [matrix(block, columns)[kept] for columns in mappings]
            parts.append((outputs.by_head, latents, outputs.too_few(quality)))
            start += len(block)
    by_head = {name: np.concatenate([part[0][name] for part in parts]) for name in heads.head_names}
    latents = [np.concatenate(each) for each in zip(*(part[1] for part in parts), strict=True)]
    too_few = np.concatenate([part[2] for part in parts])

    outcomes: dict[str, LeftOutLabel] = {}
    progress = Progress("took out", len(taken_out), "labels")
    for code in taken_out:
        without = heads.drop_label(code, by_head, latents)
        probabilities = calibrated_probabilities(learned, without.by_head)
        ood_pvalue = ood_pvalues(learned.novelty, probabilities, without)
        decided = decide(probabilities, ood_pvalue, too_few, without.hierarchy, learned, min_p=limits.min_p)
        label, known = heads.labels[code], heads.hierarchy
        above = {level: known.node(label, level) for level in known.levels}
        scores = {
            "ood_pvalue": -ood_pvalue,
            "distance": without.distance,
            "probability": -decided["probability"],
        }
        outcomes[label] = outcome(decided, codes == code, above, scores)
        print(f"{label}: {asdict(outcomes[label])}")
        progress.add(1)
    write_artifact(LeftOut(outcomes), left_out)


def labels_to_take_out(codes: np.ndarray, *, seed: int) -> np.ndarray:
    """Labels (codes, ascending) with held-out cells; more than 200 are subsampled."""
    labels = np.unique(codes[codes >= 0])
    if len(labels) <= MAX_LEFT_OUT:
        return labels
    print(f"{MAX_LEFT_OUT} of {len(labels)} labels are taken out, drawn at random")
    return np.sort(np.random.default_rng(seed).choice(labels, MAX_LEFT_OUT, replace=False))


def outcome(
    decided: dict[str, np.ndarray], of_label: np.ndarray, above: dict[str, str], scores: dict[str, np.ndarray]
) -> LeftOutLabel:
    """Predictions for the cells (`of_label`) of a label that was left out.

    Parameters
    ----------
    decided
        The decisions for all cells.
    of_label
        Mask of the label's cells.
    above
        The label's node at each coarser level.
    scores
        By the names of `Separation`, scores that should be higher for the label's cells.
    """
    given: Counter[tuple[str, str | None]] = Counter(
        zip(decided["label"][of_label].tolist(), decided["level"][of_label].tolist(), strict=True)
    )
    wrong: Counter[str] = Counter()
    coarser = 0
    for (label, level), n in given.items():
        if label == UNKNOWN:
            continue
        if above.get(level) == label:
            coarser += n
        else:
            wrong[label] += n
    return LeftOutLabel(
        cells=int(of_label.sum()),
        accepted=wrong.total(),
        auroc=Separation(
            **{name: auroc(np.sort(values[~of_label]), values[of_label]) for name, values in scores.items()}
        ),
        accepted_as=dict(wrong.most_common()),
        coarser=coarser,
    )


if __name__ == "__main__":
    with job(snakemake), threadpool_limits(snakemake.threads):
        leave_labels_out(
            snakemake.input.mapped,
            snakemake.input.common or None,
            snakemake.input.classifier,
            snakemake.input.decision,
            snakemake.output.left_out,
            limits=LimitSettings(**snakemake.params.prediction),
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
