"""merge_h5ad: the merged file is the dataset, as a view or materialized, and never silently less."""

import shutil

import anndata as ad
import h5py
import numpy as np
import pytest
from cellferry.artifacts import h5ad_writer
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.core.atomic import set_aside_damaged
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from merge_h5ad import merge_h5ad
from simulate import simulate_cells, write_chunks


@pytest.fixture
def cells():
    return simulate_cells(100, batches=("a", "b"))


@pytest.fixture
def results(tmp_path, cells, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chunks(tmp_path / "results" / "chunks" / "atlas", cells, chunks=7)
    return tmp_path / "results"


def merge(results, *, materialize=False):
    merged = results / "merged" / "atlas.h5ad"
    merge_h5ad([str(results / "chunks" / "atlas")], str(merged), materialize=materialize, budget=Budget(600))
    return merged


@pytest.mark.parametrize("materialize", [False, True])
def test_merged_file_is_the_dataset(results, cells, materialize):
    read = ad.read_h5ad(merge(results, materialize=materialize))
    assert (read.X != cells.X).nnz == 0
    assert read.X.dtype == np.float32
    assert read.X.indices.dtype == read.X.indptr.dtype
    assert list(read.obs_names) == list(cells.obs_names)
    assert list(read.obs["label"]) == list(cells.obs["cell_type"])
    assert list(read.obs["batch"]) == [f"atlas/{sample}" for sample in cells.obs["sample"]]
    assert list(read.var_names) == list(cells.var_names)


def test_view_copies_no_counts_and_the_materialised_file_needs_no_chunks(results, cells):
    with h5py.File(merge(results)) as file:
        assert file["X/data"].is_virtual
        assert file["X/indices"].is_virtual
    merged = merge(results, materialize=True)
    shutil.rmtree(results / "chunks")
    assert (ad.read_h5ad(merged).X != cells.X).nnz == 0


def test_view_survives_moving_the_results(results, cells, tmp_path, monkeypatch):
    merge(results)
    moved = tmp_path / "elsewhere"
    shutil.move(results, moved)
    monkeypatch.chdir("/")
    assert (ad.read_h5ad(moved / "merged" / "atlas.h5ad").X != cells.X).nnz == 0
    with H5adReader(moved / "merged" / "atlas.h5ad") as reader:
        assert (reader.counts(0, reader.n_cells) != cells.X).nnz == 0


def test_beyond_int32_both_index_arrays_are_int64(results, cells, monkeypatch):
    monkeypatch.setattr(h5ad_writer, "INT32_MAX", cells.X.nnz - 1)
    with h5py.File(merge(results)) as file:
        assert file["X/indices"].dtype == np.int64
        assert file["X/indptr"].dtype == np.int64
        np.testing.assert_array_equal(file["X/indices"][:], cells.X.indices)


def test_missing_chunk_is_an_error_and_not_zeroes(results):
    merged = merge(results)
    (results / "chunks" / "atlas" / "3.h5ad").unlink()
    with pytest.raises(InputError, match=r"is a view over .*3\.h5ad, which is missing"):
        H5adReader(merged)


def test_chunk_of_other_cells_is_an_error_and_the_same_made_anew_is_none(results, cells):
    merged = merge(results)
    shutil.rmtree(results / "chunks" / "atlas")
    write_chunks(results / "chunks" / "atlas", cells, chunks=7)
    H5adReader(merged)
    shutil.rmtree(results / "chunks" / "atlas")
    write_chunks(results / "chunks" / "atlas", cells[::-1].copy(), chunks=7)
    with pytest.raises(InputError, match="was made from another version"):
        H5adReader(merged)


def test_a_chunk_that_was_changed_is_found_when_it_is_copied(results):
    with h5py.File(results / "chunks" / "atlas" / "2.h5ad", "r+") as file:
        file["X/data"][5] += 1
    with pytest.raises(InputError, match=r"2\.h5ad: was damaged"):
        merge(results, materialize=True)
    set_aside_damaged(results)
    assert not (results / "chunks" / "atlas").exists()


def test_a_chunk_that_was_changed_is_found_when_a_view_is_read(results):
    merged = merge(results)
    with h5py.File(results / "chunks" / "atlas" / "2.h5ad", "r+") as file:
        file["X/data"][5] += 1
    with H5adReader(merged) as reader, pytest.raises(InputError, match=r"2\.h5ad: was damaged"):
        list(reader.blocks(10**6))
    set_aside_damaged(results)
    assert not (results / "chunks" / "atlas").exists()


def test_a_truncated_chunk_is_found_named_and_set_aside(results):
    merged = merge(results)
    chunk = results / "chunks" / "atlas" / "4.h5ad"
    chunk.write_bytes(chunk.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"4\.h5ad: was damaged .*truncated.*set aside"):
        H5adReader(merged)
    set_aside_damaged(results)
    assert not chunk.parent.exists()


@pytest.mark.parametrize("materialize", [False, True])
def test_a_merged_file_that_differs_from_its_chunks_is_found(results, materialize, monkeypatch):
    append = H5adWriter.append_file

    def twice_the_first(self, source, *, copy):
        if source.path.stem != "3":
            return append(self, source, copy=copy)
        with H5adReader(source.path.with_stem("2")) as other:
            return append(self, other, copy=copy)

    monkeypatch.setattr(H5adWriter, "append_file", twice_the_first)
    with pytest.raises(RuntimeError, match=r"stored values|differs from the chunk's"):
        merge(results, materialize=materialize)


def test_a_view_of_chunks_in_another_order_is_found(results, monkeypatch):
    link = H5adWriter._link

    def exchanged(self, group, name, length):
        sources = self._sources
        self._sources = [*sources[:2], sources[3], sources[2], *sources[4:]]
        link(self, group, name, length)
        self._sources = sources

    monkeypatch.setattr(H5adWriter, "_link", exchanged)
    with pytest.raises(RuntimeError, match="X/data does not refer to its chunks in order"):
        merge(results)


@pytest.mark.parametrize("missing", [0, 3, 6])
def test_a_chunk_that_is_missing_is_not_merged_over(results, missing):
    (results / "chunks" / "atlas" / f"{missing}.h5ad").unlink()
    with pytest.raises(InputError, match=r"atlas: holds 6 of 7 chunks; delete the folder"):
        merge(results)


def test_cells_without_counts(tmp_path):
    cells = simulate_cells(6)
    cells.X = cells.X * 0
    cells.X.eliminate_zeros()
    write_chunks(tmp_path / "chunks" / "atlas", cells, chunks=2)
    assert ad.read_h5ad(merge(tmp_path)).X.nnz == 0


def test_chunks_without_cells(tmp_path):
    cells = simulate_cells(3)
    write_chunks(tmp_path / "chunks" / "atlas", cells, chunks=5)
    assert (ad.read_h5ad(merge(tmp_path)).X != cells.X).nnz == 0
