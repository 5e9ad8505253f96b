"""Compressed matrices with inconsistent arrays are refused in every format, already by the header."""

import h5py
import numpy as np
import pytest
import zarr
from cellferry import formats
from cellferry.errors import InputError
from reading import read_all, read_header
from sparse_files import CELLS, FORMATS, make_counts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def end_early(pointers):
    pointers[len(pointers) // 2 :] = pointers[len(pointers) // 2]
    return pointers


def put(at, value):
    def change(values):
        values[at] = value
        return values

    return change


def as_float(at, value):
    def change(values):
        return put(at, value)(values.astype(np.float64))

    return change


POINTERS = {
    "end early": end_early,
    "start late": put(0, 3),
    "one too many": lambda pointers: np.insert(pointers, 10, pointers[10]),
    "one too few": lambda pointers: pointers[:-1],
    "negative start": put(0, -1),
    "decreasing": lambda pointers: put(5, pointers[4] - 1)(pointers),
    "beyond the values": put(5, 10**6),
    "negative": put(5, -4),
    "NaN": as_float(5, np.nan),
    "infinite": as_float(5, np.inf),
    "fractional": as_float(5, 2.5),
    "two-dimensional": lambda pointers: pointers[:, None],
    "empty": lambda pointers: pointers[:0],
    "scalar": lambda pointers: pointers[0],
    "text": lambda pointers: pointers.astype("S"),
    "of the other side": lambda pointers: np.linspace(0, pointers[-1], 66 - len(pointers) + 1).astype(int),
    "wrapped": lambda pointers: put(5, 2**64 - 1)(pointers.astype(np.uint64)),
}

OTHERS = {
    "data too short": {"data": lambda values: values[:-1]},
    "data too long": {"data": lambda values: np.append(values, 1)},
    "data two-dimensional": {"data": lambda values: values[:, None]},
    "data text": {"data": lambda values: values.astype("S")},
    "data scalar": {"data": lambda values: values[0]},
    "indices too short": {"indices": lambda values: values[:-1]},
    "indices too long": {"indices": lambda values: np.append(values, 0)},
    "indices two-dimensional": {"indices": lambda values: values[:, None]},
    "indices text": {"indices": lambda values: values.astype("S")},
    "all too short": {part: lambda values: values[:-1] for part in ("data", "indices")},
    "all empty": {part: lambda values: values[:0] for part in ("data", "indices")},
}
INDICES = {
    "beyond": put(9, 1000),
    "negative": put(9, -1),
    "fractional": as_float(9, 1.5),
    "NaN": as_float(9, np.nan),
}
FEWER = [name for name in FORMATS if name != "zarr CSC"]
"""zarr stores take long to write."""


def refused(write, folder, changes, *, by_header=True):
    path = write(folder, changes)
    if path is None:
        pytest.skip("the format cannot hold that")
    if by_header:
        with pytest.raises(InputError) as error:
            read_header(path)
    else:
        header = read_header(path)
        with pytest.raises(InputError) as error:
            read_all(header, folder / "scratch")
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", FORMATS)
def test_as_it_was_written(tmp_path, name):
    header = read_header(FORMATS[name](tmp_path, {}))
    for max_bytes in (500, 10**6):
        counts, names, _, _ = read_all(header, tmp_path / "scratch", max_bytes)
        assert np.array_equal(counts, make_counts())
        assert list(names) == CELLS


@pytest.mark.parametrize("what", POINTERS)
@pytest.mark.parametrize("name", FEWER)
def test_pointers(tmp_path, name, what):
    refused(FORMATS[name], tmp_path, {"indptr": POINTERS[what]})


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("name", FEWER)
def test_arrays_of_other_lengths_and_kinds(tmp_path, name, what):
    refused(FORMATS[name], tmp_path, OTHERS[what])


@pytest.mark.parametrize("what", INDICES)
@pytest.mark.parametrize("name", FORMATS)
def test_indices(tmp_path, name, what):
    refused(FORMATS[name], tmp_path, {"indices": INDICES[what]}, by_header=False)


@pytest.mark.parametrize("name", FORMATS)
def test_whole_numbers_as_floats_are_read(tmp_path, name):
    path = FORMATS[name](tmp_path, {part: lambda v: v.astype(np.float64) for part in ("indptr", "indices")})
    if path is not None:
        assert np.array_equal(read_all(read_header(path), tmp_path / "scratch")[0], make_counts())


SHAPES = {
    "missing": None,
    "one number": [40],
    "negative": [-40, 25],
    "fractional": [40.5, 25],
    "infinite": [np.inf, 25],
    "text": ["40", "25"],
    "turned": [25, 40],
    "huge": [10**12, 25],
}


def attributes(path):
    if path.suffix == ".zarr":
        return zarr.open_group(path / "X", mode="r+", use_consolidated=False).attrs
    return h5py.File(path, "r+")["X"].attrs


@pytest.mark.parametrize("what", SHAPES)
@pytest.mark.parametrize("name", ["h5ad CSR", "h5ad CSC", "zarr CSR", "zarr CSC"])
def test_shapes(tmp_path, name, what):
    path = FORMATS[name](tmp_path, {})
    attrs = attributes(path)
    del attrs["shape"]
    if SHAPES[what] is not None:
        attrs["shape"] = SHAPES[what]
    del attrs
    if path.suffix == ".zarr":
        zarr.consolidate_metadata(path)
    with pytest.raises(InputError, match=rf"{path.name}: .*(shape|is .* × .*, but obs and var name)"):
        read_header(path)


@pytest.mark.parametrize("encoding", ["csc_matrix", "coo_matrix", "", "CSR"])
@pytest.mark.parametrize("name", ["h5ad CSR", "zarr CSR"])
def test_storage(tmp_path, name, encoding):
    path = FORMATS[name](tmp_path, {})
    attrs = attributes(path)
    attrs["encoding-type"] = encoding
    del attrs
    if path.suffix == ".zarr":
        zarr.consolidate_metadata(path)
    with pytest.raises(InputError, match=rf"{path.name}: .*(do not fit|not as CSR or CSC)"):
        read_header(path)


@pytest.mark.parametrize("name", ["h5ad CSR", "zarr CSR", "10x h5", "h5Seurat", "BPCells"])
def test_a_part_of_the_rows_is_checked_as_all_are(tmp_path, name):
    header = read_header(FORMATS[name](tmp_path, {}))
    blocks = list(formats.blocks(header, [], 10**6, tmp_path, 5, 17))
    assert np.array_equal(blocks[0].counts.toarray(), make_counts()[5:17])
    FORMATS[name](tmp_path, {"indptr": POINTERS["end early"]})
    with pytest.raises(InputError, match=r"indptr goes from 0 to \d+ instead of|of idxptr"):
        list(formats.blocks(header, [], 10**6, tmp_path, 5, 17))
