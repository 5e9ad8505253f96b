"""A small run for a report, and the parsed page."""

import csv
import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.shifted_genes import IN_MOST_LABELS
from cellferry.config.schema import fill_defaults
from cellferry.evaluation.label_genes import GENE_COLUMNS, SHIFT_COLUMNS
from cellferry.evaluation.summary import describe
from cellferry.labels.vocabulary import MAPPINGS
from cellferry.report.page import write_page
from cellferry.report.run_files import RunFiles, RunSettings
from example_artifacts import (
    baseline_of,
    decision_of,
    gene_loss_of,
    hierarchy_of,
    left_out_of,
    reference_labels_of,
    write_features,
    write_inspection,
    write_left_out,
)

LABELS = ["T <CD4> & co", "γδ $T$", "_hidden", "B"]
RARE = "mast <1>"
FOREIGN = "<HSC>"
HEADS = ["xgboost", "linear"]
REASONS = ["ambiguous", "out of reference", "low quality"]
FAMILY = {"family <coarse>": dict(zip([*LABELS, RARE], ["T", "T", "other", "B", RARE], strict=True))}


class Page:
    """A page, or a section of one.

    Attributes
    ----------
    source
        Its HTML.
    """

    def __init__(self, source):
        self.source = source

    @property
    def text(self):
        """Text without tags, with single spaces."""
        return _words(self.source)

    @property
    def headings(self):
        """Names of the sections."""
        return [_words(name) for name in re.findall(r"<h2[^>]*>(.*?)</h2>", self.source, re.S)]

    @property
    def remarks(self):
        """Remarks at the top of the section on accuracy."""
        listed = self.source.partition('<div class="remarks" id="remarks">')[2].partition("</div>")[0]
        return [_words(remark) for remark in re.findall(r"<li>(.*?)</li>", listed, re.S)]

    def section(self, heading):
        """The part between a heading and the next one."""
        for name in re.finditer(r"<h[23][^>]*>(.*?)</h[23]>", self.source, re.S):
            if _words(name[1]) == heading:
                return Page(re.split(r"<h[23]", self.source[name.end() :])[0])
        raise AssertionError(f"the page has no section {heading!r}")

    @property
    def rows(self):
        """Cells of the rows of all tables; a row of headers is empty."""
        rows = re.findall(r"<tr>(.*?)</tr>", self.source, re.S)
        return [[_words(cell) for cell in re.findall(r"<td.*?</td>", row, re.S)] for row in rows]

    def row(self, first):
        """Cells of the row that begins with `first`."""
        (row, *_) = [row for row in self.rows if row[:1] == [first]]
        return row


