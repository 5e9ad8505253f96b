"""Learn from held-back cells how to mix the classifiers, calibrate them, and when to give no label."""

import numpy as np
from cellferry.answer import AnswerRules, answers
from cellferry.budget import Budget
from cellferry.calibration import fit_calibration
from cellferry.classifier import Classifier
from cellferry.combination import combined, fitted_temperature, learned_weights, prior_weights, tempered
from cellferry.files import complete
from cellferry.fingerprints import of_files
from cellferry.h5ad import H5adReader
from cellferry.latents import read_codes
from cellferry.logs import logged
from cellferry.needs import NEEDS, calibration_cap, calibration_mb
from cellferry.outside import Tail
from cellferry.sketch import stratified_sketch
from cellferry.summed_levels import best_path
from cellferry.thresholds import Held, label_thresholds, set_threshold
from scipy.stats import beta
from threadpoolctl import threadpool_limits

CONFIDENCE = 0.95
"""Of the bound on the error among held-back cells that are given a label."""


def calibrate_classifier(
    validation: list[str],
    train: list[str],
    common: str,
    classifier: str,
    model: str,
    genes: str,
    rules: str,
    *,
    max_error: float,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Write what `cellferry.answer.AnswerRules` holds, as JSON.

    Parameters
    ----------
    validation
        Mapped chunks of the validation cells; they were mapped like a query's.
    train
        Mapped chunks of the training cells; batches that these lack are held-back donors.
    common
        Counts of the validation cells, in the same order.
    classifier
        Folder of the classifiers.
    model, genes
        The model's folder and its genes: their hashes are written down.
    rules
        File to write.
    max_error
        Share of wrong labels among those given out.
    seed, budget, threads
        Seed of the draw of validation cells, memory and cores of the job.
    """
    heads = Classifier(classifier, threads=threads)
    found, names = read_codes(validation, "label")
    # One entry more than there are names: code -1 (null) indexes the last.
    place = {label: code for code, label in enumerate(heads.labels)}
    codes = np.array([place.get(name, -1) for name in names] + [-1])[found]
    cap = calibration_cap(n_labels=len(heads.labels))
    drawn = np.zeros(len(codes), dtype=bool)
    drawn[stratified_sketch(np.where(codes < 0, -1, 0), cap, seed=seed)] = True
    codes, donors = codes[drawn], held_back_donors(validation, train)[drawn]
    held_mb = calibration_mb(len(codes), n_labels=len(heads.labels), n_heads=len(heads.head_names))
    with H5adReader(common) as cells:
        max_bytes = budget.block_bytes(
            NEEDS["calibrate_classifier"], cells=len(drawn), more_mb=heads.held_mb + held_mb
        )
        by_head, distances = judge_drawn(heads, validation, cells, drawn, heads.rows_in(max_bytes, cells))

    prior = prior_weights(heads.head_names)
    temperatures = [fitted_temperature(each, codes) for each in by_head.values()]
    sure = [tempered(each, one) for each, one in zip(by_head.values(), temperatures, strict=True)]
    weights = learned_weights(sure, codes, donors, prior)
    n_donors = len(np.unique(donors[donors >= 0]))
    print(f"{len(codes)} held-back cells, {n_donors} held-back donors")
    print(f"temperatures {dict(zip(by_head, np.round(temperatures, 2).tolist(), strict=True))}")
    print(f"weights {dict(zip(by_head, np.round(weights, 3).tolist(), strict=True))}")
    mixture = combined(by_head, temperatures, weights)
    calibration = fit_calibration(mixture, codes)
    probabilities = calibration(mixture)

    path = best_path(probabilities, heads.levels)
    thresholds = {}
    for level, (best, probability) in zip(heads.levels, path, strict=True):
        held = Held(best, probability, best == level.of_leaf[codes])
        least = label_thresholds(held, n_nodes=len(level.nodes), max_error=max_error)
        thresholds[level.name] = dict(zip(level.nodes, least.tolist(), strict=True))
    learned = AnswerRules(
        temperatures=dict(zip(by_head, temperatures, strict=True)),
        weights=dict(zip(by_head, weights.tolist(), strict=True)),
        calibration=calibration,
        tails=tuple(Tail.fit(distance) for distance in distances),
        thresholds=thresholds,
        set_threshold=set_threshold(probabilities[np.arange(len(codes)), codes], max_error=max_error),
        held_back={"cells": len(codes), "donors": n_donors, "max_error": max_error},
        made_from={
            name: of_files(path)
            for name, path in {"model": model, "genes": genes, "classifier": classifier}.items()
        },
    )
    learned.held_back.update(error_of(learned, heads, probabilities, codes))
    print(f"of the held-back cells: {learned.held_back}")
    with complete(rules) as path:
        learned.save(path)


def held_back_donors(validation: list[str], train: list[str]) -> np.ndarray:
    """Batch of each validation cell, as a code; -1 where training cells are of that batch too."""
    codes, batches = read_codes(validation, "batch")
    known = set(read_codes(train, "batch")[1])
    unseen = np.array([code if batch not in known else -1 for code, batch in enumerate(batches)] + [-1])
    return unseen[codes]


def judge_drawn(
    heads: Classifier, mapped: list[str], cells: H5adReader, drawn: np.ndarray, rows: int
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Probabilities by head, and the two distances, of the drawn cells."""
    # Of no cells, so that no mapped cell is no error.
    nothing, none_far = np.zeros((0, len(heads.labels)), np.float32), np.zeros(0, np.float32)
    parts, start = [(dict.fromkeys(heads.head_names, nothing), none_far, none_far)], 0
    for _, judged in heads.judged(mapped, cells, [], first=0, rows=rows):
        stop = start + len(judged.distance)
        kept = drawn[start:stop]
        by_head = {name: values[kept] for name, values in judged.by_head.items()}
        parts.append((by_head, judged.distance[kept], judged.label_distance[kept]))
        start = stop
    by_head = {name: np.concatenate([part[0][name] for part in parts]) for name in heads.head_names}
    return by_head, [np.concatenate([part[which] for part in parts]) for which in (1, 2)]


def error_of(
    rules: AnswerRules, heads: Classifier, probabilities: np.ndarray, codes: np.ndarray
) -> dict[str, float | None]:
    """How many held-back cells get a leaf, the error among these, and its bound (Clopper and Pearson)."""
    n_cells = len(codes)
    inside, enough = np.ones(n_cells), np.zeros(n_cells, dtype=bool)
    found = answers(probabilities, inside, enough, heads.levels, rules, min_p=0.0)
    accepted = np.equal(found["reason"], None)
    wrong = found["label"] != np.array(heads.labels, dtype=object)[codes]
    n_accepted, n_wrong = int(accepted.sum()), int((accepted & wrong).sum())
    bound = beta.ppf(CONFIDENCE, n_wrong + 1, n_accepted - n_wrong) if n_wrong < n_accepted else 1.0
    return {
        "accepted": n_accepted,
        "wrong": n_wrong,
        "error": n_wrong / n_accepted if n_accepted else None,
        "error_bound_95": float(bound),
        "accuracy": float((found["best_label"] == np.array(heads.labels, dtype=object)[codes]).mean())
        if n_cells
        else None,
    }


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        calibrate_classifier(
            snakemake.input.validation,
            snakemake.input.train,
            snakemake.input.common,
            snakemake.input.classifier,
            snakemake.input.model,
            snakemake.input.genes,
            snakemake.output.rules,
            max_error=snakemake.params.max_error,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
