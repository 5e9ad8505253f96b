"""Foretell what a query's missing genes cost: score the reference's validation cells without them."""

import json
from collections import Counter
from typing import Any

import numpy as np
from cellferry.answer import AnswerRules
from cellferry.budget import Budget
from cellferry.classifier import Classifier
from cellferry.encoder import Encoder, load_encoder
from cellferry.files import complete
from cellferry.h5ad import H5adReader
from cellferry.logs import logged
from cellferry.model import set_up_torch
from cellferry.needs import MAX_VALIDATION_CELLS, NEEDS, model_mb
from cellferry.scores import Pairs, label_scores, summary
from cellferry.sketch import stratified_sketch
from cellferry.subset import MEASURED
from scipy import sparse
from threadpoolctl import threadpool_limits


def predict_gene_loss(
    common: str,
    validation: str,
    model: str,
    classifier: str,
    rules: str,
    gene_loss: str,
    *,
    max_loss: float,
    seed: int,
    budget: Budget,
    threads: int,
    gpu: int,
) -> None:
    """Write as JSON which share of the model's genes a query has, and what the others are worth.

    Parameters
    ----------
    common
        The query's counts; its var tells which of the model's genes were measured.
    validation, model
        Counts of the reference's validation cells, and the model that was fitted to their batches.
    classifier, rules
        What train_classifier and calibrate_classifier wrote.
    gene_loss
        File to write: `genes`, `measured`, `cells`, macro-F1 of the best label with all genes (`macro_f1`)
        and without the missing ones (`macro_f1_without`), their difference (`loss`), F1 by label, and whether
        retraining is advised (`advice`).
    max_loss
        Loss beyond which retraining is advised.
    seed, budget, threads, gpu
        Seed of the draw of cells, and what the job was given.
    """
    with H5adReader(common) as query:
        measured = query.var[MEASURED].to_numpy(dtype=bool)
        name = str(query.uns["dataset"])
    found: dict[str, Any] = {"genes": len(measured), "measured": int(measured.sum())}
    if not measured.all():
        accelerator = set_up_torch(threads=threads, seed=seed, gpu=gpu)
        heads = Classifier(classifier, threads=threads)
        with H5adReader(validation) as cells:
            more_mb = heads.held_mb + model_mb(cells.n_genes, 0)
            max_bytes = budget.block_bytes(NEEDS["predict_gene_loss"], cells=cells.n_cells, more_mb=more_mb)
            encoder = load_encoder(model, cells.var.index, accelerator=accelerator)
            learned = AnswerRules.load(rules)
            pairs = score(cells, measured, encoder, heads, learned, max_bytes=max_bytes, seed=seed)
        found |= compare(*pairs)
        print(
            f"{name} lacks {np.count_nonzero(~measured)} of the model's {len(measured)} genes; without them "
            f"macro-F1 of the validation cells falls from {found['macro_f1']:.3f} to "
            f"{found['macro_f1_without']:.3f}"
        )
        if found["loss"] > max_loss:
            print(
                f"warning: that is more than genes.max_loss ({max_loss}): set genes.retrain_on_common, so "
                f"that the model is trained on genes that {name} has too"
            )
    else:
        found |= {"cells": 0, "macro_f1": None, "macro_f1_without": None, "loss": 0.0, "labels": {}}
        print(f"{name} has all of the model's {len(measured)} genes")
    found["advice"] = found["loss"] > max_loss
    with complete(gene_loss) as path:
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")


def score(
    cells: H5adReader,
    measured: np.ndarray,
    encoder: Encoder,
    heads: Classifier,
    learned: AnswerRules,
    *,
    max_bytes: int,
    seed: int,
) -> tuple[Pairs, Pairs]:
    """Pairs of true and best label of validation cells, with all genes and with the measured ones."""
    codes = cells.codes("label")
    drawn = np.zeros(len(codes), dtype=bool)
    drawn[stratified_sketch(codes, MAX_VALIDATION_CELLS, seed=seed)] = True
    kept_genes = sparse.diags_array(measured.astype(np.float32)).tocsr()
    batch_code = {batch: code for code, batch in enumerate(encoder.batches)}
    labels = np.array(heads.labels, dtype=object)
    pairs: tuple[Pairs, Pairs] = Counter(), Counter()
    rows = heads.rows_in(max_bytes, cells)
    for start in range(0, cells.n_cells, rows):
        stop = min(start + rows, cells.n_cells)
        here = np.flatnonzero(drawn[start:stop])
        counts = cells.counts(start, stop)[here]
        truth = cells.obs("label", start, stop)[here].tolist()
        batches = cells.obs("batch", start, stop)[here]
        batch_codes = np.array([batch_code[batch] for batch in batches], dtype=np.int64)
        for counted, some in zip(pairs, (counts, sparse.csr_matrix(counts @ kept_genes)), strict=True):
            judged = heads.judge(encoder.latents(some, batch_codes), some)
            best = labels[learned.probabilities(judged.by_head).argmax(axis=1)]
            counted.update(zip(truth, best.tolist(), strict=True))
    return pairs


def compare(with_all: Pairs, without: Pairs) -> dict[str, Any]:
    """Macro-F1 and F1 by label, with and without the missing genes."""
    labels = sorted({truth for truth, _ in with_all})
    f1 = [label_scores(pairs, labels) for pairs in (with_all, without)]
    macro = [summary(pairs)["macro_f1"] for pairs in (with_all, without)]
    by_label = {
        label: {"f1": f1[0][label]["f1"], "f1_without": f1[1][label]["f1"]}
        | {"cells": f1[0][label]["support"]}
        for label in labels
    }
    return {
        "cells": with_all.total(),
        "macro_f1": macro[0],
        "macro_f1_without": macro[1],
        "loss": macro[0] - macro[1],
        "labels": by_label,
    }


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        predict_gene_loss(
            snakemake.input.common,
            snakemake.input.validation,
            snakemake.input.model,
            snakemake.input.classifier,
            snakemake.input.rules,
            snakemake.output.gene_loss,
            max_loss=snakemake.params.max_loss,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
