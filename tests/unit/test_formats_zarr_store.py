"""Zarr stores of anndata, MuData and SpatialData: zipped, sharded or damaged."""

import shutil
import zipfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse
from test_formats_h5ad import N_GENES, make_counts
from test_formats_h5ad import make_adata as cells_of_all_kinds


def make_adata():
    """Log-normalized X, and counts in raw and in layers of every kind."""
    counts = make_counts()
    adata = cells_of_all_kinds()
    adata.obs["text"] = np.array(["a", "NA", "ü"] * 20, dtype=object)
    adata.obs["string"] = pd.array(["a", None, "c"] * 20, dtype="string")
    del adata.obs["number"]
    adata.X = np.log1p(counts * 1.5)
    raw_var = pd.DataFrame({"id": "x"}, index=[f"raw{i}" for i in range(N_GENES)])
    adata.raw = ad.AnnData(sparse.csr_matrix(counts), var=raw_var)
    adata.layers["csr"] = sparse.csr_matrix(counts)
    adata.layers["csc"] = sparse.csc_matrix(counts.astype(np.int64))
    adata.layers["dense"] = counts.astype(np.float64)
    return adata


def write(adata, path, version, **arguments):
    with ad.settings.override(zarr_write_format=version, allow_write_nullable_strings=True):
        adata.write_zarr(path, **arguments)
    return path


@pytest.fixture(scope="module", params=[2, 3])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def written(tmp_path_factory, version):
    """A store that tests share; they must not change it."""
    return write(make_adata(), tmp_path_factory.mktemp("stores") / "a.zarr", version)


