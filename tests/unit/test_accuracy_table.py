"""The benchmark of labels on real pairs: its queries of one label, its collecting of scores, its tables."""

import json
from dataclasses import replace
from itertools import pairwise

import accuracy_pictures
import accuracy_runs
import accuracy_scores
import accuracy_tables
import numpy as np
import pandas as pd
import pytest
import yaml
from accuracy_quoted import METHODS, PAIRS, TOOLS
from accuracy_runs import RUNS, Run, make_run, mixed_config, queries_of_one_label, with_queries_of_one_label
from accuracy_scores import ALONE, ANSWER, BASELINE, BEST_LABEL, CELLTYPIST, HELD_OUT, MIXED, UNSEEN
from accuracy_tables import accuracies, gaps, in_short, page, short, worst
from cellferry.artifacts.json_files import write_artifact
from cellferry.config.checks import check
from cellferry.evaluation.summary import describe
from example_artifacts import baseline_of, hierarchy_of, write_classifier_labels, write_inspection
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

LABELS = ["B", "NK", "T"]
HEADS = ["xgboost", "linear"]
RUN = Run("a_to_b", {"blood": "Here → Blood"})
CELLS = {"B": 40, "T": 30, "NK": 25, "HSC": 20, "DC": 3}


def test_pairs_that_are_quoted_are_pairs_that_are_run():
    pairs = [pair for run in RUNS for pair in run.pairs.values()]
    assert len(set(pairs)) == len(pairs)
    assert set(PAIRS) <= set(pairs)
    assert all(list(values) == list(PAIRS) for values in [*TOOLS.values(), *METHODS.values()])


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_configurations_have_the_queries_of_their_run(run, test_data, tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(test_data)
    monkeypatch.chdir(tmp_path)
    config = mixed_config(run, 5)
    assert config["seed"] == 5
    assert [name for name, own in config["datasets"].items() if own["role"] == "query"] == list(run.pairs)
    config = with_queries_of_one_label(config, dict.fromkeys(run.pairs, CELLS))
    check(config, config_files=[])


def test_every_label_of_enough_cells_is_a_query_of_its_own():
    own = {"role": "query", "label": "type", "cells": {"day": [1], "type": ["T", "CD4+ T"]}, "chunks": 3}
    config = {"datasets": {"atlas": {"role": "reference"}, "q": own, "pure": own}, "seed": 1}
    made = with_queries_of_one_label(config, {"q": {"T": 20, "CD4+ T": 21, "B": 19}, "pure": {"T": 500}})
    assert list(made["datasets"]) == ["atlas", "q", "pure", "q_only_T", "q_only_CD4-T"]
    assert made["datasets"]["q_only_CD4-T"] == {**own, "cells": {"day": [1], "type": ["CD4+ T"]}, "chunks": 1}
    assert config["datasets"]["q"] == own
    assert made["seed"] == 1


def test_finished_runs_are_not_repeated(tmp_path, monkeypatch):
    calls = []

    def instead(folder, arguments):
        target = folder / arguments[0]
        calls.append((target.name, "--forcerun" in arguments))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"labels": {"B": 30, "T": 30}}))

    monkeypatch.setattr(accuracy_runs, "snakemake", instead)
    run = next(run for run in RUNS if run.name == "celseq2_to_dropseq")
    for _ in range(2):
        make_run(run, 0, tmp_path, tmp_path / "work", cores=1, again=None)
    assert calls == [("dropseq.json", False), ("scores.tsv", False)]
    make_run(run, 0, tmp_path, tmp_path / "work", cores=1, again=["predict_labels"])
    make_run(run, 1, tmp_path, tmp_path / "work", cores=1, again=None)
    assert calls[2:] == [("scores.tsv", True), ("dropseq.json", False), ("scores.tsv", False)]
    # Queries of one label are made with the first seed only.
    for seed, more in enumerate([["dropseq_only_B", "dropseq_only_T"], []]):
        config = yaml.safe_load((tmp_path / "work" / run.name / f"seed_{seed}" / "config.yaml").read_text())
        assert (list(config["datasets"])[2:], config["seed"]) == (more, seed)


@pytest.fixture
def made(tmp_path):
    """A finished run: predictions at random, some of them right, scored by what scores the workflow's."""
    folder = accuracy_runs.run_folder(tmp_path, RUN, 0)
    results = folder / "results"
    for part in ("reference/classifier", "evaluation", "predictions", "inspected"):
        (results / part).mkdir(parents=True)
    (folder / "celltypist").mkdir()
    write_classifier_labels(results / "reference/classifier", hierarchy_of(LABELS), HEADS)
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
    frame.to_parquet(path)
    tree = hierarchy_of(LABELS)
    scores = replace(describe(str(path), tree, HEADS), baseline=baseline_of(0.5, 0.25))
    write_artifact(scores, folder / "results" / "evaluation" / f"{name}.json")
    told = pd.DataFrame({"cell": frame["cell"], "label": guessed(), "probability": rng.random(n)})
    told.to_csv(folder / "celltypist" / f"{name}.tsv", sep="\t", index=False)
    return frame.assign(celltypist=told["label"], sure=told["probability"])


