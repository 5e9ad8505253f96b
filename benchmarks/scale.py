"""Memory and time of the chain on simulated cells; writes benchmarks/scale.tsv and scale.md.

    python benchmarks/scale.py --cells 50000 200000 1000000
    python benchmarks/scale.py --only speeds --cells 50000
    python benchmarks/scale.py --only picture

For each number of query cells: a query and a reference with a fifth as many cells are made, the workflow runs
on one core, and the same files are merged and subset in other ways. Finished measurements are not repeated.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import scale_tables
from cellferry.core.logs import peak_in
from cellferry.report.costs import costs, read_table
from measuring import (
    COLUMNS,
    HOOK,
    ROOT,
    available_mb,
    bytes_in,
    machine,
    on_one_core,
    read_rows,
    run_measured,
    save_rows,
)
from side_by_side import compare

REFERENCE_SHARE = 5
"""Query cells per reference cell."""
BATCHES = {"query": ["p", "q", "r", "s", "t"], "reference": ["a", "b", "c", "d", "e"]}
SEEDS = {"query": 1, "reference": 0}
CHUNKS = {"query": 25, "reference": 5}
SETTINGS = {
    "genes": {"n_variable": 2000},
    "model": {"epochs": 2, "early_stopping": False, "batch_size": 512},
    "surgery": {"epochs": 1},
    # At 20 labels 2,000 trees.
    "prediction": {"n_trees": 100},
}
NEEDED_FOR_SPEEDS = ["results/reference/store.zarr", "results/reference/classifier"]
NEEDED_FOR_SPEEDS += ["results/mapped/query/model"]

# Bytes on disk per query cell, the reference's fifth included.
CHAIN_BYTES_PER_CELL = 14_000
FILES_BYTES_PER_CELL = 24_000
FREE_TO_STAY = 2 * 10**9

# The reference's name as a dataset: `reference` is the training part.
NAMES = {"query": "query", "reference": "atlas"}
# Inputs of rules not named after a dataset or part; the rest work on the training cells.
WORKS_ON = {
    "check_datasets": ("query", "reference"),
    "select_genes": ("query", "reference"),
    "split_reference": ("reference",),
    "subset_reference": ("reference",),
    "train_classifier": ("train", "validation"),
    "gather_scores": ("query",),
    "report": ("query", "train"),
}


def make_data(folder: Path, cells: int) -> None:
    """Simulate query and reference in parallel, and write the configuration."""
    datasets = {}
    running = []
    for name, n_cells in (("query", cells), ("reference", cells // REFERENCE_SHARE)):
        path = folder / f"{name}.h5ad"
        about = {"role": name, "path": path.name, "label": "cell_type", "batch": "sample"}
        datasets[NAMES[name]] = {**about, "chunks": CHUNKS[name]}
        if not path.exists():
            command = [sys.executable, ROOT / "benchmarks" / "simulated_counts.py", path]
            command += ["--cells", n_cells, "--seed", SEEDS[name], "--batches", *BATCHES[name]]
            environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "OMP_NUM_THREADS": "1"}
            running.append(subprocess.Popen([str(part) for part in command], env=environment))
    ended = [child.wait() for child in running]
    if any(ended):
        raise SystemExit("the counts could not be simulated")
    (folder / "config.yaml").write_text(yaml.safe_dump({"datasets": datasets, **SETTINGS}))


def run_workflow(folder: Path, *targets: str) -> tuple[float, float]:
    """Run the workflow in `folder` on one core; its wall and CPU seconds."""
    command = [sys.executable, "-m", "snakemake", "--profile", ROOT / "profiles" / "local", "--cores", 1]
    command += ["--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--configfile", folder / "config.yaml", "--", *targets]
    environment = os.environ | {"PYTHONPATH": str(HOOK), "CELLFERRY_MEASURED": str(folder / "jobs.jsonl")}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with open(folder / "snakemake.txt", "a", encoding="utf-8") as said:
        child = subprocess.run(
            [str(part) for part in command],
            env=environment,
            preexec_fn=on_one_core,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if child.returncode != 0:
        raise SystemExit((folder / "snakemake.txt").read_text(encoding="utf-8")[-5000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start, cpu


def numbers_of_cells(folder: Path) -> dict[str, int]:
    """Cells of the datasets and of their parts."""
    results = folder / "results"
    files = {name: results / "merged" / f"{NAMES[name]}.h5ad" for name in NAMES}
    files |= {name: results / "common" / f"{name}.h5ad" for name in ("validation", "test")}
    files["train"] = results / "common" / "reference.h5ad"
    found = {}
    for name, path in files.items():
        with h5py.File(path, "r", locking=False) as file:
            found[name] = int(file["X"].attrs["shape"][0])
    return found


def part_of(table: Path) -> str:
    """The part that a job worked on, from the name of its benchmark table."""
    part = re.sub(r"_\d+$", "", Path(table.parts[0]).stem)  # jobs that share a dataset have a number
    return {"atlas": "reference", "reference": "train"}.get(part, part)


def job_rows(folder: Path) -> list[dict]:
    """A row per rule and dataset, from its jobs' benchmark tables, logs and notes."""
    cells = numbers_of_cells(folder)
    benchmarks = folder / "results" / "benchmarks"
    with open(folder / "jobs.jsonl", encoding="utf-8") as lines:
        notes = {note["log"]: note for note in map(json.loads, lines)}
    asked = {cost["rule"]: cost["mem_mb"] for cost in costs(benchmarks, folder / "logs")}
    groups: dict[tuple[str, str], list[dict]] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule, *rest = path.relative_to(benchmarks).parts
        if rule == "rules":
            continue
        (timed, *_) = read_table(path)
        log = Path("logs", rule, *rest).with_suffix(".log")
        part = part_of(Path(*rest))
        parts = (part,) if part in cells else WORKS_ON.get(rule, ("train",))
        job = {key: notes.get(str(log), {}).get(key) for key in ("cpu_seconds", "read_mb", "written_mb")}
        job |= {"parts": parts, "seconds": float(timed["s"])}
        peak = peak_in((folder / log).read_text(encoding="utf-8"))
        job["peak_mb"] = float(timed["max_rss"]) if peak is None else peak
        of = "both" if len({name == "query" for name in parts}) == 2 else parts[0]
        groups.setdefault((rule, of if of in ("query", "both") else "reference"), []).append(job)
    return [summed(rule, of, jobs, cells) | {"mem_mb": asked[rule]} for (rule, of), jobs in groups.items()]


