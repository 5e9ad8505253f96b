"""h5ad files of the workflow: written block by block, read in parts, and checked for damage."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts import h5ad_writer
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.core import digests
from cellferry.core.atomic import set_aside_damaged
from cellferry.errors import InputError
from scipy import sparse


def random_counts(n_cells=60, n_genes=12):
    rng = np.random.default_rng(0)
    return sparse.csr_matrix(rng.poisson(0.7, size=(n_cells, n_genes)).astype(np.float32))


def write(path, counts, *, step=17, **options):
    n_cells, n_genes = counts.shape
    names = np.array([f"cell{i}" for i in range(n_cells)], dtype=object)
    obs = {
        "label": np.array([None if i % 7 == 0 else "abc"[i % 3] for i in range(n_cells)], dtype=object),
        "age": np.arange(n_cells, dtype=np.float64),
    }
    var = pd.DataFrame({"symbol": [f"S{i}" for i in range(n_genes)]}, index=[f"G{i}" for i in range(n_genes)])
    with H5adWriter(path, var, **options) as writer:
        for start in range(0, n_cells, step):
            part = slice(start, start + step)
            writer.append(counts[part], names[part], {key: values[part] for key, values in obs.items()})
        writer.write_uns(total=float(counts.sum()))
    return names, obs, var


@pytest.mark.parametrize("portable", [False, True])
def test_round_trip(tmp_path, portable):
    counts = random_counts()
    names, obs, var = write(tmp_path / "a.h5ad", counts, portable=portable)
    adata = ad.read_h5ad(tmp_path / "a.h5ad")
    assert np.array_equal(adata.X.toarray(), counts.toarray())
    assert list(adata.obs_names) == list(names)
    assert adata.obs["label"].dtype == "category"
    assert [None if pd.isna(v) else v for v in adata.obs["label"]] == list(obs["label"])
    assert np.array_equal(adata.obs["age"], obs["age"])
    assert list(adata.var["symbol"]) == list(var["symbol"])
    with H5adReader(tmp_path / "a.h5ad") as reader:
        assert (reader.n_cells, reader.n_genes, reader.nonzeros) == (*counts.shape, counts.nnz)
        assert np.array_equal(reader.counts(5, 23).toarray(), counts[5:23].toarray())
        assert list(reader.names(5, 23)) == list(names[5:23])
        assert list(reader.obs("label", 5, 23)) == list(obs["label"][5:23])
        assert reader.obs_columns == ["label", "age"]
        assert reader.uns["total"] == counts.sum()
        some = np.array([0, 1, 30, 59])
        assert np.array_equal(reader.rows(some).toarray(), counts[some].toarray())
        ranges = list(reader.ranges(200))
        assert ranges[0][0] == 0
        assert ranges[-1][1] == len(names)
        assert all(reader.counts(*r).nnz * 8 <= 200 for r in ranges if r[1] - r[0] > 1)


def text(values):
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([np.array([1, 2]), np.array([0.5, np.nan])], np.array([1, 2, 0.5, np.nan])),
        ([np.array([1], dtype=np.int32), np.array([2**40])], np.array([1, 2**40])),
        ([np.array([1], dtype=np.uint8), np.array([-1], dtype=np.int8)], np.array([1, -1], dtype=np.int16)),
        ([np.array([True]), np.array([False, True])], np.array([True, False, True])),
        ([np.array([True, False]), text(["no", None])], text(["True", "False", "no", None])),
        ([text(["no", None]), np.array([True, False])], text(["no", None, "True", "False"])),
    ],
)
def test_a_column_gets_the_type_that_holds_all_of_its_blocks(tmp_path, parts, expected):
    names = text([f"cell{number}" for number in range(len(expected))])
    counts, var = random_counts(len(expected)), pd.DataFrame(index=[f"G{i}" for i in range(12)])
    ends = np.cumsum([0, *map(len, parts)])
    with H5adWriter(tmp_path / "a.h5ad", var) as writer:
        for part, start, stop in zip(parts, ends[:-1], ends[1:], strict=True):
            some = names[start:stop]
            writer.append(counts[start:stop], some, {"other": some, "column": part, "last": some})
    with H5adWriter(tmp_path / "b.h5ad", var) as writer:
        writer.append(counts, names, {"other": names, "column": expected, "last": names})
    with H5adReader(tmp_path / "a.h5ad") as one, H5adReader(tmp_path / "b.h5ad") as other:
        assert one.obs_columns == other.obs_columns == ["other", "column", "last"]
        assert one.obs("column").dtype == other.obs("column").dtype == expected.dtype
        np.testing.assert_array_equal(one.obs("column"), other.obs("column"))
        np.testing.assert_array_equal(one.obs("column"), expected)
        assert one.uns["id"] == other.uns["id"]
    with H5adWriter(tmp_path / "merged.h5ad", var) as writer:
        for path in ("b.h5ad", "a.h5ad"):
            with H5adReader(tmp_path / path) as reader:
                writer.append_file(reader, copy=True)
    column = ad.read_h5ad(tmp_path / "merged.h5ad").obs["column"].to_numpy()
    assert [None if pd.isna(value) else value for value in column] == [
        None if pd.isna(value) else value for value in [*expected, *expected]
    ]


@pytest.mark.parametrize("options", [{}, {"portable": True}])
@pytest.mark.parametrize(("limit", "dtype"), [(10**6, np.int32), (100, np.int64)])
def test_index_arrays_have_one_type(tmp_path, monkeypatch, limit, dtype, options):
    monkeypatch.setattr(h5ad_writer, "INT32_MAX", limit)
    counts = random_counts()
    write(tmp_path / "a.h5ad", counts, **options)
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert file["X/indices"].dtype == file["X/indptr"].dtype == dtype
    with H5adReader(tmp_path / "a.h5ad") as reader:
        assert reader.counts(0, 10).indices.dtype == np.int32
        list(reader.blocks(200))  # checksums do not depend on how indices are stored
    assert np.array_equal(ad.read_h5ad(tmp_path / "a.h5ad").X.toarray(), counts.toarray())


def test_the_same_cells_give_the_same_id_and_others_another(tmp_path):
    def id_of(counts, step, name):
        write(tmp_path / name, counts, step=step)
        with H5adReader(tmp_path / name) as reader:
            return reader.uns["id"]

    counts = random_counts()
    first = id_of(counts, 17, "a.h5ad")
    assert id_of(counts, 60, "b.h5ad") == first
    counts.data[3] += 1
    assert id_of(counts, 17, "c.h5ad") != first


@pytest.mark.parametrize("name", ["data", "indices"])
def test_a_changed_value_is_found_named_and_set_aside(tmp_path, monkeypatch, name):
    monkeypatch.setattr(digests, "RESULTS", tmp_path)
    path = tmp_path / "a.h5ad"
    write(path, random_counts())
    with h5py.File(path, "r+") as file:
        file[f"X/{name}"][5] += 1
    with (
        H5adReader(path) as reader,
        pytest.raises(
            InputError, match=rf"a\.h5ad: was damaged .* checksum of X/{name} is another.*set aside"
        ),
    ):
        list(reader.blocks(200))
    set_aside_damaged(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["X/data", "X/indices", "X/indptr", "obs/label/codes", "obs/age"])
def test_a_flipped_bit_is_found_whatever_is_read(tmp_path, name):
    path = tmp_path / "a.h5ad"
    write(path, random_counts())
    with h5py.File(path) as file:
        where = file[name].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[where.byte_offset + where.size // 2] ^= 4
    path.write_bytes(content)
    with H5adReader(path) as reader, pytest.raises(InputError, match=r"a\.h5ad: was damaged"):
        _ = reader.counts(0, 10), reader.obs("label"), reader.obs("age")


def test_no_cells(tmp_path):
    write(tmp_path / "a.h5ad", random_counts()[:0])
    assert ad.read_h5ad(tmp_path / "a.h5ad").shape == (0, 12)
    with H5adWriter(tmp_path / "b.h5ad", pd.DataFrame(index=["G0", "G1"])) as writer:
        empty = np.empty(0, dtype=object)
        writer.append(sparse.csr_matrix((0, 2), dtype=np.float32), empty, {"batch": empty})
    assert ad.read_h5ad(tmp_path / "b.h5ad").obs["batch"].dtype == "category"


def test_unfinished_file_leaves_nothing(tmp_path):
    with (
        pytest.raises(RuntimeError, match="stop"),
        H5adWriter(tmp_path / "a.h5ad", pd.DataFrame(index=["G"])),
    ):
        raise RuntimeError("stop")
    assert not list(tmp_path.iterdir())


def test_truncated_file_is_named(tmp_path):
    path = tmp_path / "a.h5ad"
    write(path, random_counts())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(
        InputError, match=r"a\.h5ad: not a complete h5ad file.*delete it and run snakemake again"
    ):
        H5adReader(path)


def test_a_file_that_cannot_be_finished_does_not_appear(tmp_path, monkeypatch):
    def disk_full(self):
        raise OSError("No space left on device")

    monkeypatch.setattr(H5adWriter, "_finish", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a.h5ad", random_counts())
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_a_million_strings_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(h5ad_writer, "MAX_CATEGORIES", 2)
    with pytest.raises(InputError, match=r"'label' holds more than 2 different strings.*keep_obs"):
        write(tmp_path / "a.h5ad", random_counts())


def test_cells_without_counts_do_not_fill_a_range(tmp_path):
    write(tmp_path / "a.h5ad", sparse.csr_matrix((60, 12), dtype=np.float32))
    with H5adReader(tmp_path / "a.h5ad") as reader:
        assert [stop - start for start, stop in reader.ranges(2560)] == [10] * 6
