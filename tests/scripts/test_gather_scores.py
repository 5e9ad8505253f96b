"""gather_scores: one row per dataset, level, label and head."""

from dataclasses import replace

import pandas as pd
import pytest
from cellferry.artifacts.evaluation import LabelScores, LevelHeadScores, LevelScores
from cellferry.artifacts.json_files import write_artifact
from example_artifacts import evaluation_of
from gather_scores import COLUMNS, gather_scores

LABELS = {"T\tcell": (1.0, 0.5), "Γδ T": (0.25, 0.75)}


def write_evaluation(path, accuracy, **changes):
    by_label = {
        label: LabelScores(precision, recall, 0.5, 7) for label, (precision, recall) in LABELS.items()
    }
    head = LevelHeadScores(accuracy, 0.5, 0.125, by_label)
    levels = {
        "label": LevelScores(14, {"answer": head, "linear": head}),
        "family": LevelScores(15, {"answer": head, "linear": replace(head, ece=None, labels={})}),
    }
    write_artifact(evaluation_of(levels=levels, **changes), path)
    return str(path)


@pytest.fixture
def table(tmp_path):
    evaluations = [write_evaluation(tmp_path / f"{name}.json", share) for name, share in
                   {"test": 0.9, "blood": 0.8}.items()]  # fmt: skip
    gather_scores(evaluations, str(tmp_path / "scores.tsv"))
    return pd.read_csv(tmp_path / "scores.tsv", sep="\t")


def test_one_row_per_dataset_level_label_and_head(table):
    assert list(table.columns) == COLUMNS
    assert list(table["dataset"].unique()) == ["test", "blood"]
    assert not table.duplicated(["dataset", "level", "label", "head"]).any()
    # Two heads, two labels and all of them; above the leaf one head has no labels; and the baseline.
    assert len(table) == 2 * (2 * 3 + 3 + 1 + 1)


def test_values_stand_where_they_belong(table):
    indexed = table.set_index(["dataset", "level", "label", "head"])
    label = indexed.loc[("blood", "label", "Γδ T", "linear")]
    assert label[["precision", "recall", "f1", "support"]].tolist() == [0.25, 0.75, 0.5, 7]
    assert label[["accuracy", "macro_f1", "ece"]].isna().all()
    overall = indexed.loc[("blood", "label", "(all)", "answer")]
    assert overall[["accuracy", "macro_f1", "ece", "support"]].tolist() == [0.8, 0.5, 0.125, 14]
    assert pd.isna(indexed.loc[("test", "family", "(all)", "linear"), "ece"])
    baseline = indexed.loc[("test", "label", "(all)", "baseline")]
    assert (baseline["accuracy"], baseline["support"]) == (0.75, 12)
    assert pd.isna(baseline["macro_f1"])


def test_a_dataset_without_a_baseline(tmp_path):
    path = write_evaluation(tmp_path / "blood.json", 0.9, baseline=None)
    gather_scores([path], str(tmp_path / "scores.tsv"))
    found = pd.read_csv(tmp_path / "scores.tsv", sep="\t")
    assert "baseline" not in set(found["head"])
    assert len(found) == 2 * 3 + 3 + 1


def test_labels_keep_their_tabs(table):
    assert "T\tcell" in set(table["label"])
