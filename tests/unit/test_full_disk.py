"""A full disk is detected with any library: the message names it, without the library's traceback."""

import json
import subprocess

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import xgboost
import zarr
from cellferry.core.atomic import complete
from cellferry.core.logs import is_no_space
from isal import igzip
from matplotlib.figure import Figure

VALUES = np.random.default_rng(0).random(2_000_000)  # 16 MB with any compression


@pytest.fixture
def full_disk(tmp_path):
    """A file system of one megabyte."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def write_json(path):
    path.write_text(json.dumps(VALUES[:200_000].tolist()))


def write_csv(path):
    pd.DataFrame(VALUES[:200_000]).to_csv(path)


def write_packed_csv(path):
    with igzip.open(path, "wt") as file:
        pd.DataFrame(VALUES[:200_000]).to_csv(file)


def write_parquet(path):
    pq.write_table(pa.table({"values": VALUES}), path)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        for start in range(0, len(VALUES), 100_000):
            file.create_dataset(str(start), data=VALUES[start : start + 100_000])


def write_zarr(path):
    zarr.open_group(path, mode="w").create_array("values", data=VALUES, chunks=(100_000,))


def write_arrays(path):
    with open(path, "wb") as file:
        np.savez(file, values=VALUES)


def write_model(path):
    torch.save({"weights": torch.from_numpy(VALUES)}, path)


def write_trees(path):
    features = VALUES[:100_000].reshape(-1, 10)
    cells = xgboost.DMatrix(features, label=np.arange(len(features)) % 5)
    settings = {"objective": "multi:softprob", "num_class": 5, "max_depth": 9, "nthread": 1}
    xgboost.train(settings, cells, num_boost_round=40).save_model(path)


def write_figure(path):
    figure = Figure(figsize=(20, 20), dpi=200)
    figure.figimage(VALUES[: 1400 * 1400].reshape(1400, 1400))
    figure.savefig(path, format="png")


WRITERS = [
    write_json,
    write_csv,
    write_packed_csv,
    write_parquet,
    write_hdf5,
    write_zarr,
    write_arrays,
    write_model,
    write_trees,
    write_figure,
]


@pytest.mark.parametrize("write", WRITERS)
def test_it_is_recognized_and_nothing_is_left(full_disk, write):
    with pytest.raises(Exception) as raised, complete(full_disk / "results" / "output.ubj") as path:  # noqa: PT011
        write(path)
    assert is_no_space(raised.value), raised.value
    assert not list((full_disk / "results").iterdir())
