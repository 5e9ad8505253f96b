"""Scores of the accuracy benchmark's runs, gathered into one long table."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from accuracy_others import CELLTYPIST, OTHERS
from accuracy_pairs import CASE as CASE_RUN
from accuracy_pairs import DEFAULT_MAX_ERROR, PAIR, RUNS, Run
from accuracy_runs import (
    TEST,
    limit_folder,
    predictions_of,
    queries_of_one_label,
    run_folder,
    scored_parts,
)
from cellferry.artifacts.evaluation import Confusion, Evaluation, Scores
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ClassifierLabels, ReferenceLabels
from cellferry.evaluation.metrics import auroc, summary
from cellferry.labels.hierarchy import IN_REFERENCE
from cellferry.labels.vocabulary import UNKNOWN
from measuring import ROOT

TABLE = ROOT / "benchmarks" / "accuracy.tsv"
COLUMNS = ["pair", "kind", "label", "seed", "method", "measure", "value"]
"""A pair is `reference → query`; `label` is the row's label, or its limit of error."""

MIXED, HELD_OUT, ALONE, UNSEEN = "mixed", "held out", "alone", "unseen"
"""Kinds of rows: a query; the reference's held-out test; a query of one label; labels the reference lacks."""
RARE, LIMIT, CASE = "rare", "limit", "case"
"""Cells whose label has too few reference cells; answers with a `max_error`; a query of a hard case."""

BEST_LABEL, ANSWER = "cellferry, best label", "cellferry, answer"
BASELINE = "PCA and logistic regression"
HEADS = {
    "xgboost": "XGBoost",
    "linear": "linear, on latents",
    "neighbors": "neighbors",
    "expression": "linear, on expression",
    "expression_pca": "linear, on components of expression",
    "expression_ranks": "ranks of markers",
    "scanvi": "scANVI's own",
    "cytovi": "CytoVI's own",
    "expression_xgboost": "XGBoost, on markers",
    "fitted": "all, by the fitted model",
    "unfitted": "all, by the model as it is",
}
REASONS = ["ambiguous", "out of reference", "low quality", "rare label", "subtype unsure"]
SEPARATORS = ["ood_pvalue", "distance", "probability"]
"""Measures that separate cells of labels that the reference lacks."""


def collect(work: Path, run: Run, seed: int) -> list[dict]:
    """All scores of one run, as rows of the table."""
    folder = run_folder(work, run, seed)
    names = {TEST: held_out_name(run), **run.pairs}
    if run.of == CASE_RUN:
        rows = [row for query, pair in run.pairs.items() for row in scores_of(folder, query, pair, CASE)]
    else:
        rows = list(scores_of(folder, TEST, names[TEST], HELD_OUT))
        for query, pair in run.pairs.items():
            rows += scores_of(folder, query, pair, MIXED)
            rows += scores_of_unseen(folder, query, pair)
            rows += fates_of_rare_labels(folder, query, pair)
    if run.of == PAIR:
        for part in scored_parts(run):
            rows += scores_by_limit(folder, part, names[part], run.other_max_errors)
    if run.has_queries_of_one_label(seed):
        rows += scores_of_one_label(folder, run)
    return [{**row, "seed": seed} for row in rows if row["value"] is not None]


def held_out_name(run: Run) -> str:
    """Name of the held-out test of a run's reference, with the queries that choose its genes."""
    return f"{run.called} → its held-out test, for {' and '.join(run.pairs)}"


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
        "expected error": expected_error(predictions_of(folder, part)),
    }
    # Shares of all cells: a reason is independent of the truth.
    of_answer |= {reason: rejected.reasons.get(reason, 0) / found.n_cells for reason in REASONS}
    by_method = {BEST_LABEL: found.forced, ANSWER: found.answered}
    by_method |= {HEADS[head]: scores for head, scores in found.heads.items()}
    by_method |= {BASELINE: found.baseline}
    by_method |= {method: other_scores(folder, part, method) for method in OTHERS}
    rows = [(ANSWER, measure, value) for measure, value in of_answer.items()]
    rows += [
        (method, measure, getattr(scores, measure, None))
        for method, scores in by_method.items()
        for measure in ("accuracy", "macro_f1", "ece")
    ]
    yield from as_rows(pair, kind, "", rows)


def scores_of_unseen(folder: Path, query: str, pair: str) -> Iterator[dict]:
    """Predictions of cells of labels that the reference lacks, and their AUROC."""
    for label, fate in evaluation(folder, query).labels_not_in_reference.items():
        rows = [(ANSWER, "cells", fate.cells), (ANSWER, "unknown", fate.unknown / fate.cells)]
        rows += [(ANSWER, f"auroc of {name}", getattr(fate.auroc, name)) for name in SEPARATORS]
        rows.append((CELLTYPIST, "auroc of probability", celltypist_auroc(folder, query, label)))
        yield from as_rows(pair, UNSEEN, label, rows)


def fates_of_rare_labels(folder: Path, query: str, pair: str) -> Iterator[dict]:
    """Predictions of cells whose label has too few reference cells."""
    reference = read_artifact(ReferenceLabels, folder / "results" / "reference" / "labels.json").labels
    for label, fate in evaluation(folder, query).labels_not_predictable.items():
        rows = [(ANSWER, "cells", fate.cells), (ANSWER, "unknown", fate.unknown / fate.cells)]
        rows.append((ANSWER, "reference cells", reference[label].cells))
        yield from as_rows(pair, RARE, label, rows)


