"""Very many labels: time, memory and accuracy of the classifiers; writes benchmarks/many_labels.md.

    python benchmarks/many_labels.py --data /data              # all, two hours
    python benchmarks/many_labels.py --labels 300 --ways many  # a part; other rows stay

Real cells of 48 labels (with --data) and simulated ones of 300 to 5,000 (`many_labels_cells.py`). No model is
trained: latents are 30 principal components. Each step is a separate process on one core, with the memory of
the local profile.
"""

import argparse
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from many_labels_cells import BATCHES, N_GENES, N_LATENT, Cells, Components, Tissue, coarse_nodes
from measuring import ROOT, machine, markdown, measured_inside, run_measured

sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

TABLE = ROOT / "benchmarks" / "many_labels.tsv"
PAGE = ROOT / "benchmarks" / "many_labels.md"
REAL = 48
TRAINING_CELLS = {300: 6_000, 1000: 50_000, 5000: 250_000}
QUERY_CELLS = {300: 20_000, 1000: 50_000, 5000: 100_000}
VALIDATION_CELLS = {300: 3_000, 1000: 20_000, 5000: 20_000}
WAYS = {
    "usual": "as up to 200 labels",
    "quick": "as up to 200 labels, but quicker",
    "many": "as above 200 labels",
}
QUICK_CANDIDATES, QUICK_TREES = (0.01, 0.1), {"n_trees": 150, "learning_rate": 0.1}
"""Two of the four strengths of shrinkage, and fewer trees: regressions of 300 labels would take an hour."""

STEPS = {
    "train": "train_classifier",
    "calibrate": "calibrate_classifier",
    "leave_out": "leave_labels_out",
    "predict": "predict_labels",
    "evaluate": "evaluate",
}
LIMIT_MB = 12_000
COLUMNS = ["labels", "way", "step", "cells", "seconds", "cpu_seconds", "peak_mb", "outcome"]
COLUMNS += ["heads", "accuracy", "given", "error", "by_head"]


