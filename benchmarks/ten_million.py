"""Run the whole chain on ten million cells, and write benchmarks/ten_million.md.

    python benchmarks/ten_million.py panel events --work /scratch/ten_million

`panel`: counts of 300 genes, as in spatial data, with more stored values than 32 bits can count; a
reference of 500,000 cells. `events`: 100 FCS files of 40 markers; a reference of 4 files and a twentieth as
many events. An interrupted run is resumed. Takes hours, and 40 GB of disk.
"""

import argparse
import json
import sys
from pathlib import Path

import h5py
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import cytometry
import scale
from measuring import ROOT, bytes_in, machine, markdown
from simulated_counts import simulate_counts

CELLS = 10_000_000
REFERENCE_SHARE = 20
PANEL = {"n_genes": 300, "expressed_share": 0.75}
FILES = {"query": 100, "atlas": 4}
SETTINGS = {
    "model": {"epochs": 2, "early_stopping": False, "batch_size": 512},
    "surgery": {"epochs": 1},
    "prediction": {"n_trees": 100},
}
MODALITIES = {"panel": "rna", "events": "cytometry"}
ABOUT = {
    "panel": """{cells:,} cells in one h5ad file, by [simulated_counts.py](simulated_counts.py): {genes}
genes, three quarters of them in each cell; a reference of {reference:,} cells.""",
    "events": """{cells:,} events, by [cytometry.py](cytometry.py): {markers} markers in {files} FCS files; a
reference of {reference:,} events.""",
}
PAGE = ROOT / "benchmarks" / "ten_million.md"

INTRODUCTION = """# Ten million cells

Generated cells, on {machine}. The workflow runs with `profiles/local`, one job at a time, on one core;
settings other than the defaults: {settings}. *CPU s* are CPU seconds of all jobs of a rule, with the start
of Python and its libraries; *peak* is the largest resident memory of its jobs in MiB, as counted by the
kernel; *requested* is `mem_mb`.

Command: `python benchmarks/ten_million.py {runs} --work FOLDER`.
"""


def make_panel(folder: Path) -> dict:
    """Write query and reference as h5ad files; return their configuration."""
    datasets = {}
    for role, n_cells in {"reference": CELLS // REFERENCE_SHARE, "query": CELLS}.items():
        name = scale.NAMES[role]
        path = folder / f"{name}.h5ad"
        if not path.exists():
            batches = tuple(scale.BATCHES[role])
            simulate_counts(path, n_cells=n_cells, batches=batches, seed=scale.SEEDS[role], **PANEL)
        datasets[name] = {"role": role, "path": path.name, "label": "cell_type", "batch": "sample"}
    return datasets


def make_events(folder: Path) -> dict:
    """Write query and reference as FCS files with tables of labels; return their configuration."""
    cytometry.FILES |= FILES
    datasets = {}
    for seed, (name, role) in enumerate({"atlas": "reference", "query": "query"}.items()):
        done = folder / f"{name}.made"
        if not done.exists():
            cytometry.make_files(folder, name, CELLS // (REFERENCE_SHARE if name == "atlas" else 1), seed)
            done.touch()
        about = {"role": role, "path": f"{name}/*.fcs", "obs": f"{name}/*.csv", "obs_by": "order"}
        datasets[name] = {**about, "label": "population", "batch": "sample"}
    return datasets


MAKE = {"panel": make_panel, "events": make_events}


def measure(run: str, folder: Path) -> dict:
    """Rows of a run's rules, and the sizes of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    datasets = MAKE[run](folder)
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"datasets": datasets, "modality": MODALITIES[run], **SETTINGS})
    )
    scale.run_workflow(folder)
    results = folder / "results"
    with h5py.File(results / "merged" / "query.h5ad", "r") as query:
        n_values = int(query["X/data"].shape[0])
    disk = {"input": bytes_in(folder) - bytes_in(results)}
    disk |= {path.name: bytes_in(path) for path in sorted(results.iterdir()) if path.is_dir()}
    return {"rows": scale.job_rows(folder), "values": n_values, "disk": disk, "machine": machine()}


def section(run: str, found: dict) -> str:
    """The measurements of a run."""
    rows = sorted(found["rows"], key=lambda row: -row["cpu_seconds"])
    head = ["rule", "of", "jobs", "cells", "CPU s", "cells/CPU s", "peak", "requested"]
    lines = []
    for row in rows:
        speed = row["cells"] / row["cpu_seconds"]
        lines.append([f"`{row['name']}`", row["of"], row["jobs"], f"{row['cells']:,}"])
        lines[-1] += [f"{row['cpu_seconds']:,.1f}", f"{speed:,.0f}"]
        lines[-1] += [f"{row['peak_mb']:,.0f}", f"{row['mem_mb']:,.0f}"]
    hours = sum(row["cpu_seconds"] for row in rows) / 3600
    largest = max(
        (row for row in rows if "train_reference" not in row["name"]), key=lambda row: row["peak_mb"]
    )
    disk = [[f"{name}: {size / 1e9:.2f}"] for name, size in found["disk"].items()]
    about = ABOUT[run].format(
        cells=CELLS,
        genes=PANEL["n_genes"],
        markers=cytometry.N_MARKERS,
        files=FILES["query"],
        reference=CELLS // REFERENCE_SHARE,
    )
    return (
        f"\n## {run.capitalize()}\n\n{about}\n\n{found['values']:,} stored values in the query. "
        "All jobs together take "
        f"{hours:.2f} hours of one core; the largest job after training is `{largest['name']}` with "
        f"{largest['peak_mb']:,.0f} MiB.\n\n{markdown(head, lines)}\n{markdown(['GB on disk'], disk)}"
    )


def main() -> None:
    """Measure the named runs, and write the page of all measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs", nargs="*", choices=[*MAKE, []], help="panel, events or both; neither: the page"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for data and results")
    options = parser.parse_args()
    for run in options.runs:
        found = measure(run, options.work.resolve() / run)
        (options.work / f"{run}.json").write_text(json.dumps(found), encoding="utf-8")
    measured = {run: options.work / f"{run}.json" for run in MAKE}
    found = {run: json.loads(path.read_text()) for run, path in measured.items() if path.exists()}
    introduction = INTRODUCTION.format(
        machine=next(iter(found.values()))["machine"],
        settings=", ".join(f"`{key}: {value}`" for key, value in SETTINGS.items()),
        runs=" ".join(found),
    )
    PAGE.write_text(
        introduction + "".join(section(run, each) for run, each in found.items()), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
