"""Datasets of several files, from the configuration to the chunks."""

import os

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from chunked import convert, counts, make_adata, write_mtx_whose_order_ends_late
from scipy import sparse

pytestmark = pytest.mark.filterwarnings("ignore:Variable names are not unique")


@pytest.fixture
def plates(tmp_path):
    """Three files with the same barcodes in each, and what they hold together."""
    whole = make_adata()
    parts = {}
    for number, (first, last) in enumerate([(0, 20), (20, 25), (25, 70)]):
        part = whole[first:last].copy()
        part.obs_names = [f"cell{i}" for i in range(len(part))]
        part.write_h5ad(tmp_path / f"plate{number}.h5ad")
        parts[f"plate{number}"] = part
    return parts


def names(parts):
    return [name for part in parts for name in part.obs_names]


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_files_follow_each_other(plates, tmp_path, jobs):
    chunks = convert(
        str(tmp_path / "plate*.h5ad"),
        tmp_path / "chunks",
        batch="sample",
        keep_obs=["sample", "n"],
        chunks=7,
        jobs=jobs,
    )
    assert np.array_equal(counts(chunks), make_adata().X.toarray())
    assert names(chunks) == [f"{sample}_{name}" for sample, part in plates.items() for name in part.obs_names]
    obs = pd.concat([chunk.obs.astype({"batch": str, "sample": str}) for chunk in chunks])
    assert list(obs["sample"]) == [sample for sample, part in plates.items() for _ in range(len(part))]
    assert list(obs["batch"]) == [f"blood/{sample}" for sample in obs["sample"]]
    assert list(obs["n"]) == list(range(70))
    assert len({len(chunk) for chunk in chunks}) == 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_samples_can_be_named_and_cells_be_filtered(plates, tmp_path, jobs):
    paths = {"b": str(tmp_path / "plate1.h5ad"), "a": str(tmp_path / "plate0.h5ad")}
    kept = {"doublet": ["SNG"], "sample": ["a"]}
    chunks = convert(paths, tmp_path / "chunks", cells=kept, jobs=jobs)
    expected = plates["plate0"][plates["plate0"].obs["doublet"] == "SNG"]
    assert names(chunks) == [f"a_{name}" for name in expected.obs_names]
    assert np.array_equal(counts(chunks), expected.X.toarray())


@pytest.mark.parametrize("jobs", [2, 3, 8])
def test_one_file_is_shared_among_jobs(tmp_path, jobs):
    make_adata().write_h5ad(tmp_path / "blood.h5ad")
    settings = {"label": "ct", "cells": {"doublet": ["SNG"]}, "chunks": 8}
    alone = convert(tmp_path / "blood.h5ad", tmp_path / "one", **settings)
    shared = convert(tmp_path / "blood.h5ad", tmp_path / "shared", jobs=jobs, **settings)
    for one, other in zip(alone, shared, strict=True):
        assert list(one.obs_names) == list(other.obs_names)
        assert np.array_equal(one.X.toarray(), other.X.toarray())
        assert one.uns["cellferry"]["id"] == other.uns["cellferry"]["id"]


@pytest.mark.parametrize("storage", [sparse.csc_matrix, np.asarray])
def test_any_storage_is_shared_among_jobs(tmp_path, storage):
    adata = make_adata()
    expected = adata.X.toarray()
    adata.X = storage(expected)
    adata.write_h5ad(tmp_path / "blood.h5ad")
    assert np.array_equal(counts(convert(tmp_path / "blood.h5ad", tmp_path / "chunks", jobs=3)), expected)


def test_a_table_is_shared_among_jobs(tmp_path):
    adata = make_adata()
    adata.var_names = [f"RPL{n}" for n in range(adata.n_vars)]
    adata.to_df().astype(int).to_csv(tmp_path / "blood.csv")
    chunks = convert(tmp_path / "blood.csv", tmp_path / "chunks", jobs=3)
    assert np.array_equal(counts(chunks), adata.X.toarray())


