"""Time of merge_h5ad and gather_predictions against the number of chunks.

    python benchmarks/many_parts.py --work /scratch/many_parts

Both read all chunks of a dataset. Few cells, so that files dominate. Writes benchmarks/many_parts.md.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import scale
from cellferry.core.logs import peak_in
from cellferry.resources.budget import Budget
from gather_predictions import gather_predictions
from measuring import ROOT, machine, run_measured
from simulated_counts import simulate_counts

CELLS = {"query": 40_000, "reference": 2_000}
N_GENES = 300
SETTINGS = {
    "model": {"epochs": 2, "early_stopping": False},
    "surgery": {"epochs": 1},
    "prediction": {"n_trees": 100},
}
PAGE = ROOT / "benchmarks" / "many_parts.md"
PARTED = ("mapped", "predictions")
"""Folders of results with a file per chunk."""

INTRODUCTION = """# Many chunks

Time and memory of the two jobs that read all chunks of a dataset, against the number of chunks: {cells:,}
cells of {genes} genes, so that files dominate, not cells. CPU seconds, with the start of Python.

Command: `python benchmarks/many_parts.py --work FOLDER`. Machine: {machine}.

| chunks | `merge_h5ad`, CPU s | MiB | `gather_predictions`, CPU s | MiB |
| --- | --- | --- | --- | --- |
"""


def make_data(folder: Path, chunks: int) -> None:
    """Write the query, the reference and the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    datasets = {}
    for role, n_cells in CELLS.items():
        path = folder / f"{role}.h5ad"
        if not path.exists():
            simulate_counts(
                path, n_cells=n_cells, n_genes=N_GENES, expressed_share=0.5, seed=scale.SEEDS[role]
            )
        datasets[scale.NAMES[role]] = {"role": role, "path": path.name, "label": "cell_type", "chunks": 1}
    datasets["query"]["chunks"] = chunks
    (folder / "config.yaml").write_text(yaml.safe_dump({"datasets": datasets, **SETTINGS}))


def merged(folder: Path) -> tuple[float, float]:
    """Seconds and MiB of merging the query's chunks."""
    scale.run_workflow(folder, "results/merged/query.h5ad")
    log = "logs/merge_h5ad/query.log"
    notes = map(json.loads, (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines())
    (seconds,) = (note["cpu_seconds"] for note in notes if note["log"] == log)
    return seconds, peak_in((folder / log).read_text(encoding="utf-8"))


def gathered(whole: Path, parts: Path, number: int) -> tuple[float, float]:
    """Seconds and MiB of gathering a finished run's predictions in parts."""
    shutil.rmtree(parts, ignore_errors=True)
    for name in PARTED:
        (parts / name).mkdir(parents=True)
        table = pq.read_table(whole / "results" / name / "query" / "0.parquet")
        for part in range(number):
            first, last = (edge * len(table) // number for edge in (part, part + 1))
            pq.write_table(table.slice(first, last - first), parts / name / f"{part}.parquet")
    command = [sys.executable, __file__, "--work", whole, "--gather", parts]
    found = run_measured(command, limit_mb=4000)
    if found["outcome"] != "ok":
        raise SystemExit(f"gathering {number} parts: {found['outcome']}")
    return found["cpu_seconds"], found["peak_mb"]


def gather(whole: Path, parts: Path) -> None:
    """Run gather_predictions on parts."""
    results = whole / "results"
    predictions, mapped = (
        sorted(map(str, (parts / name).glob("*.parquet")), key=lambda path: int(re.findall(r"\d+", path)[-1]))
        for name in reversed(PARTED)
    )
    gather_predictions(
        predictions,
        mapped,
        str(results / "common" / "query.h5ad"),
        str(results / "reference" / "classifier"),
        str(results / "reference" / "labels.json"),
        parquet=str(parts / "all.parquet"),
        csv=str(parts / "all.csv.gz"),
        labeled=str(parts / "labeled.h5ad"),
        annotations=str(parts / "labeled.cas.json"),
        counts=True,
        budget=Budget(2000),
    )


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and results")
    parser.add_argument("--chunks", type=int, nargs="+", default=[25, 250, 2000], help="numbers of chunks")
    parser.add_argument("--gather", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.gather:
        gather(options.work, options.gather)
        return
    whole = options.work.resolve() / "whole"
    make_data(whole, 1)
    scale.run_workflow(whole, "results/labeled/query.h5ad")
    lines = []
    for number in options.chunks:
        folder = options.work.resolve() / str(number)
        make_data(folder, number)
        cells = [*merged(folder), *gathered(whole, folder / "parts", number)]
        lines.append(f"| {number:,} | " + " | ".join(f"{cell:,.1f}" for cell in cells) + " |\n")
        print(lines[-1], end="", flush=True)
    about = {"cells": CELLS["query"], "genes": N_GENES, "machine": machine()}
    PAGE.write_text(INTRODUCTION.format(**about) + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
