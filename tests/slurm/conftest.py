"""Tests on a real SLURM, which they start; skipped without Debian's packages for it."""

import fcntl
import json
import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster, Run, missing_programs
from simulate import simulate_cells

MODEL = {"epochs": 20, "n_latent": 5, "n_hidden": 16, "n_layers": 1}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The cluster of all test processes: the first that needs it starts it, the last one stops it."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"no SLURM here: {', '.join(missing)} missing (.ci/run installs Debian's packages)")
    base = tmp_path_factory.getbasetemp()
    # Processes of pytest-xdist have separate folders in a shared one.
    note = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cluster.json"
    with _shared(note) as state:
        if not state.get("users"):
            state["folder"] = str(Cluster.start().folder)
        state["users"] = state.get("users", 0) + 1
        cluster = Cluster(Path(state["folder"]))
    yield cluster
    with _shared(note) as state:
        state["users"] -= 1
        if not state["users"]:
            cluster.stop()


@pytest.fixture(scope="session")
def cluster_without_memory(cluster):
    """A second cluster, whose nodes have no RealMemory."""
    cluster = Cluster.start(CLUSTER_MEM="")
    yield cluster
    cluster.stop()


@contextmanager
def _shared(path):
    """Content of a file, locked for changes by one process."""
    with open(path, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state = json.loads(file.read() or "{}")
        yield state
        file.seek(0)
        file.truncate()
        file.write(json.dumps(state))


@pytest.fixture
def memory_limits(cluster):
    """The kernel's limits on the memory of jobs, for tests that lower them."""
    if "proctrack/cgroup" not in (cluster.folder / "conf" / "slurm.conf").read_text():
        pytest.skip("lowering the memory limit of a running job needs root and cgroups of version 1")


@pytest.fixture
def run(cluster, tmp_path):
    """A run of the workflow on simulated cells; arguments are those of `cluster.Run`."""

    runs = []

    def make(*, config=None, cluster=cluster, **settings):
        simulate_cells(240).write_h5ad(tmp_path / "reference.h5ad")
        simulate_cells(60, seed=1).write_h5ad(tmp_path / "query.h5ad")
        datasets = {
            "atlas": {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "chunks": 1},
            "patients": {"role": "query", "path": "query.h5ad", "chunks": 1},
        }
        config = {"datasets": datasets, "model": MODEL, "surgery": {"epochs": 2}, **(config or {})}
        runs.append(Run(cluster, tmp_path, config, **settings))
        return runs[-1]

    yield make
    for made in runs[-1:]:
        made.wait_for(lambda: not cluster.queue(tmp_path), "the run's last job to leave the queue")


def pytest_collection_modifyitems(items):
    for item in items:
        if "cluster" in item.fixturenames:
            item.add_marker("slurm")