def test_several_files_whose_order_ends_late(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.formats.tenx_mtx.PREVIEW_BYTES", 100)
    monkeypatch.setattr(Budget, "block_bytes", lambda self, need, **kwargs: 1000)
    expected = sparse.coo_matrix(make_adata().X)
    for name in "abc":
        write_mtx_whose_order_ends_late(tmp_path / name, expected)
    chunks = convert([str(tmp_path / name) for name in "abc"], tmp_path / "chunks")
    assert np.array_equal(counts(chunks), np.vstack([expected.toarray()] * 3))


def test_names_can_stay_as_they_are_if_they_differ(plates, tmp_path):
    paths = [str(tmp_path / "plate0.h5ad"), str(tmp_path / "plate1.h5ad")]
    with pytest.raises(InputError, match=r"5 duplicate cell name\(s\).*datasets\.blood\.prefix"):
        convert(paths, tmp_path / "chunks", prefix=False)
    plates["plate1"].obs_names = [f"other{n}" for n in range(5)]
    plates["plate1"].write_h5ad(tmp_path / "plate1.h5ad")
    chunks = convert(paths, tmp_path / "chunks", prefix=False)
    assert names(chunks) == [*plates["plate0"].obs_names, *plates["plate1"].obs_names]


def test_genes_that_all_files_have_are_used(plates, tmp_path, capsys):
    some = plates["plate1"][:, 5:30].copy()
    some = some[:, ::-1].copy()
    some.write_h5ad(tmp_path / "plate1.h5ad")
    chunks = convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks")
    assert list(chunks[0].var_names) == list(make_adata().var_names[5:30])
    assert np.array_equal(counts(chunks), make_adata().X.toarray()[:, 5:30])
    assert all(chunk.X.has_sorted_indices for chunk in chunks)
    assert "the files have 25 to 40 genes; the 25 common ones are used" in capsys.readouterr().out


def test_genes_of_one_name_are_told_apart_by_their_order(plates, tmp_path):
    """G0 stands first and last: in the other file there is one gene between."""
    some = plates["plate1"][:, [39, 3, 0, *range(4, 39), 1, 2]].copy()
    some.write_h5ad(tmp_path / "plate1.h5ad")
    found = counts(convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks"))
    expected = make_adata().X.toarray()
    assert np.array_equal(found[:20], expected[:20])
    assert np.array_equal(found[20:25, 1:39], expected[20:25, 1:39])
    assert np.array_equal(found[20:25, [0, 39]], expected[20:25, [39, 0]])


def test_files_of_other_genes_are_refused(plates, tmp_path):
    other = plates["plate1"]
    other.var_names = [f"ENSG{n}" for n in range(other.n_vars)]
    other.write_h5ad(tmp_path / "plate1.h5ad")
    with pytest.raises(
        InputError, match=r"plate1\.h5ad: has 0 genes in common .*datasets\.blood\.path.*ENSG0"
    ):
        convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks")


def write_tables(plates, tmp_path):
    for sample, part in plates.items():
        lines = [f"{name},{sample}-{name},{len(part)}" for name in part.obs_names]
        (tmp_path / f"{sample}.csv").write_text("\n".join(["cell,label,size", *lines]) + "\n")


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_file_can_have_its_table(plates, tmp_path, jobs):
    write_tables(plates, tmp_path)
    chunks = convert(
        str(tmp_path / "plate*.h5ad"),
        tmp_path / "chunks",
        obs=str(tmp_path / "plate*.csv"),
        label="label",
        keep_obs=["size"],
        jobs=jobs,
    )
    obs = pd.concat([chunk.obs.astype({"label": str}) for chunk in chunks])
    assert list(obs["label"]) == [name.replace("_", "-") for name in obs.index]
    assert list(obs["size"]) == [20] * 20 + [5] * 5 + [45] * 45


def test_one_table_can_name_all_cells(plates, tmp_path):
    lines = [f"{sample}_{name},x{name}" for sample, part in plates.items() for name in part.obs_names]
    (tmp_path / "obs.csv").write_text("\n".join(["cell,label", *lines]) + "\n")
    chunks = convert(
        str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", obs=tmp_path / "obs.csv", label="label"
    )
    obs = pd.concat([chunk.obs.astype({"label": str}) for chunk in chunks])
    assert list(obs["label"]) == ["x" + name.split("_")[1] for name in obs.index]


def test_tables_that_do_not_fit(plates, tmp_path):
    write_tables(plates, tmp_path)
    paths = [str(tmp_path / "plate0.h5ad"), str(tmp_path / "plate1.h5ad"), str(tmp_path / "plate2.h5ad")]
    with pytest.raises(
        InputError, match=r"datasets\.blood\.obs: names 2 tables, but the dataset has 3 files"
    ):
        convert(paths, tmp_path / "chunks", obs=str(tmp_path / "plate[01].csv"), label="label")
    (tmp_path / "plate1.csv").write_text("cell,label\nsomebody,x\n")
    with pytest.raises(InputError, match=r"plate1\.csv .*names none of the \d+ cells of .*'cell0'"):
        convert(paths, tmp_path / "chunks", obs=str(tmp_path / "plate*.csv"), label="label")


def test_versions_of_gene_ids_tell_no_genes_apart(plates, tmp_path):
    for number, plate in enumerate(plates.values()):
        plate.var["gene_ids"] = [f"ENSG{i:011d}.{i + number}" for i in range(plate.n_vars)]
        plate.write_h5ad(tmp_path / f"plate{number}.h5ad")
    chunks = convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", chunks=1)
    assert np.array_equal(counts(chunks), make_adata().X.toarray())


def test_names_that_are_ids_of_several_versions(plates, tmp_path):
    for number, plate in enumerate(plates.values()):
        plate.var_names = [f"ENSG{i:011d}.{i + number}" for i in range(plate.n_vars)]
        plate.write_h5ad(tmp_path / f"plate{number}.h5ad")
    chunks = convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", chunks=1)
    assert np.array_equal(counts(chunks), make_adata().X.toarray())


def test_genes_that_are_called_otherwise_in_another_release(plates, tmp_path):
    for number, plate in enumerate(plates.values()):
        plate.var["gene_ids"] = [f"ENSG{i:011d}.{number}" for i in range(plate.n_vars)]
        plate.var_names = [f"GENE{i}" if i % 3 or not number else f"NEW{i}" for i in range(plate.n_vars)]
        plate.write_h5ad(tmp_path / f"plate{number}.h5ad")
    chunks = convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", chunks=1)
    assert np.array_equal(counts(chunks), make_adata().X.toarray())
    assert list(chunks[0].var_names) == [f"GENE{i}" for i in range(chunks[0].n_vars)]


def test_booleans_stay_booleans_where_they_are_in_all_files(plates, tmp_path):
    for name, plate in plates.items():
        plate.obs["flag"] = np.arange(len(plate)) % 2 == 0
        plate.obs["some"] = (
            plate.obs["flag"] if name == "plate0" else pd.array([True, None] * 50)[: len(plate)]
        )
        plate.write_h5ad(tmp_path / f"{name}.h5ad")
    chunks = convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", keep_obs=["flag", "some"], chunks=1)
    obs = chunks[0].obs
    assert obs["flag"].dtype == bool
    assert list(obs["flag"]) == [flag for plate in plates.values() for flag in plate.obs["flag"]]
    assert list(obs["some"].cat.categories) == ["True", "False"]
    assert obs["some"].isna().sum() == 24


def test_a_column_of_numbers_here_and_text_there(plates, tmp_path):
    plates["plate2"].obs["n"] = plates["plate2"].obs["n"].astype(str)
    plates["plate2"].write_h5ad(tmp_path / "plate2.h5ad")
    with pytest.raises(InputError, match="'n' has numbers in some of the dataset's files and text in others"):
        convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", keep_obs=["n"], chunks=1)


def test_wrong_values_are_told_of_the_file_they_are_in(plates, tmp_path, monkeypatch):
    plates["plate1"].X.data[7] = 0.5
    plates["plate1"].write_h5ad(tmp_path / "plate1.h5ad")
    with pytest.raises(
        InputError, match=r"plate1\.h5ad: X does not hold raw counts: 0\.5 is among its values"
    ):
        convert(str(tmp_path / "plate*.h5ad"), tmp_path / "seen_early")
    monkeypatch.setattr("cellferry.formats.matrix.PREVIEW_VALUES", 2)
    with pytest.raises(
        InputError, match=r"plate1\.h5ad: X does not hold raw counts: 0\.5 in cell 'plate1_cell0'"
    ):
        convert(str(tmp_path / "plate*.h5ad"), tmp_path / "seen_late")


def fewer_cells(plate, path):
    plate[:10].write_h5ad(path)


def other_counts(plate, path):
    plate.X.data[:] = plate.X.data[::-1]
    plate.write_h5ad(path)


def a_copy_with_its_time(plate, path):
    before = path.stat()
    content = path.read_bytes()
    assert b"cell11" in content
    path.write_bytes(content.replace(b"cell11", b"cell77"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("change", [fewer_cells, other_counts, a_copy_with_its_time])
def test_a_file_that_changes_between_inspection_and_conversion(plates, tmp_path, monkeypatch, jobs, change):
    from convert_to_chunks import Dataset

    def other(name, config):
        change(plates["plate0"], tmp_path / "plate0.h5ad")
        return Dataset(name, config)

    monkeypatch.setattr("convert_to_chunks.Dataset", other)
    with pytest.raises(InputError, match=r"plate0\.h5ad: changed since its inspection"):
        convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", jobs=jobs)
    assert not (tmp_path / "chunks").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_that_changes_while_it_is_read(plates, tmp_path, monkeypatch, jobs):
    from convert_to_chunks import check_counts

    def check_late(*arguments):
        check_counts(*arguments)
        with open(tmp_path / "plate1.h5ad", "ab") as file:
            file.write(b"more")

    monkeypatch.setattr("convert_to_chunks.check_counts", check_late)
    with pytest.raises(InputError, match=r"plate1\.h5ad: was changed while it was read; when it is complete"):
        convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks", jobs=jobs)
    assert not list(tmp_path.glob("chunks/**/*.h5ad"))


def test_a_file_that_may_not_be_read(plates, tmp_path, monkeypatch):
    import h5py

    opened = h5py.File

    def refuse(path, *arguments, **keywords):
        if "plate1" in str(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr("h5py.File", refuse)
    with pytest.raises(
        InputError, match=r"plate1\.h5ad: may not be read .*ask its owner for read permission"
    ):
        convert(str(tmp_path / "plate*.h5ad"), tmp_path / "chunks")


@pytest.mark.filterwarnings("ignore")
def test_real_plates(test_data, tmp_path):
    """Three plates of CEL-seq2, whose barcodes repeat, are what the h5ad file holds together."""
    folder = test_data / "cellmix"
    chunks = convert(
        str(folder / "sc_celseq2_5cl_p*.count.csv.gz"),
        tmp_path / "chunks",
        obs=str(folder / "sc_celseq2_5cl_p*.metadata.csv.gz"),
        label="cell_line_demuxlet",
    )
    expected = ad.read_h5ad(folder / "ref_celseq2_5cl.h5ad")
    assert sum(map(len, chunks)) == expected.n_obs
    shared = chunks[0].var_names.intersection(expected.var_names)
    assert len(shared) > 12_000
    found = np.vstack([chunk[:, shared].X.toarray() for chunk in chunks])
    assert np.array_equal(np.sort(found.sum(axis=1)), np.sort(expected[:, shared].X.toarray().sum(axis=1)))