def write_cells(folder: Path, name: str, cells: Cells, labels: list[str]) -> None:
    """Write a part like map_query and the subset rules."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from cellferry.artifacts.h5ad_writer import H5adWriter

    n_cells, n_genes = cells.counts.shape
    names = [f"cell{number}" for number in range(n_cells)]
    columns = {
        "cell": pa.array(names),
        "batch": pa.array([f"batch {code}" for code in cells.batches]),
        "label": pa.array([labels[code] for code in cells.codes]),
    }
    columns |= {f"latent_{number}": column for number, column in enumerate(cells.latents.T)}
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(n_genes)])
    annotation = {
        column: np.array(columns[column].to_pylist(), dtype=object) for column in ("batch", "label")
    }
    with H5adWriter(folder / f"{name}.h5ad", var) as writer:
        for start in range(0, n_cells, 10_000):
            part = slice(start, start + 10_000)
            obs = {name: values[part] for name, values in annotation.items()}
            writer.append(cells.counts[part], np.array(names[part], dtype=object), obs)


def write_all(folder: Path, n_labels: int, data: str | None) -> None:
    """Write training, validation and query cells, the labels and other inputs of the steps."""
    from cellferry.artifacts.json_files import write_artifact
    from cellferry.artifacts.labels import LabelCells, ReferenceLabels
    from cellferry.labels.hierarchy import LabelHierarchy

    if n_labels == REAL:
        labels, parts = real_cells(Path(data))
        hierarchy = LabelHierarchy([], {label: [] for label in labels}, labels)
    else:
        tissue = Tissue(n_labels)
        labels = tissue.labels
        nodes = [[f"lineage {node:02}"] for node in coarse_nodes(n_labels)]
        # The query has another batch effect than the reference, that of another laboratory.
        parts = {
            "train": tissue.draw(TRAINING_CELLS[n_labels], seed=1),
            "validation": tissue.draw(VALIDATION_CELLS[n_labels], seed=2),
            "query": tissue.draw(QUERY_CELLS[n_labels], seed=3, elsewhere=True),
        }
        hierarchy = LabelHierarchy(["lineage"], dict(zip(labels, nodes, strict=True)), labels)
    for name, cells in parts.items():
        write_cells(folder, name, cells, labels)
    sizes = np.bincount(parts["train"].codes, minlength=len(labels))
    counted = {label: LabelCells(int(n), int(n), 0, 0) for label, n in zip(labels, sizes, strict=True)}
    write_artifact(ReferenceLabels(counted, hierarchy, {}), folder / "labels.json")
    (folder / "model").mkdir()
    (folder / "genes.tsv").write_text("gene\n", encoding="utf-8")


def real_cells(data: Path) -> tuple[list[str], dict[str, Cells]]:
    """Zeisel's subclasses: half of the cells are the query, a tenth of the rest is held out."""
    import scanpy as sc
    from scipy import sparse
    from views import MIN_CELLS, PAIRS, read, split

    reference, query = (read(dataset, data) for dataset in PAIRS["Zeisel, subclasses"])
    sizes = reference.obs["label"].value_counts()
    labels = sorted(sizes.index[sizes >= MIN_CELLS])
    reference, query = (cells[cells.obs["label"].isin(labels).to_numpy()] for cells in (reference, query))
    genes = [gene for gene in reference.var_names if gene in set(query.var_names)]
    reference, query = reference[:, genes].copy(), query[:, genes].copy()
    chosen = sc.pp.highly_variable_genes(reference, flavor="seurat_v3", n_top_genes=N_GENES, inplace=False)
    chosen = chosen["highly_variable"].to_numpy()
    codes, truth = (np.searchsorted(labels, cells.obs["label"]) for cells in (reference, query))
    part = split(codes, seed=0)
    counts, asked = (sparse.csr_matrix(cells[:, chosen].X) for cells in (reference, query))
    axes = Components(counts[part == 0])
    found = {
        name: Cells(these, axes.of(these), of.astype(np.int32), np.arange(len(of), dtype=np.int32) % BATCHES)
        for name, these, of in (
            ("train", counts[part == 0], codes[part == 0]),
            ("validation", counts[part == 1], codes[part == 1]),
            ("query", asked, truth),
        )
    }
    return labels, found


def pretend(way: str) -> None:
    """Train and apply heads with the methods for few labels, or for very many."""
    from cellferry.config import available_heads
    from cellferry.heads import shrinkage

    if way == "quick":
        shrinkage.CANDIDATES = QUICK_CANDIDATES
        way = "usual"
    most = {"usual": 10**6, "many": 1}[way]
    for name, module in list(sys.modules.items()):
        if name.startswith("cellferry.") and hasattr(module, "MANY_LABELS"):
            module.MANY_LABELS = most
    for head in available_heads.TREES:
        available_heads.MOST_LABELS[head] = most


