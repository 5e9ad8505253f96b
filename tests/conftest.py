import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data():
    """Folder of real files, which are no part of the project."""
    folder = os.environ.get("CELLFERRY_TEST_DATA")
    if not folder:
        pytest.skip("CELLFERRY_TEST_DATA does not name a folder with the real test files")
    return Path(folder)
