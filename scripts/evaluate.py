"""Score a query's predictions where its truth is known, beside a simple baseline."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cellferry.baseline import train_baseline
from cellferry.budget import Budget
from cellferry.cells import UNKNOWN
from cellferry.errors import InputError
from cellferry.expression import log_normalised
from cellferry.files import complete
from cellferry.h5ad import H5adReader
from cellferry.latents import blocks, read_codes
from cellferry.logs import logged
from cellferry.needs import MAX_BASELINE_CELLS, NEEDS
from cellferry.scores import Pairs, confusion, known_only, label_scores, summary
from cellferry.sketch import sketch_values, stratified_sketch

CONFIDENCE_BINS = 10


def evaluate(
    predictions: str, reference: str, common: str, evaluation: str, *, seed: int, budget: Budget
) -> None:
    """Write the scores of `predictions`, which has a column `truth`, to the json file `evaluation`.

    Raises
    ------
    InputError
        If no cell has a truth.
    RuntimeError
        If the predictions are not those of the cells of `common`.
    """
    if "truth" not in pq.read_schema(predictions).names:
        name = Path(predictions).stem
        raise InputError(
            f"{predictions}: no cell of {name} has a label to be scored by; if it is one of your datasets, "
            f"correct or remove datasets.{name}.label"
        )
    with H5adReader(reference) as reference_cells:
        codes = reference_cells.codes("label")
        labels = reference_cells.categories("label")[np.unique(codes[codes >= 0])]
        known = {str(label) for label in labels}
        n_cells, pairs = count_pairs(predictions)
        scores = describe(pairs, n_cells, known)
        scores["confidence"] = confidence(predictions)
        scores["baseline"] = baseline_scores(
            predictions, reference_cells, common, known, budget=budget, seed=seed
        )
    print(
        f"{scores['with_truth']} of {n_cells} cells have a truth; accuracy {scores['forced']['accuracy']}, "
        f"of the baseline {scores['baseline']['accuracy']}"
    )
    if scores["labels_not_in_reference"]:
        print(f"labels the reference does not have: {scores['labels_not_in_reference']}")
    with complete(evaluation) as path:
        path.write_text(json.dumps(scores, indent=2, ensure_ascii=False), encoding="utf-8")


def count_pairs(predictions: str) -> tuple[int, dict[str, Pairs]]:
    """Number of cells, and cells per (truth, prediction) for each column of labels.

    The key `accepted` holds the pairs of cells whose best label was given out. Cells without a truth
    are left out.
    """
    columns = ["label", "best_label"]
    columns += [name for name in pq.read_schema(predictions).names if name.endswith("_label")]
    columns = list(dict.fromkeys(columns))
    pairs: dict[str, Pairs] = {name: Counter() for name in [*columns, "accepted"]}
    n_cells = 0
    for block in blocks([predictions], ["truth", *columns]):
        n_cells += len(block)
        table = pa.table(block).filter(pc.is_valid(block.column("truth")))
        for column in columns:
            pairs[column] += _pairs(table, column)
        pairs["accepted"] += _pairs(table.filter(pc.equal(table["label"], table["best_label"])), "label")
    return n_cells, pairs


def _pairs(table: pa.Table, column: str) -> Pairs:
    """Cells per (truth, value of `column`) of a table."""
    counted = table.group_by(["truth", column]).aggregate([([], "count_all")])
    keys = zip(counted["truth"].to_pylist(), counted[column].to_pylist(), strict=True)
    return Counter(dict(zip(keys, counted["count_all"].to_pylist(), strict=True)))


def describe(pairs: dict[str, Pairs], n_cells: int, known: set[str]) -> dict:
    """Scores from the counted pairs.

    Accuracy and macro-F1 are over cells whose truth the reference knows (`known`). `forced` scores the
    best label of every cell; `answered` the answer, where `unknown` counts as wrong.
    """
    inside = {name: known_only(counts, known) for name, counts in pairs.items()}
    n_truth, n_known, n_accepted = (
        counts.total() for counts in (pairs["label"], inside["label"], inside["accepted"])
    )
    foreign: dict[str, dict[str, int]] = {}
    for (truth, answer), n in pairs["label"].items():
        if truth not in known:
            counts = foreign.setdefault(truth, {"cells": 0, "unknown": 0})
            counts["cells"] += n
            counts["unknown"] += n if answer == UNKNOWN else 0
    heads = [name for name in pairs if name.endswith("_label") and name != "best_label"]
    return {
        "n_cells": n_cells,
        "with_truth": n_truth,
        "truth_in_reference": n_known,
        "truth_not_in_reference": n_truth - n_known,
        "truth_not_in_reference_called_unknown": sum(counts["unknown"] for counts in foreign.values()),
        "labels_not_in_reference": dict(sorted(foreign.items())),
        "forced": summary(inside["best_label"]),
        "answered": {
            **summary(inside["label"]),
            "rejected_share": (n_known - n_accepted) / n_known if n_known else None,
            "accuracy_among_accepted": summary(inside["accepted"])["accuracy"],
        },
        "labels": {
            "forced": label_scores(inside["best_label"], sorted({t for t, _ in inside["best_label"]})),
            "answered": label_scores(inside["label"], sorted({t for t, _ in inside["label"]})),
        },
        "confusion": confusion(pairs["label"]),
        "heads": {name.removesuffix("_label"): summary(inside[name]) for name in heads},
    }


def confidence(predictions: str) -> list[dict]:
    """Cells, mean probability and accuracy of the best label, in bins of probability.

    Over all cells with a truth: where the reference does not know it, no label is right and the
    probability should be low.
    """
    cells, hits, sums = (np.zeros(CONFIDENCE_BINS) for _ in range(3))
    for block in blocks([predictions], ["truth", "best_label", "probability"]):
        table = pa.table(block).filter(pc.is_valid(block.column("truth")))
        probability = table["probability"].to_numpy()
        bins = np.minimum((probability * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
        right = pc.equal(table["truth"], table["best_label"]).to_numpy()
        cells += np.bincount(bins, minlength=CONFIDENCE_BINS)
        hits += np.bincount(bins, weights=right, minlength=CONFIDENCE_BINS)
        sums += np.bincount(bins, weights=probability, minlength=CONFIDENCE_BINS)
    return [
        {
            "from": number / CONFIDENCE_BINS,
            "to": (number + 1) / CONFIDENCE_BINS,
            "cells": int(cells[number]),
            "mean_probability": sums[number] / cells[number],
            "accuracy": hits[number] / cells[number],
        }
        for number in range(CONFIDENCE_BINS)
        if cells[number]
    ]


def baseline_scores(
    predictions: str, reference: H5adReader, common: str, known: set[str], *, budget: Budget, seed: int
) -> dict:
    """Scores of the baseline on a sketch of the query's cells whose truth the reference knows.

    `cellferry_on_the_same_cells` holds those of the best labels, since the sketch may be a part of them.
    """
    with H5adReader(common) as query:
        values = sum(sketch_values(file, MAX_BASELINE_CELLS) for file in (reference, query))
        n_cells = reference.n_cells + query.n_cells
        budget.require(NEEDS["evaluate"], cells=n_cells, values=values)
        codes, names = read_codes([predictions], "truth")
        best_codes, best_names = read_codes([predictions], "best_label")
        if len(codes) != query.n_cells:
            raise RuntimeError(
                f"{predictions} has {len(codes)} cells and {common} {query.n_cells}; delete the predictions "
                "and run snakemake again"
            )
        # One entry more than there are names: code -1 (no truth) indexes the last.
        scored = np.array([name in known for name in names] + [False])[codes]
        rows = stratified_sketch(np.where(scored, 0, -1), MAX_BASELINE_CELLS, seed=seed)
        truth = [names[code] for code in codes[rows]]
        best = [best_names[code] for code in best_codes[rows]]
        model = train_baseline(reference, seed=seed)
        predicted = model.predict(log_normalised(query.rows(rows)))
    return {
        "method": "log1p CP10k of the common genes, PCA, logistic regression",
        "n_cells": len(rows),
        **summary(Counter(zip(truth, predicted, strict=True))),
        "cellferry_on_the_same_cells": summary(Counter(zip(truth, best, strict=True))),
    }


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        evaluate(
            snakemake.input.predictions,
            snakemake.input.reference,
            snakemake.input.common,
            snakemake.output.evaluation,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
