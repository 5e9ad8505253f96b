"""h5Seurat files, written here according to SeuratDisk's specification."""

import h5py
import numpy as np
import pytest
from cellferry import formats
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse

N_CELLS, N_GENES = 60, 25
NA = -(2**31)


def make_counts():
    """Cells × genes."""
    return np.random.default_rng(0).poisson(0.6, size=(N_CELLS, N_GENES)).astype(np.float64)


def write_matrix(group, name, counts):
    """A dgCMatrix of features × cells, or a dense matrix with dimensions reversed by R."""
    if not sparse.issparse(counts):
        group[name] = counts
        return
    turned = sparse.csc_matrix(counts.T)
    for key in ("data", "indices", "indptr"):
        group[f"{name}/{key}"] = getattr(turned, key)
    group[name].attrs["dims"] = np.array(turned.shape, dtype=np.int32)


def write_factor(group, name, values, levels):
    group[f"{name}/levels"] = levels
    group[f"{name}/values"] = np.array(values, dtype=np.int32)


def write_h5seurat(path, assays=None, *, active="RNA", as_group=True):
    counts = sparse.csr_matrix(make_counts())
    assays = {"RNA": {"counts": counts, "data": counts.log1p() * 1.5}} if assays is None else assays
    with h5py.File(path, "w") as file:
        file.attrs["active.assay"] = np.array([active], dtype=h5py.string_dtype())
        file.attrs["version"] = "4.0.3"
        file["cell.names"] = [f"cell{i}" for i in range(N_CELLS)]
        for name, slots in assays.items():
            group = file.create_group(f"assays/{name}")
            for slot, matrix in slots.items():
                write_matrix(group, slot, matrix)
            group["features"] = [f"{name}{i}" for i in range(N_GENES)]
            group["meta.features/symbol"] = [f"S{i}" for i in range(N_GENES)]
            group["meta.features/mean"] = np.zeros(N_GENES)
            group["meta.features/_index"] = group["features"][:]
            group["meta.features"].attrs["colnames"] = ["symbol", "mean"]
        write_factor(file, "active.ident", [2, 1, 1] * 20, ["T", "B"])
        if as_group:
            write_frame(file)
        else:
            dtype = [("depth", "f8"), ("flag", "i4"), ("text", h5py.string_dtype())]
            rows = [(i / 2, (0, 1, 2)[i % 3], ["x", "NA"][i % 2]) for i in range(N_CELLS)]
            file["meta.data"] = np.array(rows, dtype=dtype)
            file["meta.data"].attrs["logicals"] = ["flag"]
    return path


def write_frame(file):
    obs = file.create_group("meta.data")
    obs.attrs["_index"] = "_index"
    obs.attrs["colnames"] = ["text", "ct", "depth", "number", "flag", "flag2"]
    obs.attrs["logicals"] = np.array(["flag"], dtype=h5py.string_dtype())
    obs["_index"] = file["cell.names"][:]
    obs["text"] = ["x", "NA", "ü"] * 20
    write_factor(obs, "ct", [1, 2, NA] * 20, ["B-Zelle", "NA"])
    obs["depth"] = np.where(np.arange(N_CELLS) % 2, np.nan, 1.5)
    obs["number"] = np.array([1, NA, 3] * 20, dtype=np.int32)
    obs["flag"] = np.array([0, 1, 2] * 20, dtype=np.int32)
    obs["flag2"] = np.array([0, 1, 2] * 20, dtype=np.int32)
    obs["flag2"].attrs["s3class"] = "logical"