def scores_by_limit(folder: Path, part: str, pair: str, others: tuple[float, ...]) -> Iterator[dict]:
    """Shares labeled with every `max_error`, with observed and expected errors."""
    known = classifier_labels(folder).hierarchy.leaves
    for limit in sorted((DEFAULT_MAX_ERROR, *others)):
        default = limit == DEFAULT_MAX_ERROR
        path = predictions_of(folder, part) if default else limit_folder(folder, limit) / f"{part}.parquet"
        given, wrong = given_and_wrong(pd.read_parquet(path, columns=["truth", "label"]), known)
        found = {"given": given, "error among accepted": wrong, "expected error": expected_error(path)}
        yield from as_rows(pair, LIMIT, f"{limit:.2f}", [(ANSWER, *row) for row in found.items()])


def given_and_wrong(answers: pd.DataFrame, known: list[str]) -> tuple[float | None, float | None]:
    """Share of cells that got a label, and the share of wrong ones among these; None without cells.

    Counted are cells whose `truth` is among the reference's labels; there are no coarser labels.
    """
    cells = answers[answers["truth"].isin(known)]
    given = cells[cells["label"] != UNKNOWN]
    wrong = (given["label"] != given["truth"]).mean() if len(given) else None
    return len(given) / len(cells) if len(cells) else None, wrong


def expected_error(predictions: Path) -> float | None:
    """The expected error in a file of predictions; None without labels."""
    return json.loads(pq.read_schema(predictions).metadata[b"expected_error"])["of_all"]


def scores_of_one_label(folder: Path, run: Run) -> Iterator[dict]:
    """Shares of a label's cells that are right or unknown, in their own query and the mixed one."""
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
    """Results of `evaluate` for a query."""
    return read_artifact(Evaluation, folder / "results" / "evaluation" / f"{query}.json")


def unknown_share(confusion: Confusion, label: str) -> float:
    """Share of a true label's cells that were answered `unknown`."""
    of_label = [(column, n) for row, column, n in confusion.cells if confusion.truth[row] == label]
    unknown = sum(n for column, n in of_label if confusion.predicted[column] == UNKNOWN)
    return unknown / sum(n for _, n in of_label)


def classifier_labels(folder: Path) -> ClassifierLabels:
    """Labels and heads of a run's classifiers."""
    return read_artifact(ClassifierLabels, folder / "results/reference/classifier" / "labels.json")


def answers_of(folder: Path, query: str, method: str) -> pd.DataFrame:
    """Another method's labels of cells with a truth, and the kind of that truth."""
    made, column = OTHERS[method]
    path = folder / made / f"{query}.tsv"
    answers = pd.read_csv(path, sep="\t", keep_default_na=False, dtype={"cell": str, column: str})
    known = pd.read_parquet(predictions_of(folder, query), columns=["cell", "truth"])
    if answers["cell"].to_list() != known["cell"].to_list():
        raise RuntimeError(f"{folder}: {method} labeled other cells of {query} than the workflow did")
    hierarchy = classifier_labels(folder).hierarchy
    answers = answers.assign(answer=answers[column], truth=known["truth"]).dropna(subset="truth")
    return answers.assign(kind=[hierarchy.kind(truth) for truth in answers["truth"]])


def other_scores(folder: Path, part: str, method: str) -> Scores:
    """Accuracy and macro-F1 of another method over the same cells as the workflow's."""
    table = answers_of(folder, part, method)
    known = table[table["kind"] == IN_REFERENCE]
    return summary(Counter(zip(known["truth"], known["answer"], strict=True)))


def celltypist_auroc(folder: Path, query: str, label: str) -> float | None:
    """AUROC of CellTypist's highest probability, unseen label against known ones."""
    table = answers_of(folder, query, CELLTYPIST)
    doubt = 1 - table["probability"].to_numpy()
    return auroc(np.sort(doubt[table["kind"] == IN_REFERENCE]), doubt[(table["truth"] == label).to_numpy()])


def save(rows: list[dict], machine: str, path: Path = TABLE) -> None:
    """Put rows into a table in place of those of the same pairs and seeds.

    The first line of the table names the machine.
    """
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["value"] = table["value"].astype(float).round(4)
    if path.exists():
        old, _ = read(path)
        keys = ["pair", "seed"]
        again = old.set_index(keys).index.isin(table.set_index(keys).index)
        table = pd.concat([old[~again], table])
    pairs = [pair for run in RUNS for pair in (*run.queries, held_out_name(run))]
    table = table.sort_values(
        ["pair", "seed"],
        key=lambda column: column.map(pairs.index) if column.name == "pair" else column,
        kind="stable",
    )
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"# {machine}\n")
        table.to_csv(file, sep="\t", index=False, lineterminator="\n")


def read(path: Path = TABLE) -> tuple[pd.DataFrame, str]:
    """A table, and the machine that measured it."""
    with open(path, encoding="utf-8") as file:
        machine = file.readline().removeprefix("# ").rstrip("\n")
        table = pd.read_csv(file, sep="\t", dtype={"label": str}, keep_default_na=False)
    return table, machine
