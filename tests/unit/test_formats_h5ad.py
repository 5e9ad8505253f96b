"""h5ad files: every storage of matrix and columns, the choice of counts, and damaged files."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from cellferry import formats
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse

N_CELLS, N_GENES = 60, 25


def make_counts():
    return np.random.default_rng(0).poisson(0.6, size=(N_CELLS, N_GENES)).astype(np.float32)


def make_adata(x=None):
    counts = make_counts()
    obs = pd.DataFrame(
        {
            "ct": pd.Categorical(["nan", "None", None] * 20, categories=["None", "nan", "unused", "β-Zelle"]),
            "number": pd.Categorical([1, 2, 3] * 20),
            "text": np.array(["a", "NA"] * 30, dtype=object),
            "float": np.where(np.arange(N_CELLS) % 5, 1.5, np.nan),
            "int": np.arange(N_CELLS),
            "flag": np.arange(N_CELLS) % 2 == 0,
            "nullable": pd.array([1, None, 3] * 20, dtype="Int64"),
            "nullable_flag": pd.array([True, None, False] * 20, dtype="boolean"),
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame(
        {"symbol": [f"S{i}" for i in range(N_GENES)], "mean": counts.mean(axis=0)},
        index=[f"ENSG{i:011d}" for i in range(N_GENES)],
    )
    return ad.AnnData(counts if x is None else x, obs=obs, var=var)


@pytest.mark.parametrize("storage", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("max_bytes", [300, 5_000, 10**6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_storage(tmp_path, storage, max_bytes, dtype):
    counts = make_counts()
    make_adata(storage(counts.astype(dtype))).write_h5ad(tmp_path / "a.h5ad")
    header = read_header(tmp_path / "a.h5ad")
    assert (header.format, header.counts, header.dtype) == ("h5ad", "X", str(np.dtype(dtype)))
    found, names, _, sizes = read_all(header, tmp_path / "scratch", max_bytes)
    assert np.array_equal(found, counts)
    assert list(names) == [f"cell{i}" for i in range(N_CELLS)]
    assert all(size <= max_bytes for size in sizes)
    assert not list((tmp_path / "scratch").glob("*"))


def test_dense_rows_count_towards_the_block(tmp_path):
    make_adata(np.zeros((N_CELLS, N_GENES), dtype=np.float64)).write_h5ad(tmp_path / "a.h5ad")
    header = read_header(tmp_path / "a.h5ad")
    blocks = list(formats.blocks(header, [], 2000, tmp_path))
    assert max(len(block) for block in blocks) * N_GENES * 8 <= 2000


def test_obs_values(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    header = read_header(tmp_path / "a.h5ad")
    columns = header.obs_columns
    _, _, obs, _ = read_all(header, tmp_path, 3000, columns)
    assert list(obs["ct"][:3]) == ["nan", "None", None]
    assert list(obs["number"][:3]) == ["1", "2", "3"]
    assert list(obs["text"][:2]) == ["a", "NA"]
    assert list(obs["flag"][:2]) == [True, False]
    assert obs["flag"].dtype == bool
    assert list(obs["nullable_flag"][:3]) == ["True", None, "False"]
    assert np.array_equal(obs["nullable"][:3], [1, np.nan, 3], equal_nan=True)
    assert np.isnan(obs["float"][0])
    assert obs["int"].dtype == np.int64


def test_var_holds_names_and_string_columns(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    var = read_header(tmp_path / "a.h5ad").var
    assert list(var.columns) == ["symbol"]
    assert var.index[1] == "ENSG00000000001"


def with_places():
    """Counts in raw, with genes of its own; X and a layer are log-normalized."""
    counts = make_counts()
    adata = make_adata(np.log1p(counts * 1.5))
    raw = ad.AnnData(counts, var=pd.DataFrame({"id": "x"}, index=[f"raw{i}" for i in range(N_GENES)]))
    adata.raw = raw
    adata = adata[:, :7].copy()
    adata.layers["scaled"] = np.asarray(adata.X) - 1
    adata.layers["kept"] = sparse.csc_matrix(counts[:, :7])
    return adata, counts


def test_places_of_counts(tmp_path):
    adata, counts = with_places()
    adata.write_h5ad(tmp_path / "a.h5ad")
    header = read_header(tmp_path / "a.h5ad")
    assert header.places == {"X": False, "raw": True, "layers/kept": True, "layers/scaled": False}
    assert (header.counts, header.n_genes) == ("raw", N_GENES)
    assert header.var.index[0] == "raw0"
    assert np.array_equal(read_all(header, tmp_path)[0], counts)
    layer = read_header(tmp_path / "a.h5ad", counts="layers/kept")
    assert (layer.storage, layer.n_genes, layer.var.index[0]) == ("csc", 7, "ENSG00000000000")
    assert np.array_equal(read_all(layer, tmp_path)[0], counts[:, :7])


def test_layers_whose_names_hold_slashes(tmp_path):
    """HDF5 stores them as nested groups."""
    path = tmp_path / "a.h5ad"
    make_adata(np.log1p(make_counts())).write_h5ad(path)
    with h5py.File(path, "a") as file:
        write_elem(file.create_group("layers/raw/of all"), "counts", sparse.csr_matrix(make_counts()))
        write_elem(file["layers/raw"], "dense", make_counts() * 2)
    header = read_header(path)
    assert header.places == {"X": False, "layers/raw/dense": True, "layers/raw/of all/counts": True}
    for place in ("layers/raw/of all/counts", "raw/of all/counts"):
        assert np.array_equal(read_all(read_header(path, counts=place), tmp_path)[0], make_counts())


def test_place_that_is_not_there(tmp_path):
    with_places()[0].write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        InputError, match=r"a\.h5ad: datasets\.blood\.counts is 'layers/raw'.*X, raw, layers/kept"
    ):
        read_header(tmp_path / "a.h5ad", counts="layers/raw")


def test_layers_counts_comes_first(tmp_path):
    adata = make_adata()
    adata.layers["counts"] = make_counts() + 1
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert read_header(tmp_path / "a.h5ad").counts == "layers/counts"


def test_no_matrix(tmp_path):
    adata = make_adata()
    adata.X = None
    adata.write_h5ad(tmp_path / "a.h5ad")
    header = read_header(tmp_path / "a.h5ad")
    assert (header.counts, header.places) == (None, {})


def test_duplicate_entries_are_summed_and_unsorted_ones_sorted(tmp_path):
    make_adata(sparse.csr_matrix(make_counts())).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        first = int(file["X/indptr"][1])
        assert first >= 3
        file["X/indices"][:first] = [5, 2, 2, *range(7, 7 + first - 3)]
        file["X/data"][:first] = 1
    counts = read_all(read_header(tmp_path / "a.h5ad"), tmp_path)[0]
    assert counts[0, [2, 5]].tolist() == [2, 1]


@pytest.mark.parametrize(("array", "position", "value"), [("indices", 0, 999), ("indptr", 3, 10**6)])
def test_damaged_indices(tmp_path, array, position, value):
    make_adata(sparse.csr_matrix(make_counts())).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file[f"X/{array}"][position] = value
    with pytest.raises(InputError, match=r"a\.h5ad: .*damaged: export it again"):
        read_all(read_header(tmp_path / "a.h5ad"), tmp_path)


def test_codes_beyond_the_categories(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["obs/ct/codes"][7] = 9
    with pytest.raises(
        InputError, match=r"a\.h5ad: .*ct has codes beyond its 4 categories.*download it again"
    ):
        read_all(read_header(tmp_path / "a.h5ad"), tmp_path, columns=["ct"])


def test_shape_that_does_not_fit(tmp_path):
    make_adata(sparse.csr_matrix(make_counts())).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["X"].attrs["shape"] = (N_CELLS - 1, N_GENES)
    with pytest.raises(InputError, match=r"a\.h5ad: X is 59 × 25, but obs and var name 60 cells"):
        read_header(tmp_path / "a.h5ad")


def test_text_in_a_matrix(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["X"]
        file["X"] = np.full((N_CELLS, N_GENES), b"a")
    with pytest.raises(InputError, match=r"a\.h5ad: /X holds .*not numbers; export"):
        read_all(read_header(tmp_path / "a.h5ad"), tmp_path)


@pytest.mark.parametrize("length", [0, 100, 3000])
def test_truncated_file(tmp_path, length):
    path = tmp_path / "a.h5ad"
    make_adata().write_h5ad(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"a\.h5ad: .*(copy|download)"):
        read_header(path)


def test_other_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["matrix"] = [1]
    with pytest.raises(InputError, match=r"of no known format \(it holds matrix\)"):
        read_header(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"has no obs.*datasets\.blood\.format"):
        read_header(tmp_path / "a.h5", "h5ad")
    with pytest.raises(InputError, match="correct the path"):
        read_header(tmp_path / "missing.h5ad")


REAL = [
    ("formats/h5ad/anndata_v0.5.0.h5ad", "X"),
    ("formats/h5ad/anndata_v0.5.0.h5ad", "raw"),
    ("formats/h5ad/anndata_v0.7.0.h5ad", "raw"),
    ("formats/h5ad/anndata_v0.7.0.h5ad", "X"),
    ("formats/h5ad/anndataR_example.h5ad", "layers/csc_counts"),
    ("formats/h5ad/anndataR_example.h5ad", "layers/dense_counts"),
    ("formats/h5ad/cxg_example_valid.h5ad", "raw"),
    ("formats/h5ad/hlca_Krasnow_2020_100genes.h5ad", "X"),
    ("formats/citeseq_AML_SCUBA/AML_h5ad.h5ad", "layers/counts"),
    ("pbmc/query_kang_ifnb.h5ad", "raw"),
    ("levine32_cytof/ref_H1_dense.h5ad", "X"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "place"), REAL)
def test_real_files_as_anndata_reads_them(test_data, tmp_path, path, place):
    header = read_header(test_data / path, counts=place)
    counts, names, obs, _ = read_all(header, tmp_path, 100_000, header.obs_columns)
    adata = ad.read_h5ad(test_data / path)
    source = adata.raw if place == "raw" else adata
    matrix = adata.layers[place[7:]] if place.startswith("layers/") else source.X
    matrix = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    assert np.array_equal(counts, matrix.astype(np.float32))
    assert list(names) == list(adata.obs_names)
    assert list(header.var.index) == list(source.var_names)
    assert header.obs_columns == list(adata.obs.columns)
    for column, values in obs.items():
        expected = adata.obs[column]
        if values.dtype == object:
            assert [v is None for v in values] == list(expected.isna())
            assert [v for v in values if v is not None] == [str(v) for v in expected.dropna()]
        else:
            assert np.array_equal(
                values, expected.to_numpy(dtype=values.dtype, na_value=np.nan), equal_nan=True
            )
    for column in header.var:
        assert list(header.var[column]) == [str(v) for v in source.var[column]]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("pbmc/ref_pbmc3k.h5ad", "layers/counts"),
        ("pbmc/query_symphony_3tech.h5ad", "X"),
        ("pbmc/query_kang_ifnb.h5ad", "raw"),
        ("formats/h5ad/cxg_example_valid.h5ad", "raw"),
        ("formats/h5ad/anndata_v0.11.4.h5ad", None),
    ],
)
def test_place_found_in_real_files(test_data, path, place):
    assert read_header(test_data / path).counts == place


def test_a_matrix_without_values_is_an_error_of_the_file(tmp_path):
    make_adata(sparse.csr_matrix(make_counts())).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["X/data"]
    with pytest.raises(InputError, match=r"a\.h5ad: lacks a part that its format requires"):
        read_header(tmp_path / "a.h5ad")
