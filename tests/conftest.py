import os
import shutil
from pathlib import Path

import pytest
from launcher import Launcher

LONGEST_FIRST = ["slurm", "workflow", "scripts", "unit"]


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items):
    """Share the tests out over processes (pytest-xdist); a file stays together, as do its fixtures."""
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.parent.name))
    for item in items:
        # One login node's environment for all that start from it: the rules' environments are large.
        group = "launcher" if "launcher" in item.fixturenames else item.path.stem
        # Pairs of real datasets take minutes each and have nothing in common.
        group = item.name if item.path.stem == "test_real_data" else group
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def test_data():
    """Folder of real files, which are no part of the project."""
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
