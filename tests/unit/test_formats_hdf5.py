"""HDF5 files with compression filters that h5py lacks, and broken ones."""

import os
import signal

import h5py
import hdf5plugin
import numpy as np
import pytest
from cellferry import formats
from cellferry.errors import InputError
from cellferry.formats.hdf5 import open_hdf5, refuse_what_crashes
from cellferry.formats.latents import open_latents
from reading import read_all, read_header
from tenx_files import make_counts as make_tenx_counts
from tenx_files import write_h5
from test_formats_h5ad import make_adata, make_counts

FILTERS = {
    "zstd": hdf5plugin.Zstd(),
    "blosc": hdf5plugin.Blosc(),
    "blosc2": hdf5plugin.Blosc2(),
    "lz4": hdf5plugin.LZ4(),
    "bzip2": hdf5plugin.BZip2(),
    "bitshuffle": hdf5plugin.Bitshuffle(),
}
ZSTD, UNKNOWN = (32015).to_bytes(2, "little"), (32999).to_bytes(2, "little")


def compress(source, path, chosen, only=""):
    """Copy a file, and compress datasets with names that begin with `only` by a filter."""

    def copy(name, item):
        if not isinstance(item, h5py.Dataset) or not item.shape or not name.startswith(only):
            return
        if item.dtype.kind == "O":  # Blosc's plugin crashes on strings
            return
        values = item[:]
        attributes, dtype = dict(item.attrs), item.dtype
        del file[name]
        made = file.create_dataset(name, data=values, dtype=dtype, chunks=item.shape, **chosen)
        made.attrs.update(attributes)

    with h5py.File(source, "r") as original, h5py.File(path, "w") as file:
        for name in original:
            original.copy(name, file)
        file.attrs.update(original.attrs)
        original.visititems(copy)
    return path


def compress_by_unknown(source, path, only):
    compress(source, path, FILTERS["zstd"], only)
    path.write_bytes(path.read_bytes().replace(ZSTD, UNKNOWN))
    return path


@pytest.mark.parametrize("name", FILTERS)
def test_what_is_compressed_by_others_filters_is_read(tmp_path, name):
    make_adata().write_h5ad(tmp_path / "plain.h5ad")
    path = compress(tmp_path / "plain.h5ad", tmp_path / "a.h5ad", FILTERS[name])
    header = read_header(path)
    counts, names, obs, _ = read_all(header, tmp_path / "scratch", columns=["ct", "text"])
    assert np.array_equal(counts, make_counts())
    assert (names[1], obs["ct"][0], obs["text"][1]) == ("cell1", "nan", "NA")


def test_other_formats_of_hdf5_too(tmp_path):
    write_h5(tmp_path / "plain.h5")
    path = compress(tmp_path / "plain.h5", tmp_path / "a.h5", FILTERS["lz4"])
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], make_tenx_counts())


@pytest.mark.parametrize("place", ["X", "obs/ct/codes"])
def test_a_filter_that_is_missing_is_named(tmp_path, place):
    make_adata().write_h5ad(tmp_path / "plain.h5ad")
    path = compress_by_unknown(tmp_path / "plain.h5ad", tmp_path / "a.h5ad", place)
    with pytest.raises(
        InputError, match=rf"a\.h5ad: {place} is compressed by the HDF5 filter 32999 .*h5repack"
    ):
        list(formats.cells(read_header(path), ["ct"]))


def test_a_filter_that_is_missing_in_latents_is_named(tmp_path):
    adata = make_adata()
    adata.obsm["X_scVI"] = np.ones((adata.n_obs, 3), dtype=np.float32)
    adata.write_h5ad(tmp_path / "plain.h5ad")
    path = compress_by_unknown(tmp_path / "plain.h5ad", tmp_path / "a.h5ad", "obsm/X_scVI")
    with pytest.raises(InputError, match="obsm/X_scVI is compressed by the HDF5 filter 32999"):
        list(open_latents(str(path), None).blocks([]))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_what_hdf5_crashes_on_is_refused_and_this_process_lives(tmp_path, monkeypatch, number):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["values"] = [1, 2]
    refuse_what_crashes(tmp_path / "a.h5")
    (tmp_path / "a.csv").write_text("cell,gene")
    refuse_what_crashes(tmp_path / "a.csv")
    monkeypatch.setattr("cellferry.formats.hdf5._look_at", lambda *_: os.kill(os.getpid(), number))
    with pytest.raises(InputError, match=rf"a\.h5: cannot be read, .*HDF5 crashes on it \({number.name}\)"):
        refuse_what_crashes(tmp_path / "a.h5")


def test_where_hdf5_finds_no_end_there_is_one(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["values"] = [1, 2]
    monkeypatch.setattr("cellferry.formats.hdf5.SECONDS_TO_LOOK", 1)
    monkeypatch.setattr("cellferry.formats.hdf5._look_at", lambda *_: [0 for _ in iter(int, 1)])
    with pytest.raises(InputError, match=r"a\.h5: cannot be read, .*HDF5 does not end on it"):
        refuse_what_crashes(tmp_path / "a.h5")


def test_a_broken_file_stays_one(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    content = (tmp_path / "a.h5ad").read_bytes()
    (tmp_path / "a.h5ad").write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match="truncated"), open_hdf5(tmp_path / "a.h5ad"):
        pass
    with pytest.raises(InputError, match="broken, incomplete"):
        read_header(tmp_path / "a.h5ad")