def _words(source):
    source = re.sub(r"<(script|style)\b.*?</\1>", "", source, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", source))).strip()


class World:
    """Input files of a report: a reference, queries of 60 cells in two chunks each, a test part."""

    def __init__(
        self,
        folder,
        *,
        queries,
        scored,
        labels,
        levels=None,
        cells=60,
        batches=None,
        mapped_twice=(),
        explained=(),
    ):
        self.folder, self.labels, self.cells = folder, labels, cells
        self.hierarchy = hierarchy_of(labels, levels, rare=[RARE])
        self.batches, self.mapped_twice = batches, mapped_twice
        self.rng = np.random.default_rng(0)
        write_artifact(reference_labels_of(self.hierarchy, {RARE: 4}), folder / "labels.json")
        roles = {"ref": "reference"} | dict.fromkeys(queries, "query")
        config = {"datasets": {name: {"role": role, "path": "x"} for name, role in roles.items()}}
        fill_defaults(config)
        self.settings = {"references": ["ref"], "queries": queries, "config": config, "seed": 0}
        found = {"cells": 60, "genes": 2000, "values_per_cell": 300.0, "n_labels": len(labels), "label": None}
        self.inspected = [
            write_inspection(folder / "inspected", name, role, **found) for name, role in roles.items()
        ]
        self.mapped = [path for part in ("reference", *queries) for path in self.write_mapped(part)]
        self.predictions = [self.write_predictions(part) for part in ("test", *queries)]
        self.evaluations = [self.write_evaluation(part) for part in scored]
        self.gene_loss = []
        written = [self.write_genes(query) for query in explained]
        self.label_genes, self.shifted_genes = ([paths[table] for paths in written] for table in (0, 1))
        (folder / "datasets.tsv").write_text("dataset\tcells\nref\t60\n", encoding="utf-8")
        compared = ((name, "index") for name in ("ref", *queries))
        numbers = {"genes": 2000, "common_share": 0.5}
        write_features(folder / "genes.json", *compared, numbers=numbers, n_common=1342, n_selected=900)
        (folder / "history.csv").write_text(
            "epoch,train_loss,validation_loss,max_epochs\n0,5,6,400\n1,4,,400\n2,3,4,400\n"
        )
        for rule, rows in {"map_query/a": ["10.5\t512.25", "20\tNA"], "report": ["-\t-"]}.items():
            (folder / "benchmarks" / rule).mkdir(parents=True)
            for number, row in enumerate(rows):
                (folder / f"benchmarks/{rule}/{number}.tsv").write_text(f"s\tmax_rss\n{row}\n")

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
        """Random answers: a sixth unknown, another sixth of a coarser level if there is one."""
        path = self.folder / f"predictions/{part}.parquet"
        path.parent.mkdir(exist_ok=True)
        best = self.rng.choice(self.labels, self.cells).astype(object)
        table = {"label": best.copy(), "best_label": best, "prediction_set": best}
        table["level"] = np.repeat("label", self.cells).astype(object)
        table["reason"] = np.full(self.cells, None, dtype=object)
        table["label"][:10], table["level"][:10] = "unknown", None
        table["reason"][:10] = self.rng.choice(REASONS, 10)
        numbers = ["probability", "ood_pvalue", "distance", *(f"{head}_probability" for head in HEADS)]
        for level in self.hierarchy.levels:
            nodes = np.array([self.hierarchy.node(label, level) for label in best], dtype=object)
            table[f"level_{level}"] = nodes
            numbers.append(f"level_{level}_probability")
            table["label"][10:20], table["level"][10:20] = nodes[10:20], level
            table["reason"][10:20] = "subtype unsure"
        table |= {name: self.rng.random(self.cells).astype("f4") for name in numbers}
        table |= {f"{head}_label": self.rng.choice(self.labels, self.cells) for head in HEADS}
        table["truth"] = np.where(
            self.rng.random(self.cells) < 0.7, best, self.rng.choice(self.labels, self.cells)
        )
        if part in self.mapped_twice:
            for mapping in MAPPINGS:
                table[f"{mapping}_label"] = self.rng.choice(self.labels, self.cells)
                table[f"{mapping}_probability"] = self.rng.random(self.cells).astype("f4")
        table["truth"][:7] = [FOREIGN] * 3 + [RARE] * 4
        pd.DataFrame(table).to_parquet(path)
        return str(path)

    def write_genes(self, query):
        """Tables of a query's genes: every label against the next one, and a shared shift."""
        labels = self.labels
        speaking, shifted = [], []
        for rank, effect in enumerate((2.5, -1.5), start=1):
            gene = {"gene": f"<S{rank}>", "symbol": f"<S{rank}>", "rank": rank, "effect": effect}
            shifted.append(gene | {"label": IN_MOST_LABELS, "labels": 3, "of_labels": len(labels)})
        for code, label in enumerate(labels):
            about = {"label": label, "cells": 100 - code % 100, "runner_up": labels[code - 1]}
            for rank, means in enumerate([(3, 3, 1), (0.5, 1, 3), (9, 1, 1.5)], start=1):
                gene = {"gene": f"ENSG{rank}", "symbol": f"G{rank}", "rank": rank, "share": 0.4 / rank}
                means = dict(zip(("mean_query", "mean_label", "mean_runner_up"), means, strict=True))
                speaking.append(about | gene | means)
            for rank in range(1, 11):
                gene = {"gene": f"M{rank}", "symbol": f"M{rank}", "rank": rank, "effect": 0.7}
                shifted.append({"label": label, "cells": 100 - code % 100} | gene)
        paths = []
        for name, columns, rows in (
            ("label_genes", GENE_COLUMNS, speaking),
            ("shifted_genes", SHIFT_COLUMNS, shifted),
        ):
            path = self.folder / f"predictions/{query}/{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, columns, delimiter="\t")
                writer.writeheader()
                writer.writerows(rows)
            paths.append(str(path))
        return paths

    def write_evaluation(self, part):
        heads = [*HEADS, *(MAPPINGS if part in self.mapped_twice else ())]
        scores = describe(str(self.folder / f"predictions/{part}.parquet"), self.hierarchy, heads)
        path = self.folder / f"evaluation/{part}.json"
        baseline = baseline_of(0.912, 0.834, levels=self.hierarchy.names)
        write_artifact(replace(scores, baseline=baseline), path)
        return str(path)

    def scores(self, part):
        """Written scores of a part."""
        return read_artifact(Evaluation, self.folder / f"evaluation/{part}.json")

    def change_scores(self, part, **changed):
        """Replace some scores of a part."""
        write_artifact(replace(self.scores(part), **changed), self.folder / f"evaluation/{part}.json")

    def change_inspection(self, name, **changed):
        """Rewrite an inspection of a dataset with some fields changed."""
        (path,) = [path for path in self.inspected if Path(path).stem == name]
        write_artifact(replace(read_artifact(Inspection, path), **changed), path)

    def write_decision(self):
        write_artifact(decision_of({}), self.folder / "calibration.json")
        return self.folder / "calibration.json"

    def write_gene_loss(self, query, loss, **changes):
        self.gene_loss.append(str(self.folder / f"mapped/{query}/gene_loss.json"))
        write_artifact(gene_loss_of(loss, **changes), self.gene_loss[-1])

    def write_left_out(self):
        labels = {"T <CD4> & co": left_out_of(50, **{"B": 30, "γδ $T$": 10})}
        return write_left_out(self.folder / "evaluation/left_out.json", labels)

    def draw(self, *, missing=(), **changed):
        """Draw the page; given files replace the run's own."""
        files = {
            "evaluations": self.evaluations, "gene_loss": self.gene_loss,
            "decision": str(self.write_decision()),
            "labels": str(self.folder / "labels.json"), "predictions": self.predictions,
            "mapped": self.mapped, "inspected": self.inspected,
            "datasets": str(self.folder / "datasets.tsv"), "genes": str(self.folder / "genes.json"),
            "history": str(self.folder / "history.csv"),
            "label_genes": self.label_genes, "shifted_genes": self.shifted_genes,
        }  # fmt: skip
        left = {name: str(self.folder / name) for name in ("benchmarks", "logs")}
        write_page(
            RunFiles(**files | changed),
            RunSettings(**self.settings, **left),
            page=str(self.folder / "report.html"),
            drawn=str(self.folder / "figures"),
            missing=missing,
        )
        return Page((self.folder / "report.html").read_text(encoding="utf-8"))