def one_step(step: str, way: str, folder: Path) -> None:
    """Run as the measured process."""
    import calibrate_classifier
    import evaluate as evaluation
    import leave_labels_out
    import predict_labels
    import train_classifier
    from cellferry.config.schema import fill_defaults
    from cellferry.config.settings import ClassifierSettings, LimitSettings, settings_of
    from cellferry.heads.training import TrainingFiles
    from cellferry.resources.budget import Budget
    from cellferry.resources.rules import RULES

    pretend(way)
    config = {"datasets": {}, "prediction": dict(QUICK_TREES) if way == "quick" else {}}
    fill_defaults(config)
    at = {name: str(folder / name) for name in ("labels.json", "model", "genes.tsv")}
    at |= {
        name: str(folder / way / name)
        for name in (
            "classifier",
            "decision.json",
            "left_out.json",
            "predictions.parquet",
            "evaluation.json",
        )
    }
    cells = {name: str(folder / f"{name}.h5ad") for name in ("train", "validation", "query")}
    mapped = {name: str(folder / f"{name}.parquet") for name in cells}
    mem_mb = RULES[STEPS[step]].local.mem_mb if way == "many" else LIMIT_MB
    job = {"budget": Budget(mem_mb), "threads": 1}

    def train() -> None:
        train_classifier.train_classifier(
            TrainingFiles(
                [mapped["train"]], [mapped["validation"]], at["model"], cells["train"], cells["validation"]
            ),
            at["labels.json"],
            at["classifier"],
            settings=ClassifierSettings(**settings_of(ClassifierSettings, config)),
            modality="rna",
            seed=0,
            **job,
        )

    def calibrate() -> None:
        calibrate_classifier.calibrate_classifier(
            [mapped["validation"]],
            [mapped["train"]],
            cells["validation"],
            at["classifier"],
            at["model"],
            at["genes.tsv"],
            at["decision.json"],
            max_error=0.05,
            seed=0,
            **job,
        )

    def predict() -> None:
        predict_labels.predict_labels(
            mapped["query"],
            cells["query"],
            at["classifier"],
            at["decision.json"],
            at["predictions.parquet"],
            chunk=0,
            chunks=1,
            limits=LimitSettings(**settings_of(LimitSettings, config)),
            **job,
        )

    def leave_out() -> None:
        leave_labels_out.leave_labels_out(
            [mapped["validation"]],
            cells["validation"],
            at["classifier"],
            at["decision.json"],
            at["left_out.json"],
            limits=LimitSettings(**settings_of(LimitSettings, config)),
            seed=0,
            **job,
        )

    def evaluate() -> None:
        evaluation.evaluate(
            at["predictions.parquet"],
            cells["train"],
            cells["query"],
            at["classifier"],
            at["evaluation.json"],
            seed=0,
            budget=job["budget"],
        )

    steps = {
        "train": train,
        "calibrate": calibrate,
        "leave_out": leave_out,
        "predict": predict,
        "evaluate": evaluate,
    }
    measured_inside(steps[step])


def scores(predictions: Path) -> dict:
    """Shares of right best labels, of assigned labels, of wrong ones among these, and per head."""
    import pyarrow.parquet as pq

    table = pq.read_table(predictions).to_pandas()
    truth = table["truth"]
    given = table["reason"].isna()
    heads = [name.removesuffix("_label") for name in table if name.endswith("_label")]
    by_head = {head: (table[f"{head}_label"] == truth).mean() for head in heads if head != "best"}
    return {
        "accuracy": (table["best_label"] == truth).mean(),
        "given": given.mean(),
        "error": (table["label"] != truth)[given].mean() if given.any() else np.nan,
        "by_head": " ".join(f"{head}:{share:.3f}" for head, share in by_head.items()),
        "heads": len(by_head),
    }


def measure(n_labels: int, way: str, folder: Path) -> list[dict]:
    """The steps of one way."""
    import pyarrow.parquet as pq

    (folder / way).mkdir()
    rows = []
    for step in STEPS:
        command = [sys.executable, __file__, "--step", step, "--ways", way, "--folder", folder]
        found = run_measured(command, limit_mb=LIMIT_MB)
        part = {"train": "train", "predict": "query", "evaluate": "query"}.get(step, "validation")
        cells = pq.read_metadata(folder / f"{part}.parquet").num_rows
        rows.append({"labels": n_labels, "way": way, "step": step, "cells": cells, **found})
        if step == "predict" and found["outcome"] == "ok":
            rows[-1] |= scores(folder / way / "predictions.parquet")
        print(rows[-1], flush=True)
        if found["outcome"] != "ok":
            break
    return rows


