"""Counts of the report (cells by label and batch, time and memory by rule), and its remarks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.artifacts.evaluation import ConfusedLabels, Confusion, HeadScores
from cellferry.artifacts.inspection import InspectedRounding
from cellferry.config.available_heads import HEADS
from cellferry.core.text import duration
from cellferry.report import confusions, context
from cellferry.report.batch_counts import count_batches
from cellferry.report.costs import costs
from cellferry.report.label_counts import LabelCounts, count_labels
from cellferry.report.page import count, percent
from cellferry.report.remarks import heads_not_trained, remarks
from example_artifacts import baseline_of, features_of, left_out_of
from report_world import FAMILY, FOREIGN, LABELS, RARE, World


def test_answers_are_counted_with_the_probability_of_their_level(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, levels=FAMILY)
    frame = pd.read_parquet(world.predictions[1])
    found = count_labels([world.predictions[1]])
    assert (found.n_cells, found.n_unknown, found.n_coarser) == (60, 10, 10)
    assert found.reasons == frame["reason"].value_counts().to_dict()
    for entry in found.labels:
        rows = frame[(frame["label"] == entry["label"]) & (frame["level"] == entry["level"])]
        column = "probability" if entry["level"] == "label" else "level_family <coarse>_probability"
        assert entry["cells"] == len(rows)
        assert entry["probability"] == pytest.approx(rows[column].mean())
    given = np.where(
        frame["level"] == "label", frame["probability"], frame["level_family <coarse>_probability"]
    )
    expected = (1 - given[frame["label"] != "unknown"]).mean()
    assert found.expected_error == pytest.approx(expected)
    assert found.expected_errors == {
        entry["label"]: 1 - entry["probability"] for entry in found.labels if entry["cells"] >= 20
    }
    assert LabelCounts(3, 3, [], {}).expected_error is None
    assert found.rare == {}


def test_cells_that_are_like_a_rare_label_are_counted(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, levels=FAMILY)
    table = pq.read_table(world.predictions[1])
    like = pa.array([RARE] * 7 + ["pDC"] * 9 + [None] * (len(table) - 16))
    pq.write_table(table.append_column("rare_label", like), world.predictions[1])
    assert list(count_labels([world.predictions[1]]).rare.items()) == [("pDC", 9), (RARE, 7)]


def test_batches_are_counted_across_files_and_blocks(tmp_path):
    rng = np.random.default_rng(0)
    cells = pd.DataFrame(
        {
            "batch": rng.choice(["q/b1", "q/b2", "q/b3"], 500, p=[0.7, 0.2, 0.1]),
            "label": rng.choice(["T", "B", "unknown"], 500),
            "probability": rng.random(500).astype("f4"),
        }
    )
    far = (cells["label"] == "unknown") & (rng.random(500) < 0.5)
    cells["reason"] = np.where(far, "out of reference", None)
    mapped = []
    for n, rows in enumerate(np.array_split(np.arange(500), 7)):
        mapped.append(str(tmp_path / f"{n}.parquet"))
        cells.loc[rows, ["batch"]].to_parquet(mapped[-1])
    table = pa.Table.from_pandas(cells[["label", "reason", "probability"]])
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=64)
    found = count_batches(mapped, str(tmp_path / "p.parquet"))
    assert [row["batch"] for row in found] == cells["batch"].value_counts().index.tolist()
    for row in found:
        own = cells[cells["batch"] == row["batch"]]
        known = own["label"][own["label"] != "unknown"].value_counts()
        assert row["cells"] == len(own)
        assert row["unknown"] == pytest.approx((own["label"] == "unknown").mean())
        assert row["out_of_reference"] == pytest.approx(own["reason"].notna().mean())
        assert row["probability"] == pytest.approx(own["probability"].mean())
        assert row["share"] == pytest.approx(known.iloc[0] / len(own))


def test_of_very_many_batches_those_with_most_unknown_cells_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(context, "MAX_BATCHES_SHOWN", 5)
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()  # a batch per cell
    section = page.section("Batches of the queries")
    assert "q1: 60 batches" in section.text
    assert section.source.count("100.0%</td>") >= 5


def test_wrong_answers_are_listed_the_commonest_first():
    confusion = Confusion(["a", "b"], ["a", "b", "unknown"], [(0, 0, 6), (0, 1, 1), (0, 2, 3), (1, 1, 2)])
    assert confusions.mistakes(confusion) == [
        {"truth": "a", "answer": "unknown", "cells": 3, "share": 0.3},
        {"truth": "a", "answer": "b", "cells": 1, "share": 0.1},
    ]


def test_several_unseen_labels_have_a_row_together(tmp_path):
    scores = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).scores("test")
    assert [row["label"] for row in context.unseen_labels({"test": scores})] == [FOREIGN, RARE]
    foreign = scores.labels_not_in_reference[FOREIGN]
    scores = replace(scores, labels_not_in_reference={FOREIGN: foreign, "other": foreign})
    rows = context.unseen_labels({"test": scores})
    assert [row["label"] for row in rows] == [FOREIGN, "other", "(together)", RARE]
    assert (rows[2]["cells"], rows[2]["accepted_as"]) == (scores.not_in_reference, {})


def test_costs_sum_jobs_per_rule(tmp_path):
    World(tmp_path, queries=["q1"], scored=[], labels=LABELS)
    assert costs(tmp_path / "benchmarks", tmp_path / "logs") == [
        {
            "rule": "map_query",
            "jobs": 2,
            "seconds": 30.5,
            "longest": 20.0,
            "used": 512.25,
            "mem_mb": None,
            "cpu": None,
        },
        {
            "rule": "report",
            "jobs": 1,
            "seconds": 0,
            "longest": 0.0,
            "used": None,
            "mem_mb": None,
            "cpu": None,
        },
    ]
    assert costs(tmp_path / "nowhere", tmp_path) == []


def test_memory_asked_for_is_read_from_snakemakes_extended_benchmark(tmp_path):
    folder = tmp_path / "merge_h5ad"
    folder.mkdir()
    row = "3.54\t255.21\t{'tmpdir': '/tmp', 'runtime': 120, 'mem_mb': 2000, 'mem': '2 GB'}"
    (folder / "atlas.tsv").write_text(f"s\tmax_rss\tresources\n{row}\n")
    (found,) = costs(tmp_path, tmp_path / "logs")
    assert found["mem_mb"] == 2000
    assert found["used"] == 255.21


def test_memory_used_is_what_the_kernel_saw_where_the_log_tells(tmp_path):
    (tmp_path / "merge_h5ad").mkdir()
    (tmp_path / "logs" / "merge_h5ad").mkdir(parents=True)
    (tmp_path / "merge_h5ad" / "atlas.tsv").write_text("s\tmax_rss\n3.54\t255.21\n")
    (tmp_path / "logs" / "merge_h5ad" / "atlas.log").write_text("merged\npeak memory: 300 MB\n")
    (found,) = costs(tmp_path, tmp_path / "logs")
    assert found["used"] == 300


def test_costs_stand_beside_what_was_predicted(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    asked, predicted, used, *shares = page.section("Time and memory").row("map_query")[-5:]
    assert shares == ["–", "–"]  # shares of requested memory and cores were not measured
    assert (asked, used) == ("–", "512 MB")
    assert 150 < int(predicted.removesuffix(" MB").replace(",", "")) < 3000


def test_remarks_say_what_lowers_the_trust(tmp_path):
    scores = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).scores("test")
    scores = replace(
        scores,
        forced=HeadScores(0.5, 0.5, ece=0.3),
        answered=replace(scores.answered, rejected_share=0.9),
        baseline=baseline_of(0.9, 0.9, own=0.5),
        truth_in_reference=500,
        confused_labels=[ConfusedLabels(["a", "b"], 0.25, 5, 20)],
    )
    answers = {"q1": LabelCounts(100, 40, [], {}, rare={"mast": 9})}
    left_out = {"seen as B": left_out_of(10, A=1, B=7), "seen": left_out_of(10, A=1), "empty": left_out_of(0)}
    genes = features_of(("q1", "index"), numbers={"common_share": 0.2})
    found = " ".join(
        remarks(answers, {"test": scores}, genes, gene_loss={}, rare={"mast": 1234}, left_out=left_out)
    )
    for expected in (
        "only 50.0% of the cells",
        "9 cells resemble one of these labels",
        "simple baseline is more accurate (90.0% against 50.0%; it alone is right on 7 cells, the best",
        FOREIGN,
        "40.0% of the cells",
        "only 20.0%",
        "off by 0.30",
        "90.0% of the reference's own held-out cells are unknown",
        "a and b are often confused; 25.0%",
        "mast (1,234)",
        "1 of 3 labels",
        "without seen as B, 80.0% of its cells were accepted, most as B",
    ):
        assert expected in found
    assert remarks({"q1": LabelCounts(100, 1, [], {})}, {}, None, gene_loss={}, rare={}, left_out={}) == []


@pytest.mark.parametrize(
    ("accuracy", "p_value", "n_remarks"), [(0.93, 0.04, 1), (0.93, 0.06, 0), (0.91, 0.0, 0), (None, 1.0, 0)]
)
def test_a_baseline_that_is_better_by_chance_or_by_little_gets_no_remark(
    tmp_path, accuracy, p_value, n_remarks
):
    scores = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).scores("test")
    own = None if accuracy is None else 0.9
    scores = replace(scores, baseline=baseline_of(accuracy, accuracy, own=own, p_value=p_value))
    found = remarks({}, {"test": scores}, None, gene_loss={}, rare={}, left_out={})
    assert sum("baseline" in remark for remark in found) == n_remarks


def test_a_remark_names_the_heads_that_many_labels_left_out():
    config = {"modality": "rna", "prediction": {"heads": list(HEADS)}}
    assert heads_not_trained(config, 200) == {}
    left_out = heads_not_trained(config, 300)
    assert left_out == {"xgboost": 200}
    assert heads_not_trained({"modality": "rna", "prediction": {"heads": ["xgboost"]}}, 300) == {}
    found = remarks({}, {}, None, gene_loss={}, rare={}, left_out={}, not_trained=left_out)
    assert [sentence.partition(",")[0] for sentence in found] == [
        "xgboost was not trained: the reference has more than 200 labels"
    ]


def test_remarks_on_labels_that_are_less_sure_than_held_out_cells_may_be():
    sure, unsure = (
        LabelCounts(10, 0, [{"label": "B", "level": "label", "cells": 10, "probability": p}], {})
        for p in (0.97, 0.88)
    )
    answers = {"q1": sure, "q2": unsure}
    found = remarks(answers, {}, None, gene_loss={}, rare={}, left_out={}, max_error=0.05)
    assert len(found) == 1
    assert "q2: 12.0% of its labels are expected to be wrong" in found[0]
    assert "prediction.max_error (0.05)" in found[0]
    assert remarks(answers, {}, None, gene_loss={}, rare={}, left_out={}) == []


def test_a_remark_where_fitting_the_model_changes_many_labels():
    answers = {f"q{n}": LabelCounts(10, 0, [], {}, same) for n, same in enumerate((None, 0.95, 0.85))}
    (found,) = remarks(answers, {}, None, gene_loss={}, rare={}, left_out={})
    assert "q2: fitting the model to its batches changes the label of 15.0%" in found


@pytest.mark.parametrize("mapped_twice", [(), ("q1",)])
def test_cells_with_the_same_label_by_both_mappings(tmp_path, mapped_twice):
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, mapped_twice=mapped_twice)
    found = count_labels([world.predictions[1], world.predictions[1]]).same_by_mappings
    if not mapped_twice:
        assert found is None
    else:
        frame = pd.read_parquet(world.predictions[1])
        assert found == pytest.approx((frame["fitted_label"] == frame["unfitted_label"]).mean())


def test_remarks_on_rounded_counts():
    rounded = {"q1": InspectedRounding(1200, 2000.4, 1900.0), "q2": InspectedRounding(0, 0.0, 0.0)}
    found = remarks({}, {}, None, gene_loss={}, rare={}, left_out={}, rounded=rounded)
    assert "q1: its counts were fractional, and are rounded to whole numbers (counts_rounding)" in found[0]
    assert "the total of its first 1,200 cells changed from 2,000.4 to 1,900 (-5.02%)" in found[0]
    assert "see the log of convert_to_chunks" in found[1]


def test_numbers_are_readable():
    assert [percent(None), percent(0.1234)] == ["–", "12.3%"]
    assert [count(None), count(12345), count(0.12345), count("symbol")] == ["–", "12,345", "0.123", "symbol"]
    assert [duration(3.21), duration(600), duration(8000)] == ["3.2 s", "10 min", "2 h 13 min"]


def test_unknown_cells_are_shares_of_their_true_label():
    confusion = Confusion(["a", "b"], ["a", "b", "unknown"], [(0, 0, 6), (0, 1, 1), (0, 2, 3), (1, 1, 2)])
    assert confusions.unknown_shares(confusion) == {"a": 0.3}
