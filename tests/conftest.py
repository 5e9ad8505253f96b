"""Order and distribution of the tests, and their shared fixtures."""

import gc
import os
import shutil
import sys
from pathlib import Path

import pytest
from launcher import Launcher
from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = ["slurm", "workflow", "scripts", "fuzz", "unit"]
# They share a login node's environment and large environments of the rules.
WITH_LAUNCHER = ("tests/slurm/test_slurm_chain.py", "tests/workflow/test_conda.py")


def pytest_collection_modifyitems(items):
    """Begin with the tests that take longest."""
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.parent.name))


@pytest.hookimpl(optionalhook=True)  # missing without pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """Distribute the tests over processes, file by file, to share fixtures."""

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if file in WITH_LAUNCHER:
                return "launcher"
            # Pairs of real datasets take minutes each and have nothing in common.
            return nodeid if file.endswith("test_real_data.py") else file

    return Together(config, log)


@pytest.fixture(autouse=True)
def no_open_hdf5_file():
    """Fail a test that leaves an HDF5 file open, since opening it again without a lock fails."""
    yield
    if "h5py" in sys.modules and _open_hdf5_files():
        gc.collect()  # a traceback keeps the variables of its frames
        assert _open_hdf5_files() == []


def _open_hdf5_files():
    from h5py import h5f

    return sorted(file.name.decode() for file in h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE))


@pytest.fixture(scope="session")
def test_data():
    """Folder of real files, which the project does not include."""
    folder = os.environ.get("CELLFERRY_TEST_DATA")
    if not folder:
        pytest.skip("CELLFERRY_TEST_DATA does not name a folder with the real test files")
    return Path(folder)


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """A login node's environment with a conda; the rules' environments are made once for all tests."""
    folder = tmp_path_factory.mktemp("login_node")
    yield Launcher(folder)
    shutil.rmtree(folder)  # ten gigabytes, unless they are links into uv's cache
