"""Damaged files by fixed seeds: each is refused by name, or read as by an independent reader."""

import pytest
from inputs import INPUTS, fuzz

KEPT = {
    "zarr CSC": [20261130026],  # a chunk of texts with a stated number of four thousand million
    # HDF5 crashes on an attribute, and finds no end in a tree.
    "h5ad CSR": [20261131077, 20261132611],
    "h5Seurat": [20261131744],  # the name of a group is not UTF-8
}
"""Numbers that `make fuzz` found."""


@pytest.mark.parametrize("name", KEPT)
def test_what_was_found(tmp_path, name):
    assert fuzz(name, KEPT[name], tmp_path) == ([], {"refused": len(KEPT[name])})


@pytest.mark.parametrize("name", INPUTS)
def test_damaged_files(tmp_path, name):
    found, verdicts = fuzz(name, range(INPUTS[name]), tmp_path)
    assert not found, "\n".join(found)
    assert verdicts["refused"] > INPUTS[name] / 10