@pytest.mark.parametrize("storage", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("max_bytes", [300, 10**6])
def test_storage(tmp_path, storage, max_bytes):
    path = write_h5seurat(tmp_path / "a.h5seurat", {"RNA": {"counts": storage(make_counts())}})
    header = read_header(path)
    assert (header.format, header.counts, header.dtype) == ("h5seurat", "counts", "float64")
    assert header.storage == ("dense" if storage is np.asarray else "csr")
    counts, names, _, sizes = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(counts, make_counts())
    assert list(names) == [f"cell{i}" for i in range(N_CELLS)]
    assert list(header.var.index) == [f"RNA{i}" for i in range(N_GENES)]
    assert list(header.var.columns) == ["symbol"]
    assert all(size <= max_bytes for size in sizes)
    (block,) = formats.blocks(header, [], 10**6, tmp_path, 7, 13)
    assert np.array_equal(block.counts.toarray(), make_counts()[7:13])
    assert list(block.names) == [f"cell{i}" for i in range(7, 13)]


def test_meta_data(tmp_path):
    header = read_header(write_h5seurat(tmp_path / "a.h5seurat"))
    assert header.obs_columns == ["text", "ct", "depth", "number", "flag", "flag2", "active.ident"]
    _, _, obs, _ = read_all(header, tmp_path, 2000, header.obs_columns)
    assert list(obs["text"][:3]) == ["x", None, "ü"]
    assert list(obs["ct"][:3]) == ["B-Zelle", "NA", None]
    assert np.array_equal(obs["depth"][:2], [1.5, np.nan], equal_nan=True)
    assert np.array_equal(obs["number"][:3], [1, np.nan, 3], equal_nan=True)
    assert list(obs["flag"][:3]) == list(obs["flag2"][:3]) == ["False", "True", None]
    assert list(obs["active.ident"][:3]) == ["B", "T", "T"]


def test_meta_data_as_one_dataset(tmp_path):
    header = read_header(write_h5seurat(tmp_path / "a.h5seurat", as_group=False))
    assert header.obs_columns == ["depth", "flag", "text", "active.ident"]
    _, _, obs, _ = read_all(header, tmp_path, 2000, header.obs_columns)
    assert list(obs["flag"][:3]) == ["False", "True", None]
    assert list(obs["text"][:2]) == ["x", None]
    assert obs["depth"][3] == 1.5


def test_slots(tmp_path):
    path = write_h5seurat(tmp_path / "a.h5seurat")
    assert read_header(path).places == {"counts": True, "data": False}
    header = read_header(path, counts="data")
    assert header.counts == "data"
    assert np.allclose(read_all(header, tmp_path)[0], np.log1p(make_counts()) * 1.5)
    with pytest.raises(InputError, match=r"datasets\.blood\.counts is 'scale\.data'.*it has: counts, data"):
        read_header(path, counts="scale.data")


def test_rna_comes_before_the_active_assay(tmp_path):
    counts = sparse.csr_matrix(make_counts())
    assays = {"integrated": {"data": counts * 0.5}, "RNA": {"counts": counts}, "SCT": {"counts": counts}}
    path = write_h5seurat(tmp_path / "a.h5seurat", assays, active="integrated")
    header = read_header(path)
    assert header.remarks == ["assay RNA is read, SCT, integrated left out"]
    assert read_header(path, assay="SCT").var.index[0] == "SCT0"
    with pytest.raises(
        InputError,
        match=r"assay is 'ADT', but the file contains RNA \(counts\), SCT \(counts\), integrated \(data\)",
    ):
        read_header(path, assay="ADT")


@pytest.mark.parametrize("empty", [None, sparse.csr_matrix((0, 0)), np.zeros((0, 0))])
def test_empty_counts(tmp_path, empty):
    slots = {"data": sparse.csr_matrix(make_counts() * 0.5)} | ({} if empty is None else {"counts": empty})
    path = write_h5seurat(tmp_path / "a.h5seurat", {"integrated": slots}, active="integrated")
    with pytest.raises(
        InputError,
        match=r"a\.h5seurat: the counts slot of assay integrated is empty; .* contains integrated \(data\)",
    ):
        read_header(path)
    assert read_header(path, counts="data").places == {"data": False}


def test_active_assay_that_is_not_there(tmp_path):
    path = write_h5seurat(tmp_path / "a.h5seurat", {"ADT": {}}, active="Protein")
    with pytest.raises(
        InputError, match=r"active assay 'Protein' is missing; it contains ADT \(no counts, no data\)"
    ):
        read_header(path)


def test_shape_that_does_not_fit(tmp_path):
    path = write_h5seurat(tmp_path / "a.h5seurat")
    with h5py.File(path, "r+") as file:
        del file["cell.names"]
        file["cell.names"] = ["a", "b"]
    with pytest.raises(
        InputError, match=r"counts of assay RNA is 60 cells × 25 features, but 2 cells and 25"
    ):
        read_header(path)


def test_values_beyond_the_levels(tmp_path):
    path = write_h5seurat(tmp_path / "a.h5seurat")
    with h5py.File(path, "r+") as file:
        file["meta.data/ct/values"][5] = 9
    with pytest.raises(InputError, match=r"a\.h5seurat: .*/meta\.data/ct has values beyond its 2 levels"):
        read_all(read_header(path), tmp_path, columns=["ct"])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated_file(tmp_path, share):
    path = write_h5seurat(tmp_path / "a.h5seurat")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a\.h5seurat: .*(copy|download)"):
        read_all(read_header(path), tmp_path)


@pytest.mark.parametrize("part", ["assays/RNA/features", "assays/RNA/counts/indices"])
def test_missing_part(tmp_path, part):
    path = write_h5seurat(tmp_path / "a.h5seurat")
    with h5py.File(path, "r+") as file:
        del file[part]
    with pytest.raises(InputError, match=r"a\.h5seurat: lacks a part that its format requires"):
        read_all(read_header(path), tmp_path)
