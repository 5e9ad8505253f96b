"""DeflatedArray: what HDF5's own gzip would have stored, however it is cut."""

import h5py
import numpy as np
import pytest
from cellferry.artifacts.deflated import DeflatedArray


@pytest.mark.parametrize("step", [1, 7, 64, 100, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64, np.uint8])
def test_values_come_back(tmp_path, step, dtype):
    values = np.random.default_rng(0).poisson(2, 1000).astype(dtype)
    options = {"compression": "gzip", "shuffle": True}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", (0,), maxshape=(None,), dtype=dtype, chunks=(64,), **options)
        array = DeflatedArray(dataset)
        for start in range(0, 1000, step):
            array.extend(values[start : start + step])
        array.flush()
        file.create_dataset("by_hdf5", data=values, chunks=(64,), **options)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["x"][:], values)
        assert file["x"].chunks == file["by_hdf5"].chunks
        assert file["x"].id.get_num_chunks() == file["by_hdf5"].id.get_num_chunks()
        assert file["x"].id.get_chunk_info(0).filter_mask == 0


def test_an_array_that_got_nothing_is_empty(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset(
            "x", (0,), maxshape=(None,), chunks=(64,), compression="gzip", shuffle=True
        )
        array = DeflatedArray(dataset)
        array.extend(np.empty(0))
        array.flush()
        assert file["x"].shape == (0,)