def value(rows, **wanted):
    found = [row["value"] for row in rows if wanted.items() <= row.items()]
    assert len(found) == 1, (wanted, found)
    return found[0]


def test_collected_scores_are_scikit_learns(made):
    work, tables = made
    rows = accuracy_scores.collect(work, RUN, 0)
    assert {row["seed"] for row in rows} == {0}
    assert {row["kind"] for row in rows} == {MIXED, HELD_OUT, ALONE, UNSEEN}
    blood = tables["blood"]
    known = blood[blood["truth"].isin(LABELS)]
    for method, column in {
        BEST_LABEL: "best_label", ANSWER: "label", "XGBoost": "xgboost_label", CELLTYPIST: "celltypist",
    }.items():  # fmt: skip
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
    # The reference lacks it: there is nothing to be right about, but `unknown` is counted.
    hsc = [row["measure"] for row in rows if row["kind"] == ALONE and row["label"] == "HSC"]
    assert hsc == ["cells", "unknown, alone", "unknown, mixed"]
    assert not [row for row in rows if row["kind"] == ALONE and row["label"] == "DC"]


def test_tables_of_other_cells_are_refused(made):
    work, _ = made
    path = accuracy_runs.run_folder(work, RUN, 0) / "celltypist" / "blood.tsv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(RuntimeError, match="other cells of blood"):
        accuracy_scores.collect(work, RUN, 0)


def test_pairs_and_seeds_measured_again_take_the_place_of_old_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy_scores, "TABLE", tmp_path / "accuracy.tsv")

    def rows(pair, seed, value):
        same = {"kind": MIXED, "label": "", "method": ANSWER, "measure": "accuracy"}
        return [{"pair": pair, "seed": seed, "value": value, **same}]

    first, second = PAIRS[:2]
    accuracy_scores.save(rows(second, 1, 0.1) + rows(second, 0, 0.2), "a machine")
    accuracy_scores.save(rows(second, 1, 0.3) + rows(first, 0, 0.4), "another")
    table, machine = accuracy_scores.read()
    assert table[["pair", "seed", "value"]].to_numpy().tolist() == [
        [first, 0, 0.4], [second, 0, 0.2], [second, 1, 0.3],
    ]  # fmt: skip
    assert machine == "another"


def made_up(values):
    """A table of accuracies, by method and pair one for each seed."""
    same = {"kind": MIXED, "label": "", "measure": "accuracy"}
    rows = [
        {"pair": pair, "method": method, "seed": seed, "value": value, **same}
        for (method, pair), by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]
    cells = {"measure": "cells", "method": ANSWER, "value": 100}
    rows += [row | cells for row in rows if row["method"] == BEST_LABEL]
    return pd.DataFrame(rows)


def test_gaps_are_to_the_best_of_everything_listed():
    quoted, own = "Kang ctrl → Kang stim", "Somewhere → elsewhere"
    table = made_up(
        {
            (BEST_LABEL, quoted): [0.90, 0.88], (CELLTYPIST, quoted): [0.80, 0.80],
            (BEST_LABEL, own): [0.70, 0.72], (CELLTYPIST, own): [0.74, 0.74],
        }
    )  # fmt: skip
    gap = gaps(accuracies(table))
    best = TOOLS["CellTypist 1.7"][quoted]
    assert gap.loc[BEST_LABEL, quoted] == pytest.approx(best - 0.89)
    assert worst(gap.loc[BEST_LABEL]) == (pytest.approx(0.03), own)
    assert worst(gap.loc[CELLTYPIST]) == (pytest.approx(best - 0.80), quoted)
    assert gap.loc["SingleR (quoted)"].isna().tolist() == [False, True]
    lines = in_short(table).splitlines()
    assert lines[0].endswith(".030 (Somewhere → elsewhere).")
    assert lines[1].endswith(".000 (CellTypist 1.7 (quoted); Kang ctrl → Kang stim).")
    row = next(line for line in accuracy_tables.main_table(table).splitlines() if quoted in line)
    assert row.startswith(f"| {quoted} | 100 | .890 (.880–.900) | – | – | – | .800 | ")
    assert row.endswith("| .916, CellTypist 1.7 (quoted) | .026 |")


def test_page_of_a_run_says_everything(made, monkeypatch, tmp_path):
    work, _ = made
    monkeypatch.setattr(accuracy_scores, "RUNS", [RUN])
    monkeypatch.setattr(accuracy_scores, "TABLE", tmp_path / "accuracy.tsv")
    accuracy_scores.save(accuracy_scores.collect(work, RUN, 0), "a machine")
    text = page(*accuracy_scores.read())
    assert "a machine." in text
    assert "- AUROC of HSC cells, which the reference lacks (Here → Blood): ." in text
    assert text.count("\n## ") == 8
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for heads, row in pairwise(rows):
        assert not row.startswith("| ---") or row.count("|") == heads.count("|")
    assert sum(row.startswith("| Here → Blood | HSC |") for row in rows) == 2


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
    assert accuracy_tables.PAGE.read_text(encoding="utf-8") == page(table, machine)
    docs = accuracy_tables.DOCS.read_text(encoding="utf-8")
    assert accuracy_tables.BEGIN + accuracy_tables.excerpt(table) + accuracy_tables.END in docs
