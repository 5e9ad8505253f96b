"""The report: a self-contained page whose figures and tables agree with the results."""

import html
import json
import re

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.config.schema import fill_defaults
from cellferry.core.text import duration
from cellferry.evaluation.counts import tally
from cellferry.evaluation.summary import add_separation, describe
from cellferry.labels.truth import LabelTree
from cellferry.report import figures, umap
from cellferry.report import page as report_page
from cellferry.report.batch_counts import count_batches
from cellferry.report.costs import costs
from cellferry.report.label_counts import LabelCounts, count_labels
from cellferry.report.page import count, percent, write_page
from cellferry.report.remarks import remarks
from cellferry.report.umap import map_cells

LABELS = ["T <CD4> & co", "γδ $T$", "_hidden", "B"]
RARE = "mast <1>"
HEADS = ["xgboost", "linear"]
REASONS = ["ambiguous", "outside the reference", "low quality"]


class World:
    """The files a report is drawn from: a reference, queries of 60 cells in two chunks each, a test part."""

    def __init__(self, folder, *, queries, scored, labels, levels=(), cells=60, batches=None):
        self.folder, self.labels, self.levels, self.cells = folder, labels, list(levels), cells
        self.batches = batches
        self.rng = np.random.default_rng(0)
        seen = {label: {"cells": 60, "predictable": True, "ontology": None} for label in labels}
        seen[RARE] = {"cells": 4, "predictable": False, "ontology": None}
        folder.mkdir(exist_ok=True)
        (folder / "labels.json").write_text(json.dumps({"labels": seen, "levels": self.levels}))
        roles = {"ref": "reference"} | dict.fromkeys(queries, "query")
        config = {"datasets": {name: {"role": role, "path": "x"} for name, role in roles.items()}}
        fill_defaults(config)
        self.settings = {"references": ["ref"], "queries": queries, "config": config, "seed": 0}
        self.inspected = [self.write_inspected(name, role) for name, role in roles.items()]
        self.mapped = [path for part in ("reference", *queries) for path in self.write_mapped(part)]
        self.predictions = [self.write_predictions(part) for part in ("test", *queries)]
        self.evaluations = [self.write_evaluation(part) for part in scored]
        self.gene_loss = []
        (folder / "datasets.tsv").write_text("dataset\tcells\nref\t60\n", encoding="utf-8")
        genes = {"namespace": "symbol", "n_common": 1342, "n_selected": 900, "new_key": "something"}
        genes["datasets"] = {name: {"genes": 2000, "common_share": 0.5} for name in ("ref", *queries)}
        (folder / "genes.json").write_text(json.dumps(genes), encoding="utf-8")
        (folder / "history.csv").write_text(
            "epoch,train_loss,validation_loss,max_epochs\n0,5,6,400\n1,4,,400\n2,3,4,400\n"
        )
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
        paths, n_cells = [], self.cells // 2
        for chunk in range(2):
            latents = {f"latent_{n}": self.rng.normal(size=n_cells).astype(np.float32) for n in range(3)}
            labels = pa.array(
                self.rng.choice(self.labels, n_cells) if part == "reference" else [None] * n_cells,
                pa.string(),
            )
            path = self.folder / f"mapped/{part}/{chunk}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            names = pa.array([f"c{chunk}_{row}" for row in range(n_cells)])
            batches = [f"{part}/b{row % self.batches}" for row in range(n_cells)] if self.batches else names
            pq.write_table(pa.table({"cell": names, "batch": batches, "label": labels, **latents}), path)
            paths.append(str(path))
        return paths

    def write_predictions(self, part):
        """Random answers: a sixth unknown, another sixth of a coarser level where there is one."""
        path = self.folder / f"predictions/{part}.parquet"
        path.parent.mkdir(exist_ok=True)
        best = self.rng.choice(self.labels, self.cells).astype(object)
        table = {"label": best.copy(), "best_label": best, "prediction_set": best}
        table["level"] = np.repeat("label", self.cells).astype(object)
        table["reason"] = np.full(self.cells, None, dtype=object)
        table["label"][:10], table["level"][:10] = "unknown", None
        table["reason"][:10] = self.rng.choice(REASONS, 10)
        numbers = ["probability", "outside_p", "distance", *(f"{head}_probability" for head in HEADS)]
        for level in self.levels:
            nodes = np.array([level["of"][label] for label in best], dtype=object)
            table[f"level_{level['name']}"] = nodes
            numbers.append(f"level_{level['name']}_probability")
            table["label"][10:20], table["level"][10:20] = nodes[10:20], level["name"]
            table["reason"][10:20] = "subtype unsure"
        table |= {name: self.rng.random(self.cells).astype("f4") for name in numbers}
        table |= {f"{head}_label": self.rng.choice(self.labels, self.cells) for head in HEADS}
        table["truth"] = np.where(
            self.rng.random(self.cells) < 0.7, best, self.rng.choice(self.labels, self.cells)
        )
        table["truth"][:7] = ["<HSC>"] * 3 + [RARE] * 4
        pd.DataFrame(table).to_parquet(path)
        return str(path)

    def write_evaluation(self, part):
        predictions = str(self.folder / f"predictions/{part}.parquet")
        tree = LabelTree(self.labels, [RARE], self.levels)
        counted = tally(predictions, tree, HEADS)
        scores = describe(counted, tree, HEADS)
        add_separation(scores, predictions, counted, tree)
        both = {"accuracy": 0.912, "macro_f1": 0.834}
        scores["baseline"] = both | {"method": "PCA", "n_cells": 57, "cellferry_on_the_same_cells": both}
        path = self.folder / f"evaluation/{part}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(scores), encoding="utf-8")
        return str(path)

    def write_rules(self):
        held_back = {"cells": 100, "donors": 0, "accepted": 90, "wrong": 3, "error": 1 / 30}
        rules = {
            "held_back": held_back | {"error_bound_95": 0.084},
            "weights": {"linear": 0.5, "expression": 0.5},
        }
        path = self.folder / "rules.json"
        path.write_text(json.dumps(rules | {"made_from": {"model": "0123abcd", "genes": "4567efab"}}))
        return path

    def write_gene_loss(self, query, loss):
        labels = {
            "B": {"f1": 1.0, "f1_without": 0.25, "cells": 3},
            "T": {"f1": 0.5, "f1_without": 0.5, "cells": 3},
        }
        found = {"genes": 4000, "measured": 547, "macro_f1": 0.964, "macro_f1_without": 0.964 - loss}
        found |= {"cells": 6, "loss": loss, "labels": labels, "advice": loss > 0.05}
        path = self.folder / f"mapped/{query}/gene_loss.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
        self.gene_loss.append(str(path))

    def write_left_out(self):
        entry = {"cells": 50, "accepted": 40, "as": {"B": 30, "γδ $T$": 10}}
        entry["auroc"] = {"outside_p": 0.9712, "distance": 0.5, "probability": None}
        path = self.folder / "evaluation/left_out.json"
        path.write_text(json.dumps({"T <CD4> & co": entry}), encoding="utf-8")
        return str(path)

    def draw(self, **changed):
        inputs = {
            "evaluations": self.evaluations, "gene_loss": self.gene_loss, "rules": str(self.write_rules()),
            "left_out": None, "labels": str(self.folder / "labels.json"),
            "predictions": self.predictions, "mapped": self.mapped,
            "inspected": self.inspected, "logs": str(self.folder / "logs"),
            "datasets": str(self.folder / "datasets.tsv"), "genes": str(self.folder / "genes.json"),
            "history": str(self.folder / "history.csv"), "benchmarks": str(self.folder / "benchmarks"),
        }  # fmt: skip
        place = {"page": str(self.folder / "report.html"), "drawn": str(self.folder / "figures")}
        write_page(**inputs | self.settings | place | changed)
        return (self.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def no_umap(monkeypatch):
    """The map's place taken by two latents: umap's compiler takes half a minute."""
    monkeypatch.setattr(report_page, "embed", lambda latents, seed: latents[:, :2])


def test_page_is_self_contained_and_escaped(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1", "q2"], scored=["test", "q1"], labels=LABELS).draw()
    text = re.sub(r'"data:image/[^"]+"', '"picture"', page)
    # Names of XML and what an SVG says of them are no addresses that are fetched.
    text = re.sub(r'xmlns(:xlink)?="[^"]*"', "", text)
    assert "://" not in text
    assert re.search(r"<script[^>]* src|<link|@import|url\((?!#)", text) is None
    for label in [*LABELS, "<HSC>"]:
        assert html.escape(label, quote=False) in text
    assert "<CD4>" not in text
    assert "<HSC>" not in text
    assert page.count('src="data:image/') == 4  # the maps
    assert page.count("<svg") == 1 + 2 + 1  # reliability, confusions, training
    assert len(page) < 10 * 1024**2


def test_figures_are_files_too_and_the_same(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=["test", "q1"], labels=LABELS).draw()
    drawn = tmp_path / "figures"
    names = sorted(str(path.relative_to(drawn)) for path in drawn.rglob("*.*"))
    maps = [f"maps/{by}.png" for by in ("batch", "dataset", "label", "probability")]
    assert names == ["confusion/q1.svg", "confusion/test.svg", *maps, "reliability.svg", "training.svg"]
    for path in drawn.rglob("*.svg"):
        assert figures.for_page(path) in page
    for path in drawn.rglob("*.png"):
        assert figures.png_uri(path) in page


def test_page_opens_with_the_answer(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    text = re.sub(r"\s+", " ", page)
    found = re.search(r"Of 60 cells, (\d+) got one of 4 labels; (\d+) \(", text)
    assert int(found[1]) + int(found[2]) == 60
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert headings[:2] == ["The answer", "Can it be trusted?"]
    for expected in ("0.912", "0.834", "1,342", "something", "512 MB", "30.5 s"):
        assert expected in text


FAMILY = {"name": "family <coarse>", "of": dict(zip(LABELS, ["T", "T", "other", "B"], strict=True))}


def cells_of(page, heading, first):
    """Cells of the row that begins with `first`, in the table after a heading."""
    section = re.split(r"<h[23]", page.partition(f">{heading}<")[2])[0]
    rows = [
        [
            html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<td.*?</td>", row, re.S)
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", section, re.S)
    ]
    return next(row for row in rows if row[:1] == [first])


def test_scores_are_shown_level_by_level(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1"], scored=["test", "q1"], labels=LABELS, levels=[FAMILY])
    page = world.draw()
    scores = json.loads((tmp_path / "evaluation/q1.json").read_text(encoding="utf-8"))
    section = page.partition(">Level by level<")[2].partition("<h3")[0]
    for level, found in scores["levels"].items():
        assert html.escape(level) in section
        for head in ("forced", "answer"):
            assert f"{found['heads'][head]['macro_f1']:.3f}" in section
    assert "10 got a label of a coarser level" in page
    assert "subtype unsure 10" in page
    one_level = World(tmp_path / "one", queries=["q1"], scored=["test"], labels=LABELS)
    assert "Level by level" not in one_level.draw()


def test_calibration_error_stands_beside_the_curve_and_in_the_table(tmp_path, no_umap, monkeypatch):
    drawn = {}
    curve = figures.reliability_curve
    monkeypatch.setattr(
        figures, "reliability_curve", lambda bins, errors: drawn.update(errors) or curve(bins, errors)
    )
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    forced = json.loads((tmp_path / "evaluation/test.json").read_text(encoding="utf-8"))["forced"]
    assert drawn == {"test": forced["ece"]}
    row = cells_of(page, "The classifiers one by one", "test")
    assert row[1] == f"{forced['accuracy']:.3f} / {forced['macro_f1']:.3f} / {forced['ece']:.3f}"


def test_reasons_and_risk_are_shown_per_query(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    rejection = json.loads((tmp_path / "evaluation/test.json").read_text(encoding="utf-8"))["rejection"]
    row = cells_of(page, "What was accepted, and at what risk", "test")
    assert row[1:3] == ["60", "83.3%"]
    assert row[3:6] == [str(n) for n in rejection["reasons"].values()]
    assert row[7] == f"{rejection['all_truth']['error_among_accepted']:.1%}"
    answered = page.partition('id="trust"')[0]
    for reason in REASONS:
        assert re.search(rf"{reason} \d", answered)


def test_labels_that_are_confused_and_those_that_are_not_seen(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    path = tmp_path / "evaluation/test.json"
    scores = json.loads(path.read_text(encoding="utf-8"))
    scores["confused_labels"] = [{"labels": LABELS[:2], "share": 0.25, "confused": 5, "cells": 20}]
    path.write_text(json.dumps(scores), encoding="utf-8")
    page = world.draw(left_out=world.write_left_out())
    row = cells_of(page, "Labels that cannot be told apart", "test")
    assert row == ["test", " – ".join(LABELS[:2]), "20", "5 (25.0%)"]
    heading = "What this reference cannot see"
    section = page.partition(f">{heading}<")[2]
    assert f"{html.escape(RARE)} (4 cells)" in section
    for label, why in {"<HSC>": "not in the reference", RARE: "too few cells"}.items():
        assert re.search(rf">{re.escape(html.escape(label))}</td><td>{why}", section)
    left_out = cells_of(page, heading, "T <CD4> & co")
    assert left_out == ["T <CD4> & co", "50", "40", "80.0%", "B (30), γδ $T$ (10)", "0.971", "0.500", "–"]
    assert "taken for others if the reference lacked them" in page


def test_several_unseen_labels_have_a_row_together(tmp_path):
    World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    scores = json.loads((tmp_path / "evaluation/test.json").read_text(encoding="utf-8"))
    assert [row["label"] for row in report_page.unseen_labels({"test": scores})] == ["<HSC>", RARE]
    scores["labels_not_in_reference"]["other"] = scores["labels_not_in_reference"]["<HSC>"]
    rows = report_page.unseen_labels({"test": scores})
    assert [row["label"] for row in rows] == ["<HSC>", "other", "(together)", RARE]
    assert rows[2]["auroc"] == scores["not_in_reference"]["auroc"]


def test_nothing_confused_and_nothing_unseen_is_said_so(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    path = tmp_path / "evaluation/test.json"
    scores = json.loads(path.read_text(encoding="utf-8"))
    scores |= {"labels_not_in_reference": {}, "labels_not_predictable": {}, "confused_labels": []}
    path.write_text(json.dumps(scores), encoding="utf-8")
    seen = {label: {"cells": 60, "predictable": True} for label in LABELS}
    (tmp_path / "labels.json").write_text(json.dumps({"labels": seen}), encoding="utf-8")
    page = world.draw()
    assert "None: of no two labels" in page
    assert "this cannot be said" in page


def test_answers_are_counted_with_the_probability_of_their_level(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, levels=[FAMILY])
    frame = pd.read_parquet(world.predictions[1])
    found = count_labels(world.predictions[1])
    assert (found.n_cells, found.n_unknown, found.n_coarser) == (60, 10, 10)
    assert found.reasons == frame["reason"].value_counts().to_dict()
    for entry in found.labels:
        rows = frame[(frame["label"] == entry["label"]) & (frame["level"] == entry["level"])]
        column = "probability" if entry["level"] == "label" else f"level_{FAMILY['name']}_probability"
        assert entry["cells"] == len(rows)
        assert entry["probability"] == pytest.approx(rows[column].mean())


def test_what_was_learned_from_held_back_cells_and_hashes(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    text = re.sub(r"\s+", " ", page)
    assert "model <code>0123abcd</code>" in text
    assert (
        "Of 100 held-back cells 90 got a label, 3 a wrong one (3.3%; below 8.4% with 95 % confidence" in text
    )
    assert "linear 0.500, expression 0.500" in text


def test_genes_that_a_query_lacks(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1", "q2"], scored=["test"], labels=LABELS)
    world.write_gene_loss("q1", 0.2)
    world.write_gene_loss("q2", 0.01)
    page = world.draw()
    row = cells_of(page, "Genes of the model that a query lacks", "q1")
    assert row[1:6] == ["4,000", "547", "0.964", "0.764", "0.200"]
    assert re.sub(r"\s+", " ", row[6]) == "B (1.000 to 0.250)"
    assert "q1: lacks 3,453 of the model" in page
    assert "q2: lacks" not in page


def test_many_labels(tmp_path, no_umap):
    labels = [f"label number {n}" for n in range(200)]
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=labels, cells=3000).draw()
    assert "smaller labels" in page
    assert "The 60 largest of 202 labels" in page  # the rare one and the foreign one are rows, too
    assert len(page) < 10 * 1024**2


def test_confusion_of_many_labels_keeps_every_cell():
    labels = [f"l{n:03d}" for n in range(100)]
    cells = np.random.default_rng(0).integers(1, 9, (100, 101))
    confusion = {"truth": labels, "predicted": [*labels, "unknown"], "cells": cells.tolist()}
    truth, predicted, shown, shares = figures.confusion_shares(confusion)
    assert shares.shape == (60, 62)  # the rows' labels, unknown, others
    assert predicted[-2:] == ["unknown", "others"]
    np.testing.assert_array_equal(
        shown.sum(axis=1), cells[[labels.index(name) for name in truth]].sum(axis=1)
    )
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_figures_say_their_numbers(tmp_path):
    confusion = {"truth": ["a", "b"], "predicted": ["a", "b"], "cells": [[3, 1], [0, 2]]}
    figures.save(*insert(figures.confusion_heatmap(confusion), tmp_path / "c.svg"))
    said = re.findall(r"<title>(.*?)</title>", (tmp_path / "c.svg").read_text(encoding="utf-8"))
    assert said == [
        "truth a, answer a: 3 of 4 cells (75.0%)",
        "truth a, answer b: 1 of 4 cells (25.0%)",
        "truth b, answer b: 2 of 2 cells (100.0%)",
    ]
    losses = {"training": ([0.0, 1.0], [9.0, 8.0]), "validation": ([1.0], [8.5])}
    figures.save(*insert(figures.training_curve(losses), tmp_path / "t.svg"))
    said = re.findall(r"<title>(.*?)</title>", (tmp_path / "t.svg").read_text(encoding="utf-8"))
    assert said == ["training, epoch 0: 9", "training, epoch 1: 8", "validation, epoch 1: 8.5"]


def insert(drawn, path):
    figure, titles = drawn
    return figure, path, titles


def test_wrong_answers_are_listed_the_commonest_first():
    confusion = {"truth": ["a", "b"], "predicted": ["a", "b", "unknown"], "cells": [[6, 1, 3], [0, 2, 0]]}
    assert report_page.mistakes(confusion) == [
        {"truth": "a", "answer": "unknown", "cells": 3, "share": 0.3},
        {"truth": "a", "answer": "b", "cells": 1, "share": 0.1},
    ]


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
    cells["reason"] = np.where(far, "outside the reference", None)
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
        assert row["outside"] == pytest.approx(own["reason"].notna().mean())
        assert row["probability"] == pytest.approx(own["probability"].mean())
        assert row["share"] == pytest.approx(known.iloc[0] / len(own))


def test_of_very_many_batches_those_with_most_unknown_cells_are_shown(tmp_path, no_umap, monkeypatch):
    monkeypatch.setattr(report_page, "MOST_BATCHES_SHOWN", 5)
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()  # a batch per cell
    section = page.partition(">Batches of the queries<")[2].partition("<h3")[0]
    assert "q1: 60 batches" in re.sub(r"\s+", " ", section)
    assert section.count("100.0%</td>") >= 5


def test_how_training_went():
    config = {"model": {"type": "scvi", "patience": 45, "early_stopping": True}}
    rows = [
        {"epoch": str(n), "train_loss": str(9 - n), "validation_loss": str(loss), "max_epochs": "400"}
        for n, loss in enumerate([9, 7, 8])
    ]
    said = report_page.training_in_words(rows, config)
    assert (said["epochs"], said["max_epochs"], said["best"], said["loss"]) == (3, 400, 2, 7)
    assert report_page.training_in_words([], config) is None
    del rows[-1]["max_epochs"]  # of an earlier version
    assert report_page.training_in_words(rows, config)["max_epochs"] is None


def test_history_without_a_single_loss(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    (tmp_path / "history.csv").write_text("epoch,train_loss,validation_loss\n")
    assert "The model left no training history" in world.draw()


@pytest.mark.slow
def test_umap_of_the_latents(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    assert "Map coloured by label" in page


def test_map_cells_keep_labels_and_latents_together(tmp_path, monkeypatch):
    monkeypatch.setattr(umap, "MAX_MAP_CELLS", 50)
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS)
    by_part = {"reference": world.mapped[:2], "q1": world.mapped[2:]}
    cells = map_cells(by_part, {"q1": world.predictions[1]}, seed=0)
    assert set(cells["batch"]) <= {f"c{chunk}_{row}" for chunk in (0, 1) for row in range(30)}
    assert cells["latents"].shape == (50, 3)
    assert cells["dataset"].tolist() == ["reference"] * 25 + ["q1"] * 25
    tables = [pq.read_table(path, columns=["latent_0", "label"]) for path in world.mapped[:2]]
    label_of = {row["latent_0"]: row["label"] for table in tables for row in table.to_pylist()}
    assert [label_of[float(value)] for value in cells["latents"][:25, 0]] == cells["label"][:25].tolist()
    assert np.isnan(cells["probability"][:25]).all()
    assert not np.isnan(cells["probability"][25:]).any()


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


def test_costs_stand_beside_what_was_predicted(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    row = re.search(r"<td>map_query</td>.*?</tr>", page, re.S)[0]
    asked, predicted, used, *shares = re.findall(r">([\d,]+ MB|–)<", row)
    assert shares == ["–", "–"]  # of what was asked for, of the cores: neither is known
    assert (asked, used) == ("–", "512 MB")
    assert 500 < int(predicted.removesuffix(" MB").replace(",", "")) < 3000


def test_a_model_of_others_leaves_things_unsaid(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1"], scored=["q1"], labels=LABELS)
    world.settings["config"]["pretrained"] = {"model": "atlas/model", "latents": "cells.h5ad"}
    world.settings["references"] = []
    scores = json.loads((tmp_path / "evaluation/q1.json").read_text(encoding="utf-8"))
    (tmp_path / "evaluation/q1.json").write_text(json.dumps(scores | {"baseline": None}))
    assert not [said for said in remarks({}, {"q1": scores | {"baseline": None}}, {}, gene_loss={}, rare={},
                                         left_out={}) if "baseline" in said]  # fmt: skip
    with h5py.File(tmp_path / "q1.h5ad", "w") as file:
        file["var/measured"] = np.array([True] * 3 + [False])
    page = world.draw(common=[str(tmp_path / "q1.h5ad")])
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Cell-type labels from atlas/model" in text
    assert "what missing genes cost cannot be foretold" in text
    assert "q1 4 3 75.0%" in text


def test_what_an_earlier_run_says_of_its_datasets_is_not_said_of_these(tmp_path, no_umap):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    genes = json.loads((tmp_path / "genes.json").read_text(encoding="utf-8"))
    genes["datasets"]["q1"]["common_share"] = 0.1
    (tmp_path / "genes.json").write_text(json.dumps(genes), encoding="utf-8")
    assert "only 10.0% of its genes" in world.draw()
    world.settings["config"]["pretrained"] = "earlier/results"
    world.settings["references"] = []
    world.write_gene_loss("q1", 0.01)
    page = world.draw()
    assert "only 10.0% of its genes" not in page
    assert "common to all datasets" not in page
    assert "10.0%" not in re.split(r"<h2", page.partition(">What was mapped<")[2])[0]
    assert ">900<" in page
    assert cells_of(page, "Genes of the model that a query lacks", "q1")[1:3] == ["4,000", "547"]


def test_nothing_was_scored(tmp_path, no_umap):
    page = World(tmp_path, queries=["q1"], scored=[], labels=LABELS).draw()
    assert "No cells of a known truth were scored." in page


def test_remarks_say_what_lowers_the_trust(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    scores = json.loads((tmp_path / "evaluation/test.json").read_text(encoding="utf-8"))
    assert len(world.evaluations) == 1
    scores["forced"]["accuracy"] = 0.5
    scores["baseline"] |= {"accuracy": 0.9, "cellferry_on_the_same_cells": {"accuracy": 0.5}}
    scores["forced"]["ece"], scores["truth_in_reference"] = 0.3, 500
    scores["confused_labels"] = [{"labels": ["a", "b"], "share": 0.25, "confused": 5, "cells": 20}]
    scores["answered"]["rejected_share"] = 0.9
    answers = {"q1": LabelCounts(100, 40, [], {})}
    left_out = {
        "seen as B": {"cells": 10, "accepted": 8, "as": {"A": 1, "B": 7}},
        "seen": {"cells": 10, "accepted": 1, "as": {"A": 1}},
        "empty": {"cells": 0, "accepted": 0, "as": {}},
    }
    genes = {"datasets": {"q1": {"common_share": 0.2}}}
    found = " ".join(
        remarks(answers, {"test": scores}, genes, gene_loss={}, rare={"mast": 1234}, left_out=left_out)
    )
    for expected in (
        "only 50.0% of the cells",
        "simple baseline",
        "<HSC>",
        "40.0% of the cells",
        "only 20.0%",
        "off by 0.30",
        "90.0% of the reference's own held-back cells are unknown",
        "a and b are hardly told apart; 25.0%",
        "mast (1,234)",
        "1 of 3 labels",
        "without seen as B, 80.0% of its cells were accepted, most as B",
    ):
        assert expected in found
    assert remarks({"q1": LabelCounts(100, 1, [], {})}, {}, {}, gene_loss={}, rare={}, left_out={}) == []


def test_remarks_on_rounded_counts():
    first = {"cells": 1200, "before": 2000.4, "after": 1900.0}
    rounded = {"q1": first, "q2": {"cells": 0, "before": 0.0, "after": 0.0}}
    found = remarks({}, {}, {}, gene_loss={}, rare={}, left_out={}, rounded=rounded)
    assert "q1: its counts were fractional, and are rounded to whole numbers (counts_rounding)" in found[0]
    assert "of its first 1,200 cells the total of 2,000.4 became 1,900 (-5.02%)" in found[0]
    assert "the log of convert_to_chunks says how much" in found[1]


def test_numbers_are_readable():
    assert [percent(None), percent(0.1234)] == ["–", "12.3%"]
    assert [count(None), count(12345), count(0.12345), count("symbol")] == ["–", "12,345", "0.123", "symbol"]
    assert [duration(3.21), duration(600), duration(8000)] == ["3.2 s", "10 min", "2 h 13 min"]
