"""Missing chunks of a zarr store: omitted zeros, or lost."""

import json
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse

N_CELLS, N_GENES, SIZE = 60, 25, 15
COUNTS = np.random.default_rng(5).poisson(0.8, size=(N_CELLS, N_GENES)).astype(np.float32)
pytestmark = pytest.mark.filterwarnings("ignore")


def make_adata(storage=sparse.csr_matrix):
    obs = pd.DataFrame(
        {
            "ct": pd.Categorical(["a", "b", "c"] * 20),
            "one": pd.Categorical(["x"] * N_CELLS),
            "sorted": pd.Categorical(["a"] * 40 + ["b"] * 20),
            "zero": np.zeros(N_CELLS),
            "no": np.zeros(N_CELLS, dtype=bool),
            "depth": np.arange(N_CELLS) + 0.5,
            "whole": pd.array(np.arange(N_CELLS), dtype="Int64"),
            "numbered": pd.Categorical([0] * N_CELLS),
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    return ad.AnnData(storage(COUNTS), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(N_GENES)]))


def rechunked(path, names, size=SIZE):
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name in names:
        values, attributes = root[name][:], dict(root[name].attrs)
        del root[name]
        array = root.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(size,) * values.ndim)
        array[:] = values
        array.attrs.update(attributes)
    zarr.consolidate_metadata(path)


@pytest.fixture(scope="module", params=[2, 3])
def store(request, tmp_path_factory):
    """A store that tests copy."""
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    with ad.settings.override(zarr_write_format=request.param):
        make_adata().write_zarr(path)
    rechunked(path, ["X/data", "X/indices"], 100)
    rechunked(path, ["X/indptr", *(f"obs/{name}/codes" for name in ("ct", "one", "sorted", "numbered"))])
    rechunked(path, ["obs/depth", "obs/zero", "obs/no", "obs/whole/values", "obs/whole/mask"])
    return path


@pytest.fixture
def own(tmp_path, store):
    return shutil.copytree(store, tmp_path / "a.zarr")


def chunks(folder):
    files = [file for file in folder.rglob("*") if file.is_file() and file.name[0] not in ".z"]
    return sorted(files, key=lambda file: int(file.name))


def test_what_zarr_left_out_is_read(tmp_path, own):
    assert not chunks(own / "obs/one/codes")
    assert len(chunks(own / "obs/sorted/codes")) == 2
    header = read_header(own)
    expected = ad.read_zarr(own)
    counts, names, obs, _ = read_all(header, tmp_path / "s", columns=header.obs_columns)
    assert np.array_equal(counts, COUNTS)
    assert list(names) == list(expected.obs_names)
    for column in ("ct", "one", "sorted", "numbered"):
        assert list(obs[column]) == list(map(str, expected.obs[column]))
    for column in ("zero", "no", "depth", "whole"):
        assert np.array_equal(obs[column].astype(float), expected.obs[column].astype(float))
    told = "\n".join(header.warnings)
    assert "2 of the 4 chunks of obs/sorted/codes are missing (obs/sorted/codes/" in told
    assert "obs/one" not in told
    assert "mask" not in told


@pytest.mark.parametrize("number", [0, 1, -1])
@pytest.mark.parametrize(
    "array", ["X/data", "X/indices", "X/indptr", "obs/ct/codes", "obs/depth", "obs/whole/values"]
)
def test_a_lost_chunk_is_refused(own, array, number):
    chunk = chunks(own / array)[number]
    chunk.unlink()
    named = (
        rf"1 of the \d chunks of {array} are missing; the store is incomplete .*{array}/.*{chunk.name} is not"
    )
    with pytest.raises(InputError, match=rf"a\.zarr: {named}"):
        read_header(own)


@pytest.mark.parametrize("array", ["obs/ct/codes", "obs/sorted/codes", "obs/_index", "obs/ct/categories"])
def test_all_chunks_lost(own, array):
    for chunk in chunks(own / array):
        chunk.unlink()
    with pytest.raises(InputError, match=rf"a\.zarr: .* chunks of {array}.* are missing; the store is"):
        read_header(own)


def test_a_single_category_may_be_the_empty_text(own, tmp_path):
    """Columns that were never filled in are stored this way; a lost category is reported."""
    for chunk in chunks(own / "obs/one/categories"):
        chunk.unlink()
    header = read_header(own)
    assert set(read_all(header, tmp_path / "s", columns=["one"])[2]["one"]) == {""}
    assert any("chunks of obs/one/categories are missing" in warning for warning in header.warnings)


def test_text_that_is_empty_may_be_left_out(tmp_path):
    adata = make_adata()
    adata.obs["text"] = pd.array([""] * N_CELLS, dtype="string")
    with ad.settings.override(zarr_write_format=3, allow_write_nullable_strings=True):
        adata.write_zarr(tmp_path / "a.zarr", convert_strings_to_categoricals=False)
    assert not chunks(tmp_path / "a.zarr/obs/text/values")
    header = read_header(tmp_path / "a.zarr")
    assert set(read_all(header, tmp_path / "s", columns=["text"])[2]["text"]) == {""}
    assert any("chunks of obs/text/values are missing" in warning for warning in header.warnings)


