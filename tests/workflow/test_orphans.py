"""A job that outlives its snakemake does not replace a later run's results."""

import os
import re
import signal
import subprocess
import time

import pytest
import torch
from simulate import simulate_cells

MODEL = "results/reference/model"
SECONDS = 240


@pytest.fixture
def config(run):
    simulate_cells(240).write_h5ad(run.folder / "reference.h5ad")
    simulate_cells(60, seed=1).write_h5ad(run.folder / "query.h5ad")
    atlas = {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "chunks": 1}
    model = {"epochs": 60, "n_latent": 5, "n_hidden": 16, "n_layers": 1, "early_stopping": False}
    patients = {"role": "query", "path": "query.h5ad", "chunks": 1}
    return {"datasets": {"atlas": atlas, "patients": patients}, "genes": {"n_variable": 100}, "model": model}


def wait_until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def scripts(folder, rule):
    pattern = rf"{folder}/.snakemake/scripts/tmp[^/]*\.{rule}\.py"
    found = subprocess.run(
        ["pgrep", "-f", f"^\\S*python[0-9.]* {pattern}"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def n_latent(folder):
    saved = torch.load(folder / MODEL / "model.pt", map_location="cpu", weights_only=False)
    return saved["attr_dict"]["init_params_"]["non_kwargs"]["n_latent"]


def test_an_orphaned_training_overwrites_nothing(run, config):
    log = run.folder / "logs" / "train_reference_model" / "train_reference_model.log"
    process = run.start(MODEL, "--cores", "1", config=config)
    wait_until(lambda: log.exists() and "epoch 1 of" in log.read_text(), "the training to begin")
    (orphan,) = scripts(run.folder, "train_reference_model")
    os.kill(orphan, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)  # it alone, without its children
    process.wait()

    config["model"] |= {"n_latent": 7, "epochs": 5}
    assert run("--unlock", config=config).returncode == 0
    result = run(MODEL, "--cores", "1", "--rerun-incomplete", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    said, made = log.read_text(), (run.folder / MODEL / "model.pt").stat().st_mtime_ns

    os.kill(orphan, signal.SIGCONT)
    wait_until(lambda: not scripts(run.folder, "train_reference_model"), "the orphan to end")
    assert (run.folder / MODEL / "model.pt").stat().st_mtime_ns == made
    assert n_latent(run.folder) == 7
    assert log.read_text() == said
    folder = run.folder / "results" / "reference"
    assert not [path for path in folder.iterdir() if re.match(r"\.[0-9a-f]{8}", path.name)]
    assert not (run.folder / "results" / ".runs").exists()
    again = run(MODEL, "-n", "--cores", "1", config=config)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_run_of_other_results_in_the_same_folder_goes_on(run, config):
    """Snakemake allows two runs in one folder if neither makes the other's inputs."""
    inspected = run.folder / "results" / "inspected" / "atlas.json"
    process = run.start(str(inspected.relative_to(run.folder)), "--cores", "1", config=config)
    (job,) = wait_until(lambda: scripts(run.folder, "inspect_dataset"), "the first run's job to begin")
    os.kill(job, signal.SIGSTOP)
    (record,) = (run.folder / "results" / ".runs").glob("*.json")
    half_written = inspected.with_name(f".01234567.{inspected.name}")
    half_written.touch()
    other = run("resources/demo/query", "--cores", "1", config=config)
    assert other.returncode == 0, other.stdout + other.stderr
    assert record.exists()
    assert half_written.exists()
    os.kill(job, signal.SIGCONT)
    assert process.wait(60) == 0
    assert inspected.exists()
    assert not record.exists()
    assert not half_written.exists()