def summed(rule: str, of: str, jobs: list[dict], cells: dict[str, int]) -> dict:
    """The row of a rule's jobs on one dataset."""
    parts = [job["parts"] for job in jobs]
    sizes = {names: sum(cells[name] for name in names) for names in parts}
    row = {"section": "chain", "name": rule, "of": of, "jobs": len(jobs), "outcome": "ok"}
    row["cells"] = sum(sizes.values())
    row["cells_per_job"] = max(size / parts.count(names) for names, size in sizes.items())
    for key in ("seconds", "cpu_seconds", "read_mb", "written_mb"):
        values = [job[key] for job in jobs]
        row[key] = None if None in values else sum(values)
    row["longest"] = max(job["seconds"] for job in jobs)
    row["peak_mb"] = max(job["peak_mb"] for job in jobs)
    return row


def measure_chain(folder: Path, cells: int) -> list[dict]:
    """Rows of the chain; of the whole run only if it was not interrupted."""
    resumed = (folder / "jobs.jsonl").exists()
    seconds, cpu = run_workflow(folder)
    rows = job_rows(folder)
    used = bytes_in(folder)
    whole = {"section": "chain", "name": "whole run", "of": "both", "outcome": "ok", "cpu_seconds": cpu}
    whole |= {"jobs": sum(row["jobs"] for row in rows), "seconds": seconds, "written_mb": used / 1e6}
    whole["cells"] = cells + cells // REFERENCE_SHARE
    return rows if resumed else [*rows, whole]


