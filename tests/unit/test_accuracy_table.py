"""The benchmark of labels on real pairs: scores and tables."""

import json
from dataclasses import replace
from itertools import pairwise

import accuracy_page
import accuracy_pictures
import accuracy_runs
import accuracy_scores
import accuracy_tables
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from accuracy_others import CELLTYPIST, CELLTYPIST_VOTE, NEIGHBORS, RANKS
from accuracy_page import in_short, page, write_quick_page
from accuracy_pairs import CASE as CASE_RUN
from accuracy_pairs import OTHER_MAX_ERRORS, Dataset, Run
from accuracy_quoted import PAIRS, TOOLS
from accuracy_runs import limit_folder, queries_of_one_label
from accuracy_scores import (
    ALONE,
    ANSWER,
    BASELINE,
    BEST_LABEL,
    CASE,
    HELD_OUT,
    LIMIT,
    MIXED,
    RARE,
    UNSEEN,
)
from accuracy_tables import everybody, gaps, short, worst
from cellferry.artifacts.json_files import write_artifact
from cellferry.evaluation.summary import describe
from example_artifacts import (
    baseline_of,
    hierarchy_of,
    write_classifier_labels,
    write_inspection,
    write_reference_labels,
)
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

LABELS = ["B", "NK", "T"]
HEADS = ["xgboost", "linear"]
RUN = Run("a_to_b", Dataset("a", "a.h5ad", "type"), {"Here → Blood": Dataset("blood", "b.h5ad", "type")})
CELLS = {"B": 40, "T": 30, "NK": 25, "HSC": 20, "DC": 3, "Mast": 4}
RARE_CELLS = 7
"""Reference cells of Mast, too few to be predicted."""
TREE = hierarchy_of(LABELS, rare=["Mast"])
OTHERS = {
    CELLTYPIST: "celltypist/label",
    CELLTYPIST_VOTE: "celltypist/voted",
    RANKS: "in_memory/ranks",
    NEIGHBORS: "in_memory/neighbors",
}


@pytest.fixture
def made(tmp_path):
    """A finished run: random predictions, some of them right, with the workflow's scores."""
    folder = accuracy_runs.run_folder(tmp_path, RUN, 0)
    results = folder / "results"
    for part in ("reference/classifier", "evaluation", "predictions", "inspected"):
        (results / part).mkdir(parents=True)
    for part in ("celltypist", "in_memory", *(limit_folder(folder, limit) for limit in OTHER_MAX_ERRORS)):
        (folder / part).mkdir(parents=True)
    write_classifier_labels(results / "reference/classifier", TREE, HEADS)
    sizes = {"Mast": RARE_CELLS}
    write_reference_labels(results / "reference" / "labels.json", LABELS, rare=["Mast"], sizes=sizes)
    write_inspection(results / "inspected", "blood", labels=CELLS)
    rng = np.random.default_rng(0)
    truths = {"test": {"B": 10, "T": 10}, "blood": CELLS}
    for (_, label), name in queries_of_one_label({"blood": CELLS}).items():
        truths[name] = {label: CELLS[label]}
    tables = {name: write_query(folder, name, cells, rng) for name, cells in truths.items()}
    return tmp_path, tables


def write_query(folder, name, cells, rng):
    truth = np.repeat(list(cells), list(cells.values())).astype(object)
    n = len(truth)

    def guessed():
        return np.where(rng.random(n) < 0.7, np.where(np.isin(truth, LABELS), truth, "B"), "T").astype(object)

    frame = pd.DataFrame({"cell": [f"{name}{row}" for row in range(n)], "truth": truth})
    frame["best_label"] = guessed()
    frame["probability"] = rng.random(n).astype(np.float32)
    unknown = frame["probability"] < 0.2
    frame["label"] = frame["best_label"].mask(unknown, "unknown")
    frame["level"] = pd.Series("label", frame.index, object).mask(unknown, None)
    frame["reason"] = pd.Series("ambiguous", frame.index, object).where(unknown, None)
    frame["prediction_set"] = frame["best_label"]
    frame["ood_pvalue"] = frame["distance"] = rng.random(n).astype(np.float32)
    for head in HEADS:
        frame[f"{head}_label"], frame[f"{head}_probability"] = guessed(), frame["probability"]
    path = folder / "results" / "predictions" / f"{name}.parquet"
    write_predictions(frame, path, expected=0.125)
    if "only" not in name:
        for limit in OTHER_MAX_ERRORS:
            write_predictions(
                with_limit(frame, limit), limit_folder(folder, limit) / path.name, expected=limit
            )
    scores = replace(describe(str(path), TREE, HEADS), baseline=baseline_of(0.5, 0.25))
    write_artifact(scores, folder / "results" / "evaluation" / f"{name}.json")
    told = pd.DataFrame({"cell": frame["cell"], "probability": rng.random(n)})
    answers = {method: guessed() for method in OTHERS}
    for table in ("celltypist", "in_memory"):
        columns = {
            where.partition("/")[2]: answers[method] for method, where in OTHERS.items() if table in where
        }
        told.assign(**columns).to_csv(folder / table / f"{name}.tsv", sep="\t", index=False)
    return frame.assign(sure=told["probability"], **answers)


