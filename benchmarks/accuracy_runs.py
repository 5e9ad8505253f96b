"""Runs of the accuracy benchmark: its pairs, also with other limits of error."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml
from accuracy_pairs import DATA, Run
from measuring import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from cellferry.core.text import each_once

TARGET = "results/evaluation/scores.tsv"
TEST = "test"
"""The held-out part of a reference, scored like a query."""
MIN_CELLS_ALONE = 20
"""Least cells of a label for its own query."""


class RunError(RuntimeError):
    """A run, or another tool on its cells, has failed; the message names the log."""


def run_folder(work: Path, run: Run, seed: int) -> Path:
    """Folder of a run."""
    return work / run.name / f"seed_{seed}"


def scored_parts(run: Run) -> list[str]:
    """The held-out test of a run's reference, and its mixed queries."""
    return [TEST, *run.pairs]


def predictions_of(folder: Path, part: str) -> Path:
    """The predictions of a part in the folder of a run."""
    return folder / "results" / "predictions" / f"{part}.parquet"


def make_run(run: Run, seed: int, data: Path, work: Path, *, cores: int, again: list[str] | None) -> None:
    """Run one configuration with one seed, unless it is finished.

    Parameters
    ----------
    run, seed
        The run and its seed.
    data
        Folder of the real data, `data` in configurations.
    work
        Folder of the runs.
    cores
        Cores of the workflow.
    again
        None keeps a finished run. Otherwise snakemake checks it again and reruns these rules.
    """
    folder = run_folder(work, run, seed)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / DATA).exists():
        (folder / DATA).symlink_to(data.resolve())
    run.write_files(folder, data)
    config = run.config(seed, data)
    if run.has_queries_of_one_label(seed):
        inspected = [folder / "results" / "inspected" / f"{query}.json" for query in run.pairs]
        changed = write_if_changed(folder / "mixed.yaml", config)
        if changed or not all(path.exists() for path in inspected):
            snakemake(folder, [path.relative_to(folder) for path in inspected], folder / "mixed.yaml", cores)
        cells = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["labels"] for path in inspected}
        config = with_queries_of_one_label(config, cells)
    changed = write_if_changed(folder / "config.yaml", config)
    if changed or again is not None or not (folder / TARGET).exists():
        forced = ["--forcerun", *again] if again else []
        snakemake(folder, [TARGET, *forced], folder / "config.yaml", cores)


def try_other_limits(run: Run, seed: int, work: Path, *, cores: int) -> None:
    """Predict with other values of `max_error` in a copy of a finished run.

    Predictions of the test and of the mixed queries are kept below `limits/{max_error}`.
    """
    folder = run_folder(work, run, seed)
    made_from = [predictions_of(folder, part) for part in scored_parts(run)]
    for max_error in run.other_max_errors:
        done = limit_folder(folder, max_error)
        if is_newer(done, made_from):
            continue
        copy = folder / "limits" / "unfinished"
        for old in (copy, done):
            shutil.rmtree(old, ignore_errors=True)
        ignored = shutil.ignore_patterns("limits", "celltypist*", "in_memory*", "*.log")
        shutil.copytree(folder, copy, symlinks=True, ignore=ignored)
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        config["prediction"] = {**config.get("prediction", {}), "max_error": max_error}
        write_if_changed(copy / "config.yaml", config)
        made = [predictions_of(copy, part) for part in scored_parts(run)]
        snakemake(copy, [path.relative_to(copy) for path in made], copy / "config.yaml", cores)
        done.mkdir()
        for path in made:
            path.replace(done / path.name)
        shutil.rmtree(copy)


def limit_folder(folder: Path, max_error: float) -> Path:
    """Folder of a run's predictions with another `max_error`."""
    return folder / "limits" / f"{max_error:.2f}"


def is_newer(done: Path, made_from: Iterable[Path]) -> bool:
    """True if a file is newer than all files that it was made from."""
    return done.exists() and done.stat().st_mtime > max(path.stat().st_mtime for path in made_from)


def with_queries_of_one_label(config: dict, cells: dict[str, dict[str, int]]) -> dict:
    """A configuration with a further query for every label of a query.

    Parameters
    ----------
    config
        Configuration of the mixed queries.
    cells
        Cells per label, by query.
    """
    datasets = dict(config["datasets"])
    for (query, label), name in queries_of_one_label(cells).items():
        own = config["datasets"][query]
        datasets[name] = own | {"cells": {**own.get("cells", {}), own["label"]: [label]}, "chunks": 1}
    return config | {"datasets": datasets}


def queries_of_one_label(cells: dict[str, dict[str, int]]) -> dict[tuple[str, str], str]:
    """Names of the queries of one label, by query and label.

    Labels need enough cells, and their query several labels. Labels that differ only by characters which a
    name cannot have get a number.
    """
    queries = [
        (query, label)
        for query, by_label in cells.items()
        if len(by_label) > 1
        for label, n_cells in by_label.items()
        if n_cells >= MIN_CELLS_ALONE
    ]
    names = [f"{query}_only_{re.sub('[^A-Za-z0-9]+', '-', label)}" for query, label in queries]
    return dict(zip(queries, each_once(names), strict=True))


def write_if_changed(path: Path, config: dict) -> bool:
    """Write a configuration; True if the file changed."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def snakemake(folder: Path, targets: list, config: Path, cores: int) -> None:
    """Run the workflow in a folder, with its output in snakemake.log there."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    # Only this run uses the folder; the lock of a killed run would stop the next.
    command += ["--profile", ROOT / "profiles" / "local", "--nolock"]
    command += [*targets, "--cores", cores, "--configfile", config]
    with open(folder / "snakemake.log", "w", encoding="utf-8") as log:
        done = subprocess.run([str(word) for word in command], stdout=log, stderr=log, check=False)
    if done.returncode:
        raise RunError(f"the run in {folder} failed; see its snakemake.log")
