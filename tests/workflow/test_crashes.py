"""Every rule's script and snakemake are killed: finished jobs are kept, and results are the same."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from content import content
from running import DYING, ROOT, command_line, snakemake
from simulate import simulate_cells

SCRIPT = re.compile(r"/\.snakemake/scripts/tmp\w+\.(\w+)\.py")
TARGETS = ("all", "resources/demo/reference.h5ad")
# `plan` writes only its log, and a whole run has no `report_so_far`. Other rules are killed in
# test_imported.py and test_cytometry.py.
RULES = {path.stem for path in (ROOT / "scripts").glob("*.py")}
RULES -= {"plan", "report_so_far", "import_reference", "unpack_reference", "copy_reference_model"}
RULES -= set(re.findall(r"^rule (\w+):", (ROOT / "rules" / "cytometry.smk").read_text(), re.M))
SNAKEMAKE_DIES_AT = ("convert_to_chunks", "shuffle_reference", "predict_labels")
SECONDS = 1800


def write_datasets(folder):
    """Small datasets with well-separated labels, and their configuration."""
    simulate_cells(240, batches=("a", "b")).write_h5ad(folder / "reference.h5ad")
    simulate_cells(60, seed=1).write_h5ad(folder / "query.h5ad")
    atlas = {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "batch": "sample"}
    patients = {"role": "query", "path": "query.h5ad", "label": "cell_type"}
    return {
        "datasets": {"atlas": {**atlas, "chunks": 1}, "patients": {**patients, "chunks": 2}},
        "genes": {"n_variable": 150, "retrain_on_common": False},
        "model": {"epochs": 30, "n_latent": 5, "n_hidden": 16, "n_layers": 1},
        "surgery": {"epochs": 5},
        "prediction": {"n_trees": 20},
        "split": {"validation": 0.2, "test": 0.2},
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run without kills, to compare with; its processes start as a user's, for their time."""
    folder = tmp_path_factory.mktemp("undisturbed")
    result = snakemake(folder, *TARGETS, "--cores", "2", config=write_datasets(folder), env=os.environ)
    assert result.returncode == 0, result.stdout + result.stderr
    return SimpleNamespace(folder=folder, results=folder / "results", finished=finished(folder))


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory, undisturbed):
    """The same run; per rule one script is killed at a random moment and one at each rename.

    Snakemake is killed three times, with all its children.
    """
    folder = tmp_path_factory.mktemp("disturbed")
    config = write_datasets(folder)
    run = Run(folder, config)
    seconds, rng = seconds_by_rule(undisturbed.results), np.random.default_rng(0)
    killer, give_up = Killer(folder), time.monotonic() + SECONDS
    due = {rule: rng.uniform(0, seconds[rule]) for rule in sorted(RULES)}
    snakemake_dies = {rule: rng.uniform(0, 1) for rule in SNAKEMAKE_DIES_AT}
    while run.process.poll() is None and time.monotonic() < give_up:
        killer.look(due)
        dead = next((rule for rule, after in snakemake_dies.items() if killer.age(rule) > after), None)
        if dead:
            del snakemake_dies[dead]
            run.kill_and_start_again()
        time.sleep(0.05)
    run.process.kill()
    return SimpleNamespace(
        folder=folder,
        results=folder / "results",
        config=config,
        returncode=run.process.wait(),
        said=(folder / "said").read_text(),
        killed=killer.killed,
        deaths={path.stem for path in run.deaths.iterdir()},
        snakemake_lived=set(snakemake_dies),
        finished=finished(folder),
    )