def write_predictions(frame, path, *, expected):
    table = pa.Table.from_pandas(frame)
    stated = json.dumps({"of_all": expected, "by_label": {}})
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, "expected_error": stated}), path)


def with_limit(frame, limit):
    """Answers of cells, more certain at a lower limit."""
    unknown = frame["probability"] < 0.5 - limit
    changed = frame.assign(label=frame["best_label"].mask(unknown, "unknown"))
    changed["level"] = pd.Series("label", frame.index, object).mask(unknown, None)
    changed["reason"] = pd.Series("ambiguous", frame.index, object).where(unknown, None)
    return changed


def value(rows, **wanted):
    found = [row["value"] for row in rows if wanted.items() <= row.items()]
    assert len(found) == 1, (wanted, found)
    return found[0]


def test_collected_scores_are_scikit_learns(made):
    work, tables = made
    rows = accuracy_scores.collect(work, RUN, 0)
    assert {row["seed"] for row in rows} == {0}
    assert {row["kind"] for row in rows} == {MIXED, HELD_OUT, ALONE, UNSEEN, RARE, LIMIT}
    blood = tables["blood"]
    known = blood[blood["truth"].isin(LABELS)]
    columns = {BEST_LABEL: "best_label", ANSWER: "label", "XGBoost": "xgboost_label"}
    for method, column in {**columns, **{method: method for method in OTHERS}}.items():
        accuracy = accuracy_score(known["truth"], known[column])
        f1 = f1_score(known["truth"], known[column], labels=LABELS, average="macro")
        of = {"pair": "Here → Blood", "kind": MIXED, "method": method}
        assert value(rows, **of, measure="accuracy") == pytest.approx(accuracy)
        assert value(rows, **of, measure="macro_f1") == pytest.approx(f1)
    of = {"kind": MIXED, "method": ANSWER}
    assert value(rows, **of, measure="cells") == len(known)
    assert value(rows, kind=MIXED, method=BASELINE, measure="accuracy") == 0.5
    given, everyone = known[known["label"] != "unknown"], blood[blood["label"] != "unknown"]
    wrong = 1 - accuracy_score(given["truth"], given["label"])
    assert value(rows, **of, measure="error among accepted") == pytest.approx(wrong)
    wrong = 1 - accuracy_score(everyone["truth"], everyone["label"])
    assert value(rows, **of, measure="error among accepted, unseen labels too") == pytest.approx(wrong)
    assert value(rows, **of, measure="ambiguous") == pytest.approx((blood["label"] == "unknown").mean())
    assert value(rows, **of, measure="expected error") == 0.125
    assert value(rows, kind=HELD_OUT, method=ANSWER, measure="cells") == 20


def test_unseen_labels_and_queries_of_one_label_are_collected(made):
    work, tables = made
    rows = accuracy_scores.collect(work, RUN, 0)
    blood = tables["blood"]
    both = blood[blood["truth"].isin([*LABELS, "HSC"])]
    of = {"kind": UNSEEN, "label": "HSC"}
    area = roc_auc_score(both["truth"] == "HSC", 1 - both["sure"])
    assert value(rows, **of, method=CELLTYPIST, measure="auroc of probability") == pytest.approx(area)
    area = roc_auc_score(both["truth"] == "HSC", both["distance"])
    assert value(rows, **of, method=ANSWER, measure="auroc of distance") == pytest.approx(area)
    for where, table in {"mixed": blood, "alone": tables["blood_only_NK"]}.items():
        cells = table[table["truth"] == "NK"]
        of = {"kind": ALONE, "label": "NK"}
        right = (cells["best_label"] == "NK").mean()
        assert value(rows, **of, method=BEST_LABEL, measure=f"right, {where}") == pytest.approx(right)
        unknown = (cells["label"] == "unknown").mean()
        assert value(rows, **of, method=ANSWER, measure=f"unknown, {where}") == pytest.approx(unknown)
    # The reference lacks HSC: no label is right, but `unknown` is counted.
    hsc = [row["measure"] for row in rows if row["kind"] == ALONE and row["label"] == "HSC"]
    assert hsc == ["cells", "unknown, alone", "unknown, mixed"]
    assert not [row for row in rows if row["kind"] == ALONE and row["label"] == "DC"]


