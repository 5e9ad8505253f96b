"""Runs of the accuracy benchmark: pairs of real datasets through the workflow, and through CellTypist."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from measuring import ROOT

HERE = ROOT / "benchmarks"
CONFIG_FOLDERS = (ROOT / "tests" / "configs", HERE / "configs")
REQUIREMENTS = HERE / "celltypist.txt"
TARGET = "results/evaluation/scores.tsv"
TEST = "test"
"""The part of a reference that its model never meets: scored like a query."""
MIN_CELLS_ALONE = 20
"""Cells of a label that make a query of their own."""
SEED_OF_QUERIES_OF_ONE_LABEL = 0


@dataclass(frozen=True)
class Run:
    """A configuration, and what the pairs of its reference and its queries are called.

    Where `one_by_one`, every label of a query is a query of its own too.
    """

    name: str
    pairs: dict[str, str]
    one_by_one: bool = True

    def has_queries_of_one_label(self, seed: int) -> bool:
        """Whether they are made: they are many and take most of a run's time, hence with one seed only."""
        return self.one_by_one and seed == SEED_OF_QUERIES_OF_ONE_LABEL

    @property
    def reference(self) -> str:
        """What the reference is called."""
        return next(iter(self.pairs.values())).partition(" → ")[0]


RUNS = [
    Run("pbmc3k_to_symphony", {"symphony": "PBMC 3k → Symphony"}),
    Run("pbmc3k_to_kang", {"kang_ctrl": "PBMC 3k → Kang ctrl", "kang_stim": "PBMC 3k → Kang stim"}),
    Run("kang_ctrl_to_stim", {"kang_stim": "Kang ctrl → Kang stim"}),
    Run("symphony_3p_to_5p", {"symphony_5p": "Symphony 3' → 5'"}),
    Run("celseq2_to_dropseq", {"dropseq": "CEL-seq2 → Drop-seq"}),
    Run("celseq2_to_10x_symbols", {"tenx": "CEL-seq2 → 10x"}),
    Run("pbmc3k_without_b_to_symphony", {"symphony": "PBMC 3k without B → Symphony"}, one_by_one=False),
]


def run_folder(work: Path, run: Run, seed: int) -> Path:
    """Where a run is made."""
    return work / run.name / f"seed_{seed}"


def make_run(run: Run, seed: int, data: Path, work: Path, *, cores: int, again: list[str] | None) -> None:
    """Run one configuration with one seed, unless it is there already.

    Parameters
    ----------
    run, seed
        What to run.
    data
        Folder of the real data; configurations call it `data`.
    work
        Folder of the runs.
    cores
        Cores of the workflow.
    again
        None leaves a finished run alone. Otherwise snakemake looks at it again, and these rules are run.
    """
    folder = run_folder(work, run, seed)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").exists():
        (folder / "data").symlink_to(data.resolve())
    config = mixed_config(run, seed)
    inspected = [folder / "results" / "inspected" / f"{query}.json" for query in run.pairs]
    changed = write_if_changed(folder / "mixed.yaml", config)
    if changed or not all(path.exists() for path in inspected):
        targets = [path.relative_to(folder) for path in inspected]
        snakemake(folder, [*targets, "--cores", cores, "--configfile", folder / "mixed.yaml"])
    cells = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["labels"] for path in inspected}
    if run.has_queries_of_one_label(seed):
        config = with_queries_of_one_label(config, cells)
    changed = write_if_changed(folder / "config.yaml", config)
    if changed or again is not None or not (folder / TARGET).exists():
        forced = ["--forcerun", *again] if again else []
        snakemake(folder, [TARGET, *forced, "--cores", cores, "--configfile", folder / "config.yaml"])


def mixed_config(run: Run, seed: int) -> dict:
    """The configuration of a run as it is shipped, with a seed."""
    paths = [folder / f"{run.name}.yaml" for folder in CONFIG_FOLDERS]
    path = next(path for path in paths if path.exists())
    return yaml.safe_load(path.read_text(encoding="utf-8")) | {"seed": seed}


def with_queries_of_one_label(config: dict, cells: dict[str, dict[str, int]]) -> dict:
    """A configuration with one more query for every label of a query: the cells of that label alone.

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

    Made of labels of enough cells, in queries that have several labels at all.
    """
    return {
        (query, label): f"{query}_only_{re.sub('[^A-Za-z0-9]+', '-', label)}"
        for query, by_label in cells.items()
        if len(by_label) > 1
        for label, n_cells in by_label.items()
        if n_cells >= MIN_CELLS_ALONE
    }


def write_if_changed(path: Path, config: dict) -> bool:
    """Write a configuration; whether the file is another one now."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def snakemake(folder: Path, arguments: list) -> None:
    """Run the workflow in a folder; what it prints goes to snakemake.log there."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    # The folder is this run's alone; the lock that a killed run left would stop the next.
    command += ["--profile", ROOT / "profiles" / "local", "--nolock", *arguments]
    with open(folder / "snakemake.log", "w", encoding="utf-8") as log:
        done = subprocess.run([str(word) for word in command], stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"the run in {folder} failed; its snakemake.log says why")


def celltypist_python(work: Path) -> Path:
    """Python of the environment that CellTypist is in; made where it is missing, or of other versions."""
    folder = work / "celltypist"
    python, made_from = folder / "bin" / "python", folder / REQUIREMENTS.name
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not made_from.exists() or made_from.read_text(encoding="utf-8") != wanted:
        uv = shutil.which("uv") or ROOT / ".uv" / "bin" / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "--requirements", REQUIREMENTS]
        subprocess.run(install, check=True)
        made_from.write_text(wanted, encoding="utf-8")
    return python


def run_celltypist(run: Run, seed: int, work: Path) -> None:
    """Train CellTypist on a run's training cells, and predict its held-out test and its mixed queries."""
    folder = run_folder(work, run, seed)
    done = folder / "celltypist"
    files = [folder / "results" / "common" / f"{part}.h5ad" for part in ("reference", TEST, *run.pairs)]
    if done.exists() and done.stat().st_mtime > max(file.stat().st_mtime for file in files):
        return
    scratch = folder / "celltypist.unfinished"
    for old in (scratch, done):
        shutil.rmtree(old, ignore_errors=True)
    scratch.mkdir()
    reference, *queries = files
    command = [celltypist_python(work), HERE / "with_celltypist.py", reference, scratch, *queries]
    with open(folder / "celltypist.log", "w", encoding="utf-8") as log:
        finished = subprocess.run(command, stdout=log, stderr=log, check=False)
    if finished.returncode:
        raise SystemExit(f"CellTypist failed on {folder}; celltypist.log there says why")
    scratch.rename(done)
