"""Values whose gzip is unpacked without HDF5: the same as HDF5 reads, and its errors for damaged ones."""

import h5py
import numpy as np
import pytest
import zarr
from cellferry.formats.inflate import MAX_CHUNK_BYTES, read_values
from isal import isal_zlib

SIZE = 100
PACKED = {"compression": "gzip", "chunks": (SIZE,)}
OPTIONS = {
    "gzip": PACKED,
    "gzip, shuffled": {**PACKED, "shuffle": True},
    "gzip, checked": {**PACKED, "fletcher32": True},
    "lzf": {"compression": "lzf", "chunks": (SIZE,)},
    "plain": {"chunks": (SIZE,)},
    "in one piece": {},
}


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        yield file


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1", "u2", ">f4", "f2"])
@pytest.mark.parametrize("name", OPTIONS)
def test_every_range_is_as_hdf5_reads_it(file, name, dtype):
    values = np.random.default_rng(0).integers(0, 100, 7 * SIZE + 13).astype(dtype)
    dataset = file.create_dataset("x", data=values, **OPTIONS[name])
    ranges = [(0, len(values)), (5, 60), (99, 101), (100, 200), (250, 713), (700, 713), (9, 9), (0, 10**6)]
    for start, stop in ranges:
        found = read_values(dataset, start, stop)
        assert found.dtype == dataset.dtype
        np.testing.assert_array_equal(found, dataset[start:stop])


def test_zarr_arrays_are_read_by_zarr():
    array = zarr.array(np.arange(1000), chunks=(SIZE,))
    np.testing.assert_array_equal(read_values(array, 50, 10**6), np.arange(50, 1000))


def test_gzip_is_unpacked_past_hdf5(file, monkeypatch):
    dataset = file.create_dataset("x", data=np.arange(1000), shuffle=True, **PACKED)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", None)
    np.testing.assert_array_equal(read_values(dataset, 10, 900), np.arange(10, 900))


def test_a_chunk_that_was_never_written_holds_the_fill_value(file):
    dataset = file.create_dataset("x", shape=(1000,), dtype="i4", fillvalue=7, **PACKED)
    dataset[:SIZE] = 1
    np.testing.assert_array_equal(read_values(dataset, 0, 1000), dataset[:])


def test_large_chunks_are_left_to_hdf5(file, monkeypatch):
    values = np.zeros(MAX_CHUNK_BYTES // 4 + 1, dtype="i4")
    dataset = file.create_dataset("x", data=values, compression="gzip", chunks=values.shape)
    monkeypatch.setattr(isal_zlib, "decompressobj", None)
    assert not read_values(dataset, 5, 1000).any()


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_chunk_is_told_of_by_hdf5(file, damage):
    dataset = file.create_dataset("x", data=np.random.default_rng(0).integers(0, 9, 1000), **PACKED)
    _, packed = dataset.id.read_direct_chunk((0,))
    broken = packed[:40] if damage == "cut" else packed[:40] + bytes([packed[40] ^ 255]) + packed[41:]
    dataset.id.write_direct_chunk((0,), broken)
    with pytest.raises(OSError, match="x does not unpack to the 800 bytes"):
        read_values(dataset, 0, 50)
    np.testing.assert_array_equal(read_values(dataset, 100, 1000), dataset[100:])


def test_a_chunk_that_unpacks_to_more_than_it_holds(file):
    """HDF5 reads only the size of the chunk, and no more is unpacked here."""
    dataset = file.create_dataset("x", shape=(SIZE,), dtype="i4", **PACKED)
    bomb = isal_zlib.compress(bytes(10**8))
    dataset.id.write_direct_chunk((0,), bomb)
    assert not read_values(dataset, 0, SIZE).any()