def test_fates_of_rare_labels_are_collected(made):
    work, tables = made
    rows = [row for row in accuracy_scores.collect(work, RUN, 0) if row["kind"] == RARE]
    assert {row["label"] for row in rows} == {"Mast"}
    cells = tables["blood"].query("truth == 'Mast'")
    assert value(rows, measure="cells") == len(cells) == 4
    assert value(rows, measure="unknown") == pytest.approx((cells["label"] == "unknown").mean())
    assert value(rows, measure="reference cells") == RARE_CELLS


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.1])
def test_every_limit_of_error_is_beside_what_is_observed(made, limit):
    work, tables = made
    rows = accuracy_scores.collect(work, RUN, 0)
    known = tables["blood"][tables["blood"]["truth"].isin(LABELS)]
    known = known if limit == 0.05 else with_limit(known, limit)
    given = known[known["label"] != "unknown"]
    of = {"pair": "Here → Blood", "kind": LIMIT, "label": f"{limit:.2f}"}
    assert value(rows, **of, measure="given") == pytest.approx(len(given) / len(known))
    wrong = (given["label"] != given["truth"]).mean()
    assert value(rows, **of, measure="error among accepted") == pytest.approx(wrong)
    assert value(rows, **of, measure="expected error") == (0.125 if limit == 0.05 else limit)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["B", "T", "unknown", "B", "T"], (0.75, 1 / 3)),
        (["unknown"] * 4 + ["T"], (0, None)),
    ],
)
def test_given_and_wrong_labels_of_cells_whose_label_is_known(labels, expected):
    answers = pd.DataFrame({"truth": ["B", "T", "T", "T", "HSC"], "label": labels})
    assert accuracy_scores.given_and_wrong(answers, LABELS) == pytest.approx(expected)
    assert accuracy_scores.given_and_wrong(answers[:0], LABELS) == (None, None)


def test_hard_cases_are_apart_from_pairs(made):
    work, _ = made
    rows = accuracy_scores.collect(work, replace(RUN, of=CASE_RUN), 0)
    assert {row["kind"] for row in rows} == {CASE}
    assert {row["pair"] for row in rows} == {"Here → Blood"}
    measured = {row["measure"] for row in rows if row["method"] == ANSWER}
    assert {"accuracy", "unknown", "error among accepted", "expected error"} <= measured


@pytest.mark.parametrize("table", ["celltypist", "in_memory"])
def test_tables_of_other_cells_are_refused(made, table):
    work, _ = made
    path = accuracy_runs.run_folder(work, RUN, 0) / table / "blood.tsv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(RuntimeError, match="other cells of blood"):
        accuracy_scores.collect(work, RUN, 0)


def test_pairs_and_seeds_measured_again_take_the_place_of_old_rows(tmp_path):
    path = tmp_path / "accuracy.tsv"

    def rows(pair, seed, value):
        same = {"kind": MIXED, "label": "", "method": ANSWER, "measure": "accuracy"}
        return [{"pair": pair, "seed": seed, "value": value, **same}]

    first, second = PAIRS[:2]
    accuracy_scores.save(rows(second, 1, 0.1) + rows(second, 0, 0.2), "a machine", path)
    accuracy_scores.save(rows(second, 1, 0.3) + rows(first, 0, 0.4), "another", path)
    table, machine = accuracy_scores.read(path)
    assert table[["pair", "seed", "value"]].to_numpy().tolist() == [
        [first, 0, 0.4], [second, 0, 0.2], [second, 1, 0.3],
    ]  # fmt: skip
    assert machine == "another"


def made_up(values):
    """A table of accuracies per method, pair and seed."""
    same = {"kind": MIXED, "label": "", "measure": "accuracy"}
    rows = [
        {"pair": pair, "method": method, "seed": seed, "value": value, **same}
        for (method, pair), by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]
    cells = {"measure": "cells", "method": ANSWER, "value": 100}
    f1 = [row | {"measure": "macro_f1", "value": row["value"] - 0.1} for row in rows]
    rows += [row | cells for row in rows if row["method"] == BEST_LABEL] + f1
    return pd.DataFrame(rows)


