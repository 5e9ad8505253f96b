"""Measure the chain on generated cytometry data, and write benchmarks/cytometry.md.

    python benchmarks/cytometry.py --events 200000 2000000 --work /scratch/cytometry

For each number of events: a query of 20 FCS files of 40 markers, and a reference of 4 with a tenth as many
events, run through the workflow on one core.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import scale
from cellferry.cytometry.fcs_writer import Channel, FcsWriter
from measuring import ROOT, machine, markdown

FILES = {"query": 20, "atlas": 4}
REFERENCE_SHARE = 10
N_MARKERS, N_TYPES, COFACTOR = 40, 20, 5.0
EVENTS_AT_ONCE = 1 << 16
TABLE = ROOT / "benchmarks" / "cytometry.md"
SETTINGS = {
    "modality": "cytometry",
    "model": {"epochs": 4, "early_stopping": False},
    "surgery": {"fit": True, "epochs": 2},
    "prediction": {"n_trees": 100},
    "genes": {"retrain_on_common": False},
}
scale.WORKS_ON |= {"select_markers": ("reference",), "compare_panels": ("query", "reference")}

INTRODUCTION = """# Cytometry: memory and time against events

Generated events ([cytometry.py](cytometry.py): {markers} markers, {types} types, each file with a shift of
its own) in FCS files: a query of {query} files, in 25 chunks, and a reference of {atlas} with a tenth as many
events. The workflow runs with `profiles/local`, one job at a time, on one core;
settings other than the defaults: {settings}.
Seconds are the sum of a rule's jobs, with the start of Python and its libraries; MiB is its largest job,
as counted by the kernel; *requested* is `mem_mb`.

Command: `python benchmarks/cytometry.py --events {events}`. Machine: {machine}.

"""


def make_files(folder: Path, name: str, n_events: int, seed: int) -> None:
    """Write FCS files of a dataset with tables of labels, block by block."""
    biology, rng = np.random.default_rng(2025), np.random.default_rng(seed)
    # On the arcsinh scale: each type is positive or negative for a marker, with varying brightness.
    means = np.where(
        biology.random((N_TYPES, N_MARKERS)) < 0.3, biology.uniform(2, 5, (N_TYPES, N_MARKERS)), 0.2
    )
    shares = biology.dirichlet(np.full(N_TYPES, 2.0))
    channels = [Channel("Time", "")]
    channels += [Channel(f"Er{100 + n}Di", f"M{n}") for n in range(N_MARKERS)]
    (folder / name).mkdir(exist_ok=True)
    for number in range(FILES[name]):
        first, last = (edge * n_events // FILES[name] for edge in (number, number + 1))
        path = folder / name / f"sample{number:02d}.fcs"
        shift = rng.normal(0, 0.1, N_MARKERS)
        with (
            FcsWriter(path, channels, {}) as writer,
            open(path.with_suffix(".csv"), "w", newline="") as table,
        ):
            lines = csv.writer(table)
            lines.writerow(["population"])
            for start in range(0, last - first, EVENTS_AT_ONCE):
                size = min(EVENTS_AT_ONCE, last - first - start)
                codes = rng.choice(N_TYPES, size, p=shares)
                values = np.sinh(means[codes] + shift + rng.normal(0, 0.35, (size, N_MARKERS))) * COFACTOR
                time = np.arange(start, start + size)[:, None]
                writer.append(np.hstack([time, values]).astype(np.float32))
                lines.writerows([f"type_{code:02d}"] for code in codes)


def make_data(folder: Path, n_events: int) -> None:
    """Write the files and the configuration."""
    datasets = {}
    for seed, (name, role) in enumerate({"atlas": "reference", "query": "query"}.items()):
        make_files(folder, name, n_events // (REFERENCE_SHARE if name == "atlas" else 1), seed)
        about = {"role": role, "path": f"{name}/*.fcs", "obs": f"{name}/*.csv", "obs_by": "order"}
        datasets[name] = {**about, "label": "population", "batch": "sample"}
        datasets[name]["chunks"] = 5 if name == "atlas" else 25
    (folder / "config.yaml").write_text(yaml.safe_dump({"datasets": datasets, **SETTINGS}))


def measure(work: Path, n_events: int) -> list[dict]:
    """Rows of one run, by rule."""
    folder = work / str(n_events)
    if not (folder / "config.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_data(folder, n_events)
    scale.run_workflow(folder)
    return scale.job_rows(folder)


def as_table(rows: dict[int, list[dict]]) -> str:
    """Rules × runs: seconds and events per second of the largest run, peaks of all."""
    numbers = list(rows)
    largest = numbers[-1]
    head = ["rule", "of", "jobs", "events", "s", "events/s", *(f"MiB at {n:,}" for n in numbers), "requested"]
    lines = []
    for row in rows[largest]:
        peaks = [
            f"{same['peak_mb']:.0f}"
            for n in numbers
            for same in rows[n]
            if (same["name"], same["of"]) == (row["name"], row["of"])
        ]
        line = [f"`{row['name']}`", row["of"], row["jobs"], f"{row['cells']:,}", f"{row['seconds']:.0f}"]
        line += [f"{row['cells'] / row['seconds']:,.0f}", *peaks, f"{row['mem_mb']:.0f}"]
        lines.append(line)
    return markdown(head, lines)


def main() -> None:
    """Measure the requested numbers of events, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[200_000, 2_000_000])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and results")
    arguments = parser.parse_args()
    rows = {n_events: measure(arguments.work, n_events) for n_events in sorted(arguments.events)}
    introduction = INTRODUCTION.format(
        markers=N_MARKERS,
        types=N_TYPES,
        settings=", ".join(f"`{key}: {value}`" for key, value in SETTINGS.items()),
        events=" ".join(map(str, rows)),
        machine=machine(),
        **FILES,
    )
    TABLE.write_text(introduction + as_table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
