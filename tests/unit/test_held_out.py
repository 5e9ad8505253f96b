"""Counts of held-out cells as arrays: unpacked, they are the cells that were packed."""

import numpy as np
import pytest
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.held_out import pack_held_out, unpack_held_out
from cellferry.errors import InputError
from simulate import simulate_cells, write_cells


@pytest.fixture
def packed(tmp_path):
    cells = simulate_cells(50, n_genes=30, batches=("a", "b ü"), seed=1)
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(object)
    cells.obs.loc[cells.obs_names[7], "cell_type"] = None
    write_cells(tmp_path / "cells.h5ad", cells, "atlas")
    rows = np.array([0, 7, 8, 49])
    with H5adReader(tmp_path / "cells.h5ad") as reader:
        pack_held_out(reader, rows, tmp_path / "held_out.npz")
    return tmp_path / "held_out.npz", cells[rows]


def test_the_same_cells_come_back(packed, tmp_path):
    path, cells = packed
    unpack_held_out(path, tmp_path / "again.h5ad")
    with H5adReader(tmp_path / "again.h5ad") as reader:
        assert np.array_equal(reader.counts(0, 4).toarray(), cells.X.toarray())
        assert list(reader.var.index) == list(cells.var_names)
        assert list(reader.obs("batch")) == [f"atlas/{sample}" for sample in cells.obs["sample"]]
        assert list(reader.obs("label")) == [
            cells.obs["cell_type"].iloc[0],
            None,
            *cells.obs["cell_type"].iloc[2:],
        ]
        assert list(reader.names()) == ["cell_0", "cell_1", "cell_2", "cell_3"]
        assert reader.uns["values"] == "counts"


def test_counts_take_as_few_bytes_as_they_need(packed):
    with np.load(packed[0], allow_pickle=False) as arrays:
        assert arrays["data"].dtype == np.uint8
        assert arrays["indices"].dtype == np.int32


@pytest.mark.parametrize("name", ["data", "indptr", "genes", "label_names", "batch", "dataset"])
def test_arrays_that_do_not_fit_are_refused(packed, tmp_path, name):
    with np.load(packed[0], allow_pickle=False) as arrays:
        found = dict(arrays)
    if name == "dataset":
        del found[name]
    else:
        found[name] = found[name][:-1] if name != "batch" else found[name] + 9
    np.savez(packed[0], **found)
    with pytest.raises(InputError, match=r"held_out.npz: was damaged after packing"):
        unpack_held_out(packed[0], tmp_path / "again.h5ad")
    assert not (tmp_path / "again.h5ad").exists()
