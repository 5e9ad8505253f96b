"""Tests on a real SLURM, which they start; where Debian's packages for it are missing they are skipped."""

import fcntl
import os
from pathlib import Path

import pytest
from cluster import Cluster, Run, missing_programs
from simulate import simulate_cells

MODEL = {"epochs": 20, "n_latent": 5, "n_hidden": 16, "n_layers": 1}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The one cluster of all test processes; the first that needs it starts it."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"no SLURM here: {', '.join(missing)} missing (.ci/run installs Debian's packages)")
    note = _note(tmp_path_factory)
    with open(note, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if folder := file.read():
            return Cluster(Path(folder))
        cluster = Cluster.start()
        file.write(str(cluster.folder))
        return cluster


def _note(tmp_path_factory):
    """File with the cluster's folder; the folder that all processes of pytest-xdist share has one."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cluster"


def pytest_sessionfinish(session):
    """Stop the cluster when the last process is done."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    note = _note(session.config._tmp_path_factory)
    if note.exists():
        Cluster(Path(note.read_text())).stop()


@pytest.fixture
def run(cluster, tmp_path):
    """A run of the workflow on simulated cells; arguments are those of `cluster.Run`."""

    def make(*, config=None, **settings):
        simulate_cells(240).write_h5ad(tmp_path / "reference.h5ad")
        simulate_cells(60, seed=1).write_h5ad(tmp_path / "query.h5ad")
        datasets = {
            "atlas": {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "chunks": 1},
            "patients": {"role": "query", "path": "query.h5ad", "chunks": 1},
        }
        config = {"datasets": datasets, "model": MODEL, "surgery": {"epochs": 2}, **(config or {})}
        return Run(cluster, tmp_path, config, **settings)

    yield make
    assert not cluster.queue(tmp_path)


def pytest_collection_modifyitems(items):
    for item in items:
        if "cluster" in item.fixturenames:
            item.add_marker("slurm")