def test_a_last_position_may_be_left_out(tmp_path):
    """The last chunk contains one position, that of the first gene: zarr omits it."""
    counts = COUNTS[:12].copy()
    counts[-1] = 0
    n = int(np.count_nonzero(counts))
    counts[-1, 0] = 3
    adata = make_adata()[:12].copy()
    adata.X = sparse.csr_matrix(counts)
    adata.write_zarr(tmp_path / "a.zarr")
    rechunked(tmp_path / "a.zarr", ["X/indices"], n)
    assert len(chunks(tmp_path / "a.zarr/X/indices")) == 1
    header = read_header(tmp_path / "a.zarr")
    assert np.array_equal(read_all(header, tmp_path / "s")[0], counts)
    assert any("1 of the 2 chunks of X/indices are missing" in warning for warning in header.warnings)


def test_first_cells_without_counts(tmp_path):
    counts = COUNTS.copy()
    counts[:20] = 0
    adata = make_adata()
    adata.X = sparse.csr_matrix(counts)
    adata.write_zarr(tmp_path / "a.zarr")
    rechunked(tmp_path / "a.zarr", ["X/indptr"])
    header = read_header(tmp_path / "a.zarr")
    assert np.array_equal(read_all(header, tmp_path / "s")[0], counts)
    assert any("chunks of X/indptr are missing, as zarr leaves out zeros" in w for w in header.warnings)


def test_dense_chunks_are_told_with_their_number(tmp_path):
    counts = COUNTS.copy()
    make_adata(np.asarray).write_zarr(tmp_path / "a.zarr")
    rechunked(tmp_path / "a.zarr", ["X"])
    assert read_header(tmp_path / "a.zarr").warnings[-1:] != ["X"]
    chunk = next(file for file in chunks(tmp_path / "a.zarr/X"))
    chunk.unlink()
    header = read_header(tmp_path / "a.zarr")
    assert "1 of the 8 chunks of X are missing and are read as zeros" in header.warnings[-1]
    found = read_all(header, tmp_path / "s")[0]
    assert not np.array_equal(found, counts)
    assert np.count_nonzero(found != counts) <= SIZE * SIZE


def test_a_zip_is_checked_as_a_folder_is(tmp_path, own):
    assert np.array_equal(read_all(read_header(packed(own)), tmp_path / "s")[0], COUNTS)
    chunks(own / "X/indices")[2].unlink()
    with pytest.raises(InputError, match=r"a\.zip: 1 of the \d chunks of X/indices are missing"):
        read_header(packed(own))


def packed(own):
    path = own.with_suffix(".zip")
    path.unlink(missing_ok=True)
    shutil.make_archive(str(own.with_suffix("")), "zip", own)
    return path


def test_a_chunk_that_says_it_holds_more_texts_than_fit_into_it(own, tmp_path):
    """zarr would allocate memory for all of them before reading the first."""
    root = zarr.open_group(own, mode="r+")
    old = root["obs/ct/categories"]
    values, attributes = old[:], dict(old.attrs)
    del root["obs/ct/categories"]
    new = root.create_array(
        "obs/ct/categories", shape=values.shape, dtype=old.dtype, chunks=values.shape, compressors=None
    )
    new[:] = values
    new.attrs.update(attributes)
    zarr.consolidate_metadata(own)
    (chunk,) = chunks(own / "obs/ct/categories")
    texts = bytearray(chunk.read_bytes())
    texts[3] = 0xFF
    chunk.write_bytes(texts)
    with pytest.raises(InputError, match=r"a\.zarr: .*a chunk of \d+ bytes declares \d{10} texts"):
        read_all(read_header(own), tmp_path / "s", columns=["ct"])


@pytest.mark.parametrize("array", ["obs/ct/codes", "X/data", "X/indptr", "obs/_index", "var/_index"])
@pytest.mark.parametrize("key", ["shape", "chunks"])
def test_huge_shapes(own, array, key):
    metadata = next(
        file
        for folder in (own / array, own / array / "values")
        for file in (folder / "zarr.json", folder / ".zarray")
        if file.is_file() and b"shape" in file.read_bytes()
    )
    for file in own.rglob(".zmetadata"):
        file.unlink()
    found = json.loads(metadata.read_text())
    if key == "shape":
        found["shape"] = [10**12]
    elif metadata.name == ".zarray":
        found["chunks"] = [10**12]
    else:
        found["chunk_grid"]["configuration"]["chunk_shape"] = [10**12]
    metadata.write_text(json.dumps(found))
    if metadata.name == "zarr.json":
        top = json.loads((own / "zarr.json").read_text())
        top.pop("consolidated_metadata", None)
        (own / "zarr.json").write_text(json.dumps(top))
    with pytest.raises(InputError, match=r"a\.zarr: "):
        read_all(read_header(own), own.parent / "s", columns=["ct"])
