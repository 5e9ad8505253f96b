"""Scores of the accuracy benchmark's runs, gathered into one long table."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy_runs import (
    RUNS,
    TEST,
    Run,
    queries_of_one_label,
    run_folder,
)
from cellferry.artifacts.evaluation import Confusion, Evaluation, Scores
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ClassifierLabels
from cellferry.evaluation.metrics import auroc, summary
from cellferry.labels.hierarchy import IN_REFERENCE
from measuring import ROOT

TABLE = ROOT / "benchmarks" / "accuracy.tsv"
COLUMNS = ["pair", "kind", "label", "seed", "method", "measure", "value"]
"""A pair is `reference → query`; `label` is that of a query of one label, or one that the reference lacks."""

MIXED, HELD_OUT, ALONE, UNSEEN = "mixed", "held out", "alone", "unseen"
"""Kinds of rows: a query; the reference's held-out test; a query of one label; cells the reference lacks."""

BEST_LABEL, ANSWER = "cellferry, best label", "cellferry, answer"
BASELINE, CELLTYPIST = "PCA and logistic regression", "CellTypist"
HEADS = {
    "xgboost": "XGBoost",
    "linear": "linear, on latents",
    "neighbors": "neighbors",
    "expression": "linear, on expression",
    "expression_pca": "linear, on components of expression",
    "expression_ranks": "ranks of markers",
    "scanvi": "scANVI's own",
}
REASONS = ["ambiguous", "out of reference", "low quality", "subtype unsure"]
SEPARATORS = ["ood_pvalue", "distance", "probability"]
"""What tells cells that the reference lacks from others."""


def collect(work: Path, run: Run, seed: int) -> list[dict]:
    """All scores of one run, as rows of the table."""
    folder = run_folder(work, run, seed)
    rows = list(scores_of(folder, TEST, held_out_name(run), HELD_OUT))
    for query, pair in run.pairs.items():
        rows += scores_of(folder, query, pair, MIXED)
        rows += scores_of_unseen(folder, query, pair)
    if run.has_queries_of_one_label(seed):
        rows += scores_of_one_label(folder, run)
    return [{**row, "seed": seed} for row in rows if row["value"] is not None]


def held_out_name(run: Run) -> str:
    """What the held-out test of a run's reference is called; its genes are those of the queries."""
    return f"{run.reference} → its held-out test, for {' and '.join(run.pairs)}"


def scores_of(folder: Path, part: str, pair: str, kind: str) -> Iterator[dict]:
    """Scores over the cells of a query whose label the reference has."""
    found = evaluation(folder, part)
    rejected, known = found.rejection, found.rejection.known_truth
    of_answer = {
        "cells": known.cells,
        "unknown": known.unknown_share,
        "right among accepted": known.accuracy_among_accepted,
        "error among accepted": known.error_among_accepted,
        "error among accepted, unseen labels too": rejected.all_truth.error_among_accepted,
        "coverage": found.prediction_sets.coverage,
        "labels in a set": found.prediction_sets.mean_size,
    }
    # Shares of all cells: a reason says nothing about the truth.
    of_answer |= {reason: rejected.reasons.get(reason, 0) / found.n_cells for reason in REASONS}
    by_method = {BEST_LABEL: found.forced, ANSWER: found.answered}
    by_method |= {HEADS[head]: scores for head, scores in found.heads.items()}
    by_method |= {BASELINE: found.baseline, CELLTYPIST: celltypist_scores(folder, part)}
    rows = [(ANSWER, measure, value) for measure, value in of_answer.items()]
    rows += [
        (method, measure, getattr(scores, measure, None))
        for method, scores in by_method.items()
        for measure in ("accuracy", "macro_f1", "ece")
    ]
    yield from as_rows(pair, kind, "", rows)


def scores_of_unseen(folder: Path, query: str, pair: str) -> Iterator[dict]:
    """What becomes of cells of labels that the reference lacks, and how well they are told from others."""
    for label, fate in evaluation(folder, query).labels_not_in_reference.items():
        rows = [(ANSWER, "cells", fate.cells), (ANSWER, "unknown", fate.unknown / fate.cells)]
        rows += [(ANSWER, f"auroc of {name}", getattr(fate.auroc, name)) for name in SEPARATORS]
        rows.append((CELLTYPIST, "auroc of probability", celltypist_auroc(folder, query, label)))
        yield from as_rows(pair, UNSEEN, label, rows)