class Run:
    """Snakemake in a folder, in a new session; `dying/sitecustomize.py` kills its scripts."""

    def __init__(self, folder, config) -> None:
        self.deaths = folder / "deaths"
        self.deaths.mkdir()
        self._folder, self._config = folder, config
        self.process = self._start()

    def _start(self):
        retries = ["--retries", "6", "--rerun-incomplete"]
        command = command_line(self._folder, *TARGETS, "--cores", "2", *retries, config=self._config)
        environment = {**os.environ, "PYTHONPATH": str(DYING), "CELLFERRY_DEATHS": str(self.deaths)}
        with open(self._folder / "said", "a") as said:
            return subprocess.Popen(
                command, start_new_session=True, stdout=said, stderr=said, env=environment
            )

    def kill_and_start_again(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert snakemake(self._folder, "--unlock", config=self._config).returncode == 0
        self.process = self._start()


class Killer:
    """Kills the first script of each rule at its moment."""

    def __init__(self, folder) -> None:
        self.killed = set()
        self._folder = str(folder)
        self._seen = {}

    def age(self, rule):
        """Seconds since the rule's first script began."""
        return time.monotonic() - self._seen[rule][0] if rule in self._seen else -1

    def look(self, due):
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (process / "cmdline").read_bytes().decode()
                script = SCRIPT.search(command)
                if script and self._folder in command and script[1] not in self._seen:
                    self._seen[script[1]] = time.monotonic(), os.pidfd_open(int(process.name))
        for rule, (_, process) in self._seen.items():
            if rule in due and self.age(rule) > due[rule]:
                del due[rule]
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    self.killed.add(rule)
                os.close(process)


def seconds_by_rule(results):
    """Duration of the jobs of each rule."""
    return {
        folder.name: max(pd.read_csv(path, sep="\t")["s"].iloc[0] for path in folder.rglob("*.tsv"))
        for folder in (results / "benchmarks").iterdir()
    }


def finished(folder):
    """Number of finished jobs of each rule, in all runs of snakemake in a folder."""
    logs = "".join(path.read_text() for path in (folder / ".snakemake" / "log").glob("*.log"))
    return Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", logs, re.M))


def test_every_script_has_died(disturbed):
    """In its last moment: the output is complete and lacks its final name."""
    assert disturbed.deaths == RULES
    assert disturbed.killed, "none was killed at a random moment"
    assert not disturbed.snakemake_lived


def test_the_run_finishes_by_itself(disturbed):
    assert disturbed.returncode == 0, disturbed.said


def test_no_job_that_had_finished_is_run_again(undisturbed, disturbed):
    again = disturbed.finished - undisturbed.finished
    assert not {rule: n for rule, n in again.items() if n}, disturbed.said


def test_files_until_the_training_are_the_same(undisturbed, disturbed):
    patterns = [
        "inspected/*",
        "datasets.tsv",
        "chunks/*/*/*",
        "merged/*",
        "reference/splits.parquet",
        "genes.*",
    ]
    patterns += ["common/*", "reference/store.zarr/**/*"]
    for pattern in patterns:
        expected = sorted(path for path in undisturbed.results.glob(pattern) if path.is_file())
        assert expected
        for path in expected:
            name = path.relative_to(undisturbed.results)
            if path.name != ".snakemake_timestamp":
                assert content(disturbed.results / name) == content(path), name


def test_every_number_of_every_cell_is_the_same(undisturbed, disturbed):
    for pattern in ("mapped/*/*.parquet", "predictions/**/*.parquet"):
        paths = sorted(undisturbed.results.glob(pattern))
        assert paths
        for path in paths:
            found = pd.read_parquet(disturbed.results / path.relative_to(undisturbed.results))
            pd.testing.assert_frame_equal(found, pd.read_parquet(path))


def test_there_are_the_same_files_and_nothing_half_written(undisturbed, disturbed):
    def names(results):
        return {path.relative_to(results) for path in results.rglob("*")}

    assert names(disturbed.results) == names(undisturbed.results)


def test_another_run_has_nothing_to_do(disturbed):
    result = snakemake(disturbed.folder, *TARGETS, "--cores", "2", config=disturbed.config)
    assert "Nothing to be done" in result.stdout + result.stderr


def test_demo_files_are_whole(undisturbed, disturbed):
    for path in sorted((undisturbed.folder / "resources" / "demo").rglob("*")):
        if path.is_file():
            found = disturbed.folder / path.relative_to(undisturbed.folder)
            assert content(found) == content(path)
