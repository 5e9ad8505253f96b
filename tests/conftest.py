import os
import shutil
from pathlib import Path

import pytest
from launcher import Launcher


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