def scores_of_one_label(folder: Path, run: Run) -> Iterator[dict]:
    """Shares of a label's cells that are right, or unknown: in a query of their own, and in the mixed one."""
    inspected = {query: folder / "results" / "inspected" / f"{query}.json" for query in run.pairs}
    cells = {query: read_artifact(Inspection, path).labels for query, path in inspected.items()}
    for (query, label), name in queries_of_one_label(cells).items():
        both = {"alone": evaluation(folder, name), "mixed": evaluation(folder, query)}
        rows = [(ANSWER, "cells", cells[query][label])]
        for where, scores in both.items():
            rows.append((ANSWER, f"unknown, {where}", unknown_share(scores.confusion, label)))
            for method, head in ((BEST_LABEL, "forced"), (ANSWER, "answer")):
                found = scores.levels["label"].heads[head].labels.get(label)
                rows.append((method, f"right, {where}", found.recall if found else None))
        yield from as_rows(run.pairs[query], ALONE, label, rows)


def as_rows(pair: str, kind: str, label: str, found: list[tuple[str, str, float | None]]) -> Iterator[dict]:
    """Rows of the table, from methods, measures and values."""
    same = {"pair": pair, "kind": kind, "label": label}
    for method, measure, value in found:
        yield {**same, "method": method, "measure": measure, "value": value}


def evaluation(folder: Path, query: str) -> Evaluation:
    """What `evaluate` wrote of a query."""
    return read_artifact(Evaluation, folder / "results" / "evaluation" / f"{query}.json")


def unknown_share(confusion: Confusion, label: str) -> float:
    """Share of a true label's cells that were answered `unknown`, the last column."""
    cells = confusion.cells[confusion.truth.index(label)]
    return cells[-1] / sum(cells)


def celltypist_table(folder: Path, query: str) -> pd.DataFrame:
    """CellTypist's label and probability of cells that have a truth, and what the reference knows of it."""
    path = folder / "celltypist" / f"{query}.tsv"
    told = pd.read_csv(path, sep="\t", dtype={"cell": str, "label": str}, keep_default_na=False)
    path = folder / "results" / "predictions" / f"{query}.parquet"
    known = pd.read_parquet(path, columns=["cell", "truth"])
    if told["cell"].to_list() != known["cell"].to_list():
        raise RuntimeError(f"{folder}: CellTypist predicted other cells of {query} than the workflow did")
    classifier = folder / "results/reference/classifier"
    hierarchy = read_artifact(ClassifierLabels, classifier / "labels.json").hierarchy
    told = told.assign(truth=known["truth"]).dropna(subset="truth")
    return told.assign(kind=[hierarchy.kind(truth) for truth in told["truth"]])


def celltypist_scores(folder: Path, query: str) -> Scores:
    """Its accuracy and macro-F1 over the same cells as the workflow's."""
    table = celltypist_table(folder, query)
    known = table[table["kind"] == IN_REFERENCE]
    return summary(Counter(zip(known["truth"], known["label"], strict=True)))


def celltypist_auroc(folder: Path, query: str, label: str) -> float | None:
    """How well its highest probability tells the cells of an unseen label from those of known ones."""
    table = celltypist_table(folder, query)
    doubt = 1 - table["probability"].to_numpy()
    return auroc(np.sort(doubt[table["kind"] == IN_REFERENCE]), doubt[(table["truth"] == label).to_numpy()])


def save(rows: list[dict], machine: str) -> None:
    """Put rows into the table in place of those of the same pairs and seeds.

    The first line of the table says what it was measured on.
    """
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["value"] = table["value"].astype(float).round(4)
    if TABLE.exists():
        old, _ = read()
        keys = ["pair", "seed"]
        again = old.set_index(keys).index.isin(table.set_index(keys).index)
        table = pd.concat([old[~again], table])
    pairs = [pair for run in RUNS for pair in (*run.pairs.values(), held_out_name(run))]
    table = table.sort_values(
        ["pair", "seed"],
        key=lambda column: column.map(pairs.index) if column.name == "pair" else column,
        kind="stable",
    )
    with open(TABLE, "w", encoding="utf-8", newline="") as file:
        file.write(f"# {machine}\n")
        table.to_csv(file, sep="\t", index=False, lineterminator="\n")


def read() -> tuple[pd.DataFrame, str]:
    """The table, and the machine it was measured on."""
    with open(TABLE, encoding="utf-8") as file:
        machine = file.readline().removeprefix("# ").rstrip("\n")
        table = pd.read_csv(file, sep="\t", dtype={"label": str}, keep_default_na=False)
    return table, machine
