import html
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import report as script
from cellferry import figures
from cellferry.benchmarks import costs
from cellferry.config import fill_defaults
from cellferry.counted import LabelCounts
from cellferry.remarks import remarks
from cellferry.text import duration
from report import count, labels_by_size, map_cells, percent, report

LABELS = ["T <CD4> & co", "γδ $T$", "_hidden", "B"]


class World:
    """The files a report is drawn from: a reference, queries of 60 cells in two chunks each, a test part."""

    def __init__(self, folder, *, queries, scored, labels):
        self.folder, self.labels = folder, labels
        self.rng = np.random.default_rng(0)
        roles = {"ref": "reference"} | dict.fromkeys(queries, "query")
        config = {"datasets": {name: {"role": role, "path": "x"} for name, role in roles.items()}}
        fill_defaults(config)
        self.settings = {"reference": "ref", "queries": queries, "config": config, "seed": 0}
        self.inspected = [self.write_inspected(name, role) for name, role in roles.items()]
        self.mapped = [path for part in ("ref", *queries) for path in self.write_mapped(part)]
        self.predictions = [self.write_predictions(part) for part in ("test", *queries)]
        self.evaluations = [self.write_evaluation(part) for part in scored]
        (folder / "datasets.tsv").write_text("dataset\tcells\nref\t60\n", encoding="utf-8")
        genes = {"namespace": "symbol", "n_common": 1342, "n_selected": 900, "new_key": "something"}
        genes["datasets"] = {name: {"genes": 2000, "common_share": 0.5} for name in ("ref", *queries)}
        (folder / "genes.json").write_text(json.dumps(genes), encoding="utf-8")
        (folder / "history.csv").write_text("epoch,train_loss,validation_loss\n0,5,6\n1,4,\n2,3,4\n")
        for rule, rows in {"map_query/a": ["10.5\t512.25", "20\tNA"], "report": ["-\t-"]}.items():
            (folder / "benchmarks" / rule).mkdir(parents=True)
            for number, row in enumerate(rows):
                (folder / f"benchmarks/{rule}/{number}.tsv").write_text(f"s\tmax_rss\n{row}\n")

    def write_inspected(self, name, role):
        path = self.folder / f"inspected/{name}.json"
        path.parent.mkdir(exist_ok=True)
        about = {"dataset": name, "role": role, "cells": 60, "cells_kept": 60, "genes": 2000}
        about |= {"values_per_cell": 300.0, "in_order": True, "n_labels": len(self.labels), "label": None}
        path.write_text(json.dumps(about), encoding="utf-8")
        return str(path)

    def write_mapped(self, part):
        paths = []
        for chunk in range(2):
            latents = {f"latent_{n}": self.rng.normal(size=30).astype(np.float32) for n in range(3)}
            labels = pa.array(self.rng.choice(self.labels, 30) if part == "ref" else [None] * 30, pa.string())
            path = self.folder / f"mapped/{part}/{chunk}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            names = pa.array([f"c{chunk}_{row}" for row in range(30)])
            pq.write_table(pa.table({"cell": names, "batch": names, "label": labels, **latents}), path)
            paths.append(str(path))
        return paths

    def write_predictions(self, part):
        path = self.folder / f"predictions/{part}.parquet"
        path.parent.mkdir(exist_ok=True)
        labels = self.rng.choice([*self.labels, "unknown"], 60)
        pq.write_table(pa.table({"label": labels, "probability": self.rng.random(60).astype("f4")}), path)
        return str(path)

    def write_evaluation(self, part):
        both = {"accuracy": 0.912, "macro_f1": 0.834}
        scores = {
            "n_cells": 60, "with_truth": 60, "truth_in_reference": 57, "truth_not_in_reference": 3,
            "truth_not_in_reference_called_unknown": 1,
            "labels_not_in_reference": {"<HSC>": {"cells": 3, "unknown": 1}},
            "forced": both, "answered": both | {"rejected_share": 0.05, "accuracy_among_accepted": None},
            "heads": dict.fromkeys(["xgboost", "linear", "neighbors"], both),
            "baseline": both | {"n_cells": 57, "cellferry_on_the_same_cells": both},
            "confidence": [{"from": 0.9, "to": 1.0, "cells": 60, "mean_probability": 0.95, "accuracy": 0.9}],
        }  # fmt: skip
        one = {"precision": 1.0, "recall": 0.5, "f1": 0.667, "support": 10}
        scores["labels"] = dict.fromkeys(["forced", "answered"], dict.fromkeys(self.labels, one))
        cells = self.rng.integers(0, 9, (len(self.labels), len(self.labels) + 1)).tolist()
        scores["confusion"] = {"truth": self.labels, "predicted": [*self.labels, "unknown"], "cells": cells}
        path = self.folder / f"evaluation/{part}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(scores), encoding="utf-8")
        return str(path)

    def draw(self, **changed):
        inputs = {
            "evaluations": self.evaluations, "predictions": self.predictions, "mapped": self.mapped,
            "inspected": self.inspected, "logs": str(self.folder / "logs"),
            "datasets": str(self.folder / "datasets.tsv"), "genes": str(self.folder / "genes.json"),
            "history": str(self.folder / "history.csv"), "benchmarks": str(self.folder / "benchmarks"),
        }  # fmt: skip
        report(**inputs | self.settings | changed, page=str(self.folder / "report.html"))
        return (self.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def no_umap(monkeypatch):
    """The map's place taken by two latents: umap's compiler takes half a minute."""
    monkeypatch.setattr(script, "embed", lambda latents, seed: latents[:, :2])


def test_page_is_self_contained_and_escaped(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1", "q2"], scored=["test", "q1"], labels=LABELS).draw()
    text = re.sub(r'"data:image/[^"]+"', '"picture"', page)
    assert "://" not in text
    assert re.search(r"<script|<link|@import|url\(", text) is None
    for label in [*LABELS, "<HSC>"]:
        assert html.escape(label) in text
    assert "<CD4>" not in text
    assert "<HSC>" not in text
    assert page.count('src="data:image/') == 3 + 1 + 2 + 1  # maps, confidence, confusions, training
    assert len(page) < 10 * 1024**2


def test_page_opens_with_the_answer(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    text = re.sub(r"\s+", " ", page)
    found = re.search(r"Of 60 cells, (\d+) got one of 4 labels; (\d+) \(", text)
    assert int(found[1]) + int(found[2]) == 60
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert headings[:2] == ["The answer", "Can it be trusted?"]
    for expected in ("0.912", "0.834", "1,342", "something", "512 MB", "30.5 s"):
        assert expected in text


def test_many_labels(tmp_path, no_umap):
    labels = [f"label number {n}" for n in range(200)]
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=labels).draw()
    assert "smaller labels" in page
    assert "The 60 largest of 200 labels" in page
    assert len(page) < 10 * 1024**2


def test_confusion_of_many_labels_keeps_every_cell(monkeypatch):
    shares = []
    monkeypatch.setattr("matplotlib.axes.Axes.imshow", lambda axes, values, **settings: shares.append(values))
    labels = [f"l{n:03d}" for n in range(100)]
    cells = np.random.default_rng(0).integers(1, 9, (100, 101)).tolist()
    figures.confusion_heatmap({"truth": labels, "predicted": [*labels, "unknown"], "cells": cells})
    assert shares[0].shape == (60, 62)  # the rows' labels, unknown, others
    np.testing.assert_allclose(shares[0].sum(axis=1), 1)


def test_history_without_a_single_loss(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    (tmp_path / "history.csv").write_text("epoch,train_loss,validation_loss\n")
    assert "The model left no training history" in world.draw()


@pytest.mark.slow
def test_umap_of_the_latents(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    assert "Map coloured by label" in page


def test_map_cells_keep_labels_and_latents_together(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "MAX_MAP_CELLS", 50)
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS)
    by_part = {"ref": world.mapped[:2], "q1": world.mapped[2:]}
    cells = map_cells("ref", ["q1"], by_part, {"q1": world.predictions[1]}, seed=0)
    assert cells["latents"].shape == (50, 3)
    assert cells["dataset"].tolist() == ["ref"] * 25 + ["q1"] * 25
    tables = [pq.read_table(path, columns=["latent_0", "label"]) for path in world.mapped[:2]]
    label_of = {row["latent_0"]: row["label"] for table in tables for row in table.to_pylist()}
    assert [label_of[float(value)] for value in cells["latents"][:25, 0]] == cells["label"][:25].tolist()
    assert np.isnan(cells["probability"][:25]).all()
    assert not np.isnan(cells["probability"][25:]).any()


def test_colours_go_to_the_largest_labels_and_stay():
    labels = [f"l{n}" for n in range(30)]
    colors = figures.label_colors(labels)
    assert colors["unknown"] == figures.UNKNOWN_COLOR
    assert len({colors[label] for label in labels[:20]}) == 20
    assert {colors[label] for label in labels[20:]} == {figures.OTHER_COLOR}
    counted = LabelCounts(3, 0, [{"label": "b", "cells": 2}, {"label": "c", "cells": 1}])
    assert labels_by_size([counted], np.array(["a", "b", None], dtype=object)) == ["b", "c", "a"]


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
        },
        {"rule": "report", "jobs": 1, "seconds": 0, "longest": 0.0, "used": None, "mem_mb": None},
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


def test_costs_stand_beside_what_was_predicted(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    row = re.search(r"<td>map_query</td>.*?</tr>", page, re.S)[0]
    asked, predicted, used = re.findall(r">([\d,]+ MB|–)<", row)
    assert (asked, used) == ("–", "512 MB")
    assert 500 < int(predicted.removesuffix(" MB").replace(",", "")) < 3000


def test_remarks_say_what_lowers_the_trust(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    scores = json.loads((tmp_path / "evaluation/test.json").read_text(encoding="utf-8"))
    assert len(world.evaluations) == 1
    scores["forced"]["accuracy"] = 0.5
    scores["baseline"] |= {"accuracy": 0.9, "cellferry_on_the_same_cells": {"accuracy": 0.5}}
    answers = {"q1": LabelCounts(100, 40, [])}
    found = " ".join(remarks(answers, {"test": scores}, {"datasets": {"q1": {"common_share": 0.2}}}))
    for expected in (
        "only 50.0% of the cells",
        "simple baseline",
        "<HSC>",
        "40.0% of the cells",
        "only 20.0%",
    ):
        assert expected in found
    assert remarks({"q1": LabelCounts(100, 1, [])}, {}, {}) == []


def test_numbers_are_readable():
    assert [percent(None), percent(0.1234)] == ["–", "12.3%"]
    assert [count(None), count(12345), count(0.12345), count("symbol")] == ["–", "12,345", "0.123", "symbol"]
    assert [duration(3.21), duration(600), duration(8000)] == ["3.2 s", "10 min", "2 h 13 min"]
