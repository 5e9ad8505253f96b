"""Damaged files by a fixed seed: each is refused by name, or read as an independent reader reads it."""

import pytest
from inputs import INPUTS, fuzz


@pytest.mark.parametrize("name", INPUTS)
def test_damaged_files(tmp_path, name):
    found, verdicts = fuzz(name, range(INPUTS[name]), tmp_path)
    assert not found, "\n".join(found)
    assert verdicts["refused"] > INPUTS[name] / 10
