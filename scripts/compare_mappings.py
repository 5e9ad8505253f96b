"""Compare what a query's labels are by the model fitted to its batches, and by the reference's as it is."""

import json
from collections import Counter

import numpy as np
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.calibration.decision import AnswerRules, answers
from cellferry.core.atomic import complete
from cellferry.core.logs import logged
from cellferry.evaluation.metrics import summary
from cellferry.heads.classifier import Classifier, Judged
from cellferry.model.encoder import Encoder, load_model
from cellferry.model.scvi_models import as_it_is, set_up_torch
from cellferry.model.surgery import draw_sketch, model_for_query, new_batches
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MAX_COMPARED_CELLS, MB, NEEDS, calibration_mb
from cellferry.sampling.sketch import random_sketch, sketch_values
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
    fit: bool,
    epochs: int | str,
    sketch_cells: int,
    batch_size: int,
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
        Folder of the model that maps the query, and of the reference's that it was made of.
    classifier, rules
        What train_classifier wrote, and the answer's rules for this query.
    mappings
        JSON to write: `cells`; of each way (`fitted`, `as_it_is`) the share of cells with a label
        (`labelled`) and outside the reference (`outside`), their mean `probability`, and `accuracy` and
        `macro_f1` of the best label where the truth is known; `same_label`, the share of cells whose best
        label is the same.
    fit, epochs, sketch_cells
        As in the configuration's section `surgery`. Without `fit` the model is fitted here, to compare.
    batch_size
        Cells per minibatch.
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
        values = sketch_values(reader, len(rows))
        held_mb = heads.held_mb + probabilities_mb
        need = NEEDS["compare_mappings"]
        budget.require(need, cells=reader.n_cells, values=values, more_mb=held_mb)
        cells = reader.rows(rows)
        batches = reader.categories("batch")[reader.codes("batch")[rows]]
        truth = None
        if "label" in reader.obs_columns:
            truth = np.append(reader.categories("label"), None)[reader.codes("label")[rows]]
        sketch = None
        if not fit and new_batches(reader, reference_model):
            held_mb += int(need.value_bytes * values) // MB
            sketch = draw_sketch(
                reader,
                reference_model,
                sketch_cells=sketch_cells,
                seed=seed,
                need=need,
                budget=budget,
                more_mb=held_mb,
            )
        used = load_model(model, reader.var.index, accelerator=accelerator)
    encoders = {FITTED if fit else AS_IT_IS: Encoder(used)}
    if fit:
        encoders[AS_IT_IS] = Encoder(as_it_is(used, reference_model))
    elif sketch is not None:
        how = {"epochs": epochs, "batch_size": batch_size, "accelerator": accelerator}
        encoders[FITTED] = Encoder(model_for_query(sketch, reference_model, fit=True, **how))
    else:
        encoders[FITTED] = encoders[AS_IT_IS]  # it has no batch to be fitted to
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
            fit=snakemake.params.fit,
            epochs=snakemake.params.epochs,
            sketch_cells=snakemake.params.sketch_cells,
            batch_size=snakemake.params.batch_size,
            min_p=snakemake.params.min_p,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