def test_gaps_are_to_the_best_of_everything_listed():
    quoted, own = "Kang ctrl → Kang stim", "Somewhere → elsewhere"
    table = made_up(
        {
            (BEST_LABEL, quoted): [0.90, 0.88], (CELLTYPIST, quoted): [0.80, 0.80],
            (BEST_LABEL, own): [0.70, 0.72], (CELLTYPIST, own): [0.74, 0.74],
        }
    )  # fmt: skip
    gap = gaps(everybody(table))
    best = TOOLS["CellTypist 1.7"][quoted]
    assert gap.loc[BEST_LABEL, quoted] == pytest.approx(best - 0.89)
    assert worst(gap.loc[BEST_LABEL]) == (pytest.approx(0.03), own)
    assert worst(gap.loc[CELLTYPIST]) == (pytest.approx(best - 0.80), quoted)
    assert gap.loc["SingleR (quoted)"].isna().tolist() == [False, True]
    lines = in_short(table).splitlines()
    assert lines[0].endswith(".030 (Somewhere → elsewhere); in macro-F1: .030 (Somewhere → elsewhere).")
    assert lines[1].endswith(".000 (CellTypist 1.7 (quoted); Kang ctrl → Kang stim).")
    row = next(line for line in accuracy_tables.main_table(table).splitlines() if quoted in line)
    assert row.startswith(f"| {quoted} | 100 | .890 (.880–.900) | .790 (.780–.800) | – | – | .800 | ")
    # Quoted values have no macro-F1: its gap is to CellTypist as it was measured.
    assert row.endswith("| .916, CellTypist 1.7 (quoted) | .026 | −.090 |")


@pytest.fixture
def saved(made, monkeypatch, tmp_path):
    """The table of a run, and of a hard case of the same cells."""
    work, _ = made
    case = replace(RUN, name="case", queries={"Here → 20 cells": RUN.reference}, of=CASE_RUN)
    monkeypatch.setattr(accuracy_scores, "RUNS", [RUN, case])
    rows = accuracy_scores.collect(work, RUN, 0)
    rows += [
        row | {"pair": "Here → 20 cells"}
        for row in accuracy_scores.collect(work, replace(RUN, of=CASE_RUN), 0)
    ]
    path = tmp_path / "accuracy_quick.tsv"
    accuracy_scores.save(rows, "a machine", path)
    return path


def test_page_of_a_run_has_every_table(saved):
    text = page(*accuracy_scores.read(saved))
    assert "a machine." in text
    assert "- AUROC of HSC cells, which the reference lacks (Here → Blood): ." in text
    assert text.count("\n## ") == 11
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for heads, row in pairwise(rows):
        assert not row.startswith("| ---") or row.count("|") == heads.count("|")
    assert sum(row.startswith("| Here → Blood | HSC |") for row in rows) == 2
    assert sum(row.startswith("| Here → Blood | Mast | 7 | 4 |") for row in rows) == 1
    assert sum(row.startswith("| Here → 20 cells | 95 |") for row in rows) == 1
    assert "| reference → query | 0.01: given | 0.01: wrong | 0.01: expected | 0.05: given |" in text
    assert "Queries with no more wrong labels than allowed: 0 of 1 with `max_error` 0.01, 0 of 1" in text
    assert "came later" not in text


def test_sections_without_rows_are_left_out(saved):
    table, machine = accuracy_scores.read(saved)
    text = page(table[table["kind"].isin([MIXED, HELD_OUT, UNSEEN, ALONE])], machine)
    assert "## Allowed and observed errors" not in text
    assert text.count("\n## ") == 8


def test_tables_of_pairs_are_left_out_where_there_are_only_hard_cases(saved):
    table, machine = accuracy_scores.read(saved)
    text = page(table[table["kind"] == CASE], machine)
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Hard cases", "## Method"]


def test_pages_of_quick_runs_are_marked_and_stand_beside_their_table(saved):
    write_quick_page(saved)
    text = saved.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith("# Accuracy beside other tools\n\n**A quick run")
    assert "[accuracy_quick.tsv](accuracy_quick.tsv)" in text
    assert "WORK=/scratch QUICK=1\n" in text


def test_pictures_are_pngs(made, monkeypatch, tmp_path):
    work, _ = made
    for name in ("RELIABILITY", "CONFUSION"):
        monkeypatch.setattr(accuracy_pictures, name, tmp_path / f"{name}.png")
    accuracy_pictures.draw(accuracy_runs.run_folder(work, RUN, 0), RUN)
    for name in ("RELIABILITY", "CONFUSION"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1.000"), (0, ".000"), (0.8714, ".871"), (-0.02, "−.020"), (-0.0001, ".000"), (np.nan, "–")],
)
def test_short_numbers(number, text):
    assert short(number) == text


def test_pages_are_made_from_the_committed_table():
    if not accuracy_scores.TABLE.exists():
        pytest.skip("the benchmark has not been run")
    table, machine = accuracy_scores.read()
    assert accuracy_page.PAGE.read_text(encoding="utf-8") == page(table, machine)
    docs = accuracy_page.DOCS.read_text(encoding="utf-8")
    assert accuracy_page.BEGIN + accuracy_page.excerpt(table) + accuracy_page.END in docs
