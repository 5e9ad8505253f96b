"""The report's section on several references: agreeing and conflicting labels, nearest reference."""

import csv

import numpy as np
import pandas as pd
import pytest
from cellferry.evaluation.label_agreement import LabelCall
from cellferry.report.references import MAX_CONFLICTS_NAMED, conflicts_in_words, judged_labels
from report_world import LABELS, World

CALLS = [
    ("atlas", "T", "held-out", 40, "blood", "CD4", 0.6, 1.0, "broader", "no"),
    ("atlas", "T", "held-out", 40, "blood", "CD8", 0.4, 0.975, "broader", "no"),
    ("atlas", "<NK>", "held-out", 20, "blood", "B", 0.95, 0.9, "same", "yes"),
    ("atlas", "<NK>", "held-out", 20, "blood", "<NK>", 0.05, 0.0, None, "yes"),
    ("blood", "CD4", "training", 60, "atlas", "T", 1.0, 0.6, "narrower", "no"),
    ("blood", "<NK>", "training", 30, "atlas", "B", 1.0, 1.0, "same", "yes"),
    ("blood", "pDC", "training", 30, "atlas", "B", 1.0, 0.0, "no counterpart", "no"),
    ("blood", "rare", "training", 3, "atlas", None, None, None, "too few cells", "no"),
]


def write_calls(path, calls):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([LabelCall._fields, *calls])
    return str(path)


@pytest.fixture
def table(tmp_path):
    return write_calls(tmp_path / "label_agreement.tsv", CALLS)


def world(folder, *, references=("ref",)):
    made = World(folder, queries=["q1"], scored=["test"], labels=LABELS)
    made.settings["references"] = list(references)
    return made


def test_each_label_is_told_once_and_conflicts_stand_first(table):
    judged = judged_labels(table)
    assert [(row.dataset, row.label) for row in judged[:2]] == [("atlas", "<NK>"), ("blood", "<NK>")]
    by_label = {(row.dataset, row.label): row for row in judged}
    assert len(judged) == len(by_label) == 6
    assert by_label["atlas", "T"].relation == "broader than CD4, CD8"
    assert by_label["atlas", "T"].calls_in_words == "CD4 60%, CD8 40%"
    # Mistakes of a twentieth of the cells are only in the table.
    assert by_label["atlas", "<NK>"].calls == {"B": 0.95}
    assert by_label["blood", "rare"].relation == "too few cells"


def test_the_page_shows_what_agrees_and_warns_of_conflicts(table, tmp_path):
    page = world(tmp_path / "run", references=("atlas", "blood", "lung")).draw(label_agreement=table)
    section = page.section("Agreement of the references")
    assert section.rows[1] == ["atlas", "blood", "2", "2", "1", "1"]
    assert section.rows[2] == ["blood", "atlas", "4", "3", "1", "1"]
    assert "narrower than T" in section.text
    assert "no counterpart" in section.text
    assert "lung has no training cell with a label that can be predicted" in section.text
    expected = (
        "<NK>: atlas and blood use this label for different cells, which were trained on as one label. blood "
        "calls those of atlas B 95%; atlas calls those of blood B 100%."
    )
    assert page.remarks[0].startswith(expected)


def test_very_many_conflicts_are_counted(tmp_path):
    calls = [
        ("a", f"label {n:02}", "held-out", 20, "b", "x", 1.0, 0.0, "no counterpart", "yes") for n in range(15)
    ]
    said = conflicts_in_words(judged_labels(write_calls(tmp_path / "calls.tsv", calls)))
    assert len(said) == MAX_CONFLICTS_NAMED + 1
    assert said[-1] == "5 more labels are used for different cells by two references."


def test_the_nearest_reference_is_counted_by_answer(tmp_path):
    made = world(tmp_path)
    path = made.predictions[-1]
    table = pd.read_parquet(path)
    table["nearest_reference"] = np.where(np.arange(len(table)) % 3 == 0, "blood", "atlas")
    table.to_parquet(path)
    section = made.draw().section("Agreement of the references")
    assert section.row("(all)") == ["(all)", "60", "66.7%", "33.3%"]
    unknown = table[table["label"] == "unknown"]["nearest_reference"]
    assert section.row("unknown")[1:3] == ["10", f"{(unknown == 'atlas').mean():.1%}"]


def test_of_one_reference_nothing_is_said(tmp_path):
    page = world(tmp_path).draw()
    assert "Agreement of the references" not in page.source
