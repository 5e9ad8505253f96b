"""Compare what a query's labels are by the model fitted to its batches, and by the reference's as it is."""

import json
from collections import Counter

import numpy as np
from cellferry.answer import AnswerRules, answers
from cellferry.budget import Budget
from cellferry.classifier import Classifier, Judged
from cellferry.encoder import Encoder, load_model
from cellferry.files import complete
from cellferry.h5ad import H5adReader
from cellferry.logs import logged
from cellferry.model import as_it_is, set_up_torch
from cellferry.needs import MAX_COMPARED_CELLS, NEEDS, calibration_mb
from cellferry.scores import summary
from cellferry.sketch import random_sketch, sketch_values
from threadpoolctl import threadpool_limits

FITTED, AS_IT_IS = "fitted", "as_it_is"


def compare_mappings(
    common: str,
    model: str,
    reference_model: str,
    classifier: str,
    rules: str,
    mappings: str,
    *,
    min_p: float,
    seed: int,
    budget: Budget,
    threads: int,
    gpu: int,
) -> None:
    """Map a sketch of the query both ways, and write what the answers have in common.

    Parameters
    ----------
    common
        Values of the query's cells.
    model, reference_model
        Folder of the model that was fitted to the query's batches, and of the one that it was made of.
    classifier, rules
        What train_classifier wrote, and the answer's rules for this query.
    mappings
        JSON to write: `cells`; of each way (`fitted`, `as_it_is`) the share of cells with a label
        (`labelled`) and outside the reference (`outside`), their mean `probability`, and `accuracy` and
        `macro_f1` of the best label where the truth is known; `same_label`, the share of cells whose best
        label is the same.
    min_p
        As in the configuration's section `prediction`.
    seed, budget, threads, gpu
        Seed of the sketch, and what the job was given.
    """
    accelerator = set_up_torch(threads=threads, seed=seed, gpu=gpu)
    heads = Classifier(classifier, threads=threads)
    learned = AnswerRules.load(rules)
    with H5adReader(common) as reader:
        rows = random_sketch(np.ones(reader.n_cells, dtype=bool), MAX_COMPARED_CELLS, seed=seed)
        probabilities_mb = calibration_mb(
            len(rows), n_labels=len(heads.labels), n_heads=len(heads.head_names)
        )
        budget.require(
            NEEDS["compare_mappings"],
            cells=reader.n_cells,
            values=sketch_values(reader, len(rows)),
            more_mb=heads.held_mb + probabilities_mb,
        )
        cells = reader.rows(rows)
        batches = reader.categories("batch")[reader.codes("batch")[rows]]
        truth = None
        if "label" in reader.obs_columns:
            truth = np.append(reader.categories("label"), None)[reader.codes("label")[rows]]
        loaded = load_model(model, reader.var.index, accelerator=accelerator)
    encoders = {FITTED: Encoder(loaded)}
    encoders[AS_IT_IS] = Encoder(as_it_is(loaded, reference_model))
    found, best = {"cells": len(rows)}, {}
    for way, encoder in encoders.items():
        codes = {batch: code for code, batch in enumerate(encoder.batches)}
        latents = encoder.latents(cells, np.array([codes[batch] for batch in batches], dtype=np.int64))
        found[way], best[way] = describe(
            heads.judge(latents, cells, intensities=True), heads, learned, truth, min_p=min_p
        )
        print(f"{way}: {found[way]}")
    found["same_label"] = float(np.mean(best[FITTED] == best[AS_IT_IS])) if len(rows) else None
    print(f"the best label is the same for {found['same_label']:.1%} of {len(rows)} cells")
    with complete(mappings) as path:
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")


def describe(
    judged: Judged, heads: Classifier, learned: AnswerRules, truth: np.ndarray | None, *, min_p: float
) -> tuple[dict, np.ndarray]:
    """Numbers of one way of mapping, and the best label of each cell."""
    outside_p = learned.outside_p(judged.distance, judged.label_distance)
    enough = np.zeros(len(outside_p), dtype=bool)
    told = answers(
        learned.probabilities(judged.by_head), outside_p, enough, heads.levels, learned, min_p=min_p
    )
    numbers = {
        "labelled": float(np.mean(np.equal(told["reason"], None))),
        "outside": float(np.mean(outside_p < min_p)),
        "probability": float(np.mean(told["probability"])),
    }
    known = np.isin(truth, heads.labels) if truth is not None else np.zeros(0, dtype=bool)
    if known.any():
        pairs = Counter(zip(truth[known], told["best_label"][known], strict=True))
        scores = summary(pairs)
        numbers |= {name: scores[name] for name in ("accuracy", "macro_f1")}
    return numbers, told["best_label"]


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        compare_mappings(
            snakemake.input.common,
            snakemake.input.model,
            snakemake.input.reference_model,
            snakemake.input.classifier,
            snakemake.input.rules,
            snakemake.output.mappings,
            min_p=snakemake.params.min_p,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