@pytest.fixture
def own(tmp_path, written):
    """A store that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "a.zarr"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", ["raw", "layers/csr", "layers/csc", "layers/dense"])
def test_as_anndata_reads_it(tmp_path, written, place):
    header = read_header(written, counts=place)
    expected = ad.read_zarr(written)
    assert header.format == "zarr"
    assert header.storage == {"raw": "csr"}.get(place, place[7:])
    assert list(header.obs_columns) == list(expected.obs.columns)
    for max_bytes in (3000, 10**6):
        counts, names, obs, sizes = read_all(header, tmp_path / "scratch", max_bytes, header.obs_columns)
        assert np.array_equal(counts, make_counts())
        assert list(names) == list(expected.obs_names)
        assert all(size <= max_bytes for size in sizes)
    source = expected.raw if place == "raw" else expected
    assert list(header.var.index) == list(source.var_names)
    assert list(header.var.columns) == (["id"] if place == "raw" else ["symbol"])
    for column, values in obs.items():
        series = expected.obs[column]
        if values.dtype == object:
            assert [value is None for value in values] == list(series.isna())
            assert [value for value in values if value is not None] == [str(v) for v in series.dropna()]
        else:
            assert np.array_equal(values, series.to_numpy(values.dtype, na_value=np.nan), equal_nan=True)


def test_places_of_counts(written):
    header = read_header(written)
    assert header.counts == "raw"
    assert header.places == {
        "X": False,
        "raw": True,
        "layers/csr": True,
        "layers/csc": True,
        "layers/dense": True,
    }


@pytest.mark.filterwarnings("ignore")
def test_several_chunks(tmp_path, version):
    path = write(make_adata(), tmp_path / "a.zarr", version, chunks=(7, 5))
    for place in ("layers/dense", "layers/csr"):
        header = read_header(path, counts=place)
        assert np.array_equal(read_all(header, tmp_path, 2000)[0], make_counts())


def test_zipped_store(tmp_path, written):
    path = Path(shutil.make_archive(str(tmp_path / "a"), "zip", written))
    header = read_header(path, counts="layers/csc")
    assert header.format == "zarr"
    counts, _, obs, _ = read_all(header, tmp_path, 3000, ["ct"])
    assert np.array_equal(counts, make_counts())
    assert list(obs["ct"][:3]) == ["nan", "None", None]


def test_sharded_store(tmp_path):
    path = write(make_adata(), tmp_path / "a.zarr", 3)
    group = zarr.open_group(path / "layers/csr", mode="r+", use_consolidated=False)
    for name in ("data", "indices"):
        values = group[name][:]
        del group[name]
        n = 64 * -(-len(values) // 64)
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(16,), shards=(n,))[:] = (
            values
        )
    zarr.consolidate_metadata(path)
    header = read_header(path, counts="layers/csr")
    assert np.array_equal(read_all(header, tmp_path, 2000)[0], make_counts())


def test_no_obs(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w").create_array("x", shape=(3,), dtype="i4")
    with pytest.raises(InputError, match=r"is a zarr store without an AnnData object \(it holds x\)"):
        read_header(tmp_path / "a.zarr")
    with pytest.raises(InputError, match=r"has no obs, so it is not an AnnData.*datasets\.blood\.format"):
        read_header(tmp_path / "a.zarr", "zarr")


def chunk_files(folder):
    return [file for file in folder.rglob("*") if file.is_file() and file.name[0] not in ".z"]


@pytest.mark.parametrize("array", ["layers/csr/data", "layers/csr/indices", "obs/_index", "var/_index"])
def test_a_missing_chunk_is_no_zeros(own, array):
    group = zarr.open_group(own, mode="r+", use_consolidated=False)
    values = group["layers/csr/indices"][:]
    del group["layers/csr/indices"]
    group.create_array("layers/csr/indices", shape=values.shape, dtype=values.dtype, chunks=(50,))[:] = values
    zarr.consolidate_metadata(own)
    read_header(own, counts="layers/csr")
    for file in chunk_files(own / array)[:2]:
        file.unlink()
    with pytest.raises(InputError, match=r"a\.zarr: .* chunks of .* are missing; the store is incomplete"):
        read_header(own, counts="layers/csr")


@pytest.mark.parametrize("array", ["layers/csr/data", "layers/dense", "obs/ct/codes", "obs/float"])
def test_truncated_chunks(tmp_path, own, array):
    for file in chunk_files(own / array):
        file.write_bytes(file.read_bytes()[:-5])
    place = "layers/dense" if array == "layers/dense" else "layers/csr"
    with pytest.raises(InputError, match=r"a\.zarr.*(broken|incomplete).*copy"):
        read_all(read_header(own, counts=place), tmp_path, columns=["ct", "float"])


def test_broken_metadata(own):
    names = [file.name for file in own.iterdir() if file.is_file()]
    assert names
    for name in names:
        whole = (own / name).read_bytes()
        (own / name).write_text("{")
        with pytest.raises(InputError, match=r"a\.zarr: .*copy"):
            read_header(own)
        (own / name).write_bytes(whole)


def write_several(path, version, parent, names):
    """A store like those of SpatialData and MuData: groups of AnnData objects, beside others."""
    with ad.settings.override(zarr_write_format=version, allow_write_nullable_strings=True):
        root = zarr.open_group(path, mode="w", zarr_format=version)
        root.attrs["spatialdata_attrs"] = {"version": "0.2"}
        root.create_group("images").create_array("image", shape=(2, 2), dtype="u1")
        tables = root.create_group(parent)
        for number, name in enumerate(names):
            adata = make_adata()
            adata.layers["csr"] = adata.layers["csr"] + number * (adata.layers["csr"] > 0)
            adata.X = adata.layers["csr"]
            ad.io.write_elem(tables, name, adata)
        if parent == "mod":
            for frame in ("obs", "var"):
                ad.io.write_elem(root, frame, getattr(make_adata(), frame))
    return path


def zipped(path, top=""):
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, Path(top) / file.relative_to(path))
    return path.with_suffix(".zip")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pack", [lambda path: path, zipped, lambda path: zipped(path, "a.zarr")])
@pytest.mark.parametrize("parent", ["tables", "table"])
def test_spatialdata(tmp_path, version, parent, pack):
    path = pack(write_several(tmp_path / "a.zarr", version, parent, ["table"]))
    header = read_header(path, counts="X")
    assert (header.format, header.remarks) == ("zarr", [])
    counts, names, obs, _ = read_all(header, tmp_path / "scratch", columns=["ct"])
    assert np.array_equal(counts, make_counts())
    assert (names[1], obs["ct"][0]) == ("cell1", "nan")


@pytest.mark.filterwarnings("ignore")
def test_several_tables(tmp_path, version):
    path = write_several(tmp_path / "a.zarr", version, "tables", ["bins", "cells"])
    with pytest.raises(InputError, match=r"2 objects with cells, bins, cells; set datasets\.blood\.assay"):
        read_header(path)
    with pytest.raises(InputError, match=r"assay is 'x', but the store contains bins, cells"):
        read_header(path, assay="x")
    header = read_header(path, assay="cells", counts="X")
    assert header.remarks == ["the object cells is read, but not bins"]
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts() + (make_counts() > 0))


@pytest.mark.filterwarnings("ignore")
def test_a_table_is_checked_as_a_store_is(tmp_path, version):
    path = write_several(tmp_path / "a.zarr", version, "tables", ["table"])
    chunks = [file for file in (path / "tables/table/X/data").rglob("*") if file.is_file()]
    chunk = next(file for file in chunks if file.name not in {".zarray", ".zattrs", "zarr.json"})
    chunk.unlink()
    with pytest.raises(InputError, match="tables/table/X/data are missing"):
        read_header(path, counts="X")


@pytest.mark.filterwarnings("ignore")
def test_mudata(tmp_path, version):
    path = write_several(tmp_path / "a.zarr", version, "mod", ["prot", "rna"])
    header = read_header(path, counts="X")
    assert header.remarks == ["the object rna is read, but not prot"]
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts() + (make_counts() > 0))


@pytest.mark.filterwarnings("ignore")
def test_a_codec_that_is_missing_is_named(tmp_path):
    path = write(make_adata(), tmp_path / "a.zarr", 2)
    metadata = path / "layers" / "dense" / ".zarray"
    metadata.write_text(metadata.read_text().replace('"blosc"', '"pcodec9"'))
    for consolidated in path.rglob(".zmetadata"):
        consolidated.unlink()
    with pytest.raises(InputError, match=r"by a codec that is not installed here .*pcodec9"):
        read_header(path, counts="layers/dense")


def test_a_store_without_cells(tmp_path, version):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    root.create_group("images").create_array("image", shape=(2, 2), dtype="u1")
    with pytest.raises(InputError, match=r"is a zarr store without an AnnData object \(it holds images\)"):
        read_header(tmp_path / "a.zarr")