def page(table: pd.DataFrame) -> str:
    """The page, from the table."""
    from cellferry.config.available_heads import MANY_LABELS
    from cellferry.resources.rules import RULES

    lines = []
    for (n_labels, way), rows in table.groupby(["labels", "way"], sort=False):
        steps = rows.set_index("step")
        line = [f"{n_labels:,}", WAYS[way]]
        line.append(f"{steps.cells['train']:,}")
        line += [_took(steps, step) for step in ("train", "calibrate", "leave_out", "evaluate")]
        ok = "predict" in steps.index and steps.outcome["predict"] == "ok"
        if ok:
            asked = steps.loc["predict"]
            line.append(f"{asked.cells / asked.cpu_seconds:,.0f}")
            line.append(f"{asked.peak_mb:,.0f}")
            line += [f"{asked[name]:.3f}" for name in ("accuracy", "given", "error")]
            line.append(asked.by_head.replace(" ", ", ").replace(":", " "))
        else:
            line += ["–"] * 6
        lines.append(line)
    head = [
        "labels",
        "how",
        "training cells",
        "training, s (MB)",
        "calibration, s (MB)",
        "labels left out, s (MB)",
        "evaluation, s (MB)",
        "predicted, cells/s a core",
    ]
    head += ["MB", "accuracy", "given", "error", "accuracy by head"]
    text = markdown(head, lines)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "numpy", "scipy"))
    return f"""# Very many labels

{machine()}, {libraries}. `python benchmarks/many_labels.py --data DATA`, one thread; other work ran on the
machine, so seconds are CPU seconds.

Above {MANY_LABELS} labels the classifiers change
([docs/how_it_works.md](../docs/how_it_works.md#very-many-labels)): linear discriminants in place of
logistic regressions, no boosted trees, above 2,000 labels no ranks. The table compares both ways if the
usual one is feasible. *Quicker*: with two of the four strengths of shrinkage
({" and ".join(map(str, QUICK_CANDIDATES))}) and {QUICK_TREES["n_trees"]} rounds of trees at a step of
{QUICK_TREES["learning_rate"]}; all would take several times as long.

{REAL} labels are Zeisel's subclasses (half of the cells are the query); the others are simulated
(`many_labels_cells.py`): a hierarchy of labels, {N_GENES:,} genes, some 400 of which a cell expresses, and a
query whose batches scale genes differently. No model is trained: latents are {N_LATENT}
principal components. The simulation favors linear models, so its accuracy does not transfer to real data; it
shows the cost of labels, and whether a way fails.

{text}
*Training* (with the rehearsal), *calibration* and so on: CPU seconds, and peak memory (MB) in
brackets; the local profile gives train_classifier {RULES["train_classifier"].local.mem_mb:,} MB
and the others {RULES["predict_labels"].local.mem_mb:,}. At most 200 labels are left out. *Predicted*
includes reading the classifiers, a second or two.
*Accuracy*: share of the query's cells whose best label is right. *Given*: share with a label, not a
coarser one or `unknown`; *error*: share of wrong ones among these; 5 % are allowed.
"""


def _took(steps: pd.DataFrame, step: str) -> str:
    if step not in steps.index:
        return "–"
    row = steps.loc[step]
    return f"{row.cpu_seconds:,.0f} ({row.peak_mb:,.0f})" if row.outcome == "ok" else row.outcome


def main() -> None:
    """Measure, and write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CELLFERRY_TEST_DATA"), help="the real data")
    parser.add_argument("--labels", nargs="+", type=int, default=[REAL, *TRAINING_CELLS])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        one_step(options.step, options.ways[0], options.folder)
        return
    for n_labels in options.labels:
        if n_labels == REAL and not options.data:
            print(f"{REAL} labels: name --data, or set CELLFERRY_TEST_DATA")
            continue
        with tempfile.TemporaryDirectory() as name:
            write_all(Path(name), n_labels, options.data)
            for way in options.ways:
                rows = measure(n_labels, way, Path(name))
                save(n_labels, way, rows)
    PAGE.write_text(page(pd.read_csv(TABLE, sep="\t")), encoding="utf-8")


def save(n_labels: int, way: str, rows: list[dict]) -> None:
    """Put rows into the table, replacing those of the same labels and way."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    if TABLE.exists():
        old = pd.read_csv(TABLE, sep="\t")
        table = pd.concat([old[~((old.labels == n_labels) & (old.way == way))], table])
    order = list(WAYS)
    table = table.sort_values(
        ["labels", "way"], kind="stable", key=lambda c: c.map(order.index) if c.name == "way" else c
    )
    table.round(4).to_csv(TABLE, sep="\t", index=False)


if __name__ == "__main__":
    main()