def measure_speeds(folder: Path) -> list[dict]:
    """Rows of the parts of training, mapping and prediction."""
    command = [sys.executable, ROOT / "benchmarks" / "speeds.py", folder]
    output = folder / "speeds.json"
    found = run_measured(command, limit_mb=int(0.85 * available_mb()), output=output)
    if found["outcome"] != "ok":
        return [{"section": "speeds", "name": "all parts", **found}]
    last = output.read_text(encoding="utf-8").strip().rpartition("\n")[2]
    return [{"section": "speeds", "outcome": "ok", **row} for row in json.loads(last)]


def check_disk(folder: Path, needed: int) -> None:
    """Print the disk space that a run needs, and stop if it is not free."""
    free = shutil.disk_usage(folder).free
    print(f"needs {needed / 1e9:.1f} GB on disk, {free / 1e9:.1f} GB are free", flush=True)
    if free < needed + FREE_TO_STAY:
        raise SystemExit(f"too little: {FREE_TO_STAY / 1e9:.0f} GB must stay free; name another --folder")


def measure(cells: int, folder: Path, *, sections: list[str]) -> None:
    """Measure `chain`, `files` or `speeds` for one number of query cells; save each at once."""
    print(f"{cells} query cells: {', '.join(sections)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    per_cell = CHAIN_BYTES_PER_CELL + ("files" in sections) * FILES_BYTES_PER_CELL
    there = bytes_in(folder)
    check_disk(folder, max(0, cells * per_cell - there))
    start = time.monotonic()
    make_data(folder, cells)
    print(f"data: {time.monotonic() - start:.0f} s", flush=True)
    for section in sections:
        start = time.monotonic()
        if section == "chain":
            rows = measure_chain(folder, cells)
        elif section == "files":
            run_workflow(folder)
            rows = compare(folder, cells)
        else:
            run_workflow(folder, *NEEDED_FOR_SPEEDS)
            rows = measure_speeds(folder)
        about = {"section": "machine", "name": section, "outcome": machine()}
        others = read_rows().query("ladder == @cells and section == 'machine' and name != @section")
        save_rows(cells, [section, "machine"], [*others[list(COLUMNS)[1:]].to_dict("records"), about, *rows])
        scale_tables.write_tables(CHUNKS, SETTINGS)
        print(f"{section}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[], help="numbers of query cells")
    parser.add_argument("--only", choices=["chain", "files", "speeds", "tables", "picture"])
    parser.add_argument("--most-side-by-side", type=int, default=200_000, help="skip it for more query cells")
    parser.add_argument("--folder", type=Path, default=Path("scale_work"), help="for the data, removed later")
    parser.add_argument("--keep", action="store_true", help="keep the data")
    parser.add_argument("--again", action="store_true", help="repeat finished measurements")
    options = parser.parse_args()
    for cells in options.cells:
        wanted = [options.only] if options.only else ["chain", "files", "speeds"]
        wanted = [section for section in wanted if section in ("chain", "files", "speeds")]
        if cells > options.most_side_by_side and "files" in wanted:
            wanted.remove("files")
        measured = read_rows().query("ladder == @cells")["section"].unique()
        if not options.again:
            wanted = [section for section in wanted if section not in measured]
        folder = options.folder.resolve() / str(cells)
        if wanted:
            if options.again and "chain" in wanted:
                shutil.rmtree(folder / "results", ignore_errors=True)
                (folder / "jobs.jsonl").unlink(missing_ok=True)
            measure(cells, folder, sections=wanted)
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if not options.keep and options.folder.exists() and not any(options.folder.iterdir()):
        options.folder.rmdir()
    if options.only != "picture":
        scale_tables.write_tables(CHUNKS, SETTINGS)
    if options.only in (None, "picture"):
        scale_tables.draw_picture()
