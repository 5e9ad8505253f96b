"""inspect_dataset: what files hold, and files and counts that cannot be used."""

import h5py
import numpy as np
import pytest
from inspecting import N_CELLS, N_GENES, inspect, make_adata, only_problem
from scipy import sparse


@pytest.fixture
def blood(tmp_path):
    make_adata().write_h5ad(tmp_path / "blood.h5ad")
    return tmp_path / "blood.h5ad"


def test_what_is_in_a_file(blood):
    found = inspect(blood, role="reference", label="cell_type", batch="donor", keep_obs=["empty"])
    assert found.problems == []
    expected = {
        "format": "h5ad",
        "cells": N_CELLS,
        "genes": N_GENES,
        "nonzeros": make_adata().X.nnz,
        "dtype": "float32",
        "storage": "csr",
        "counts": "X",
        "gene_id": "ensembl",
        "gene_id_columns": {"symbol": "symbol", "number": "other"},
        "duplicated_genes": 0,
        "duplicated_cells": 0,
        "cells_kept": N_CELLS,
        "labels": {"T": 20, "B": 10},
        "unlabeled_cells": 20,
        "batches": {"d1": 25, "d2": 25},
    }
    assert {key: getattr(found, key) for key in expected} == expected
    assert found.hierarchy.levels == []


@pytest.mark.parametrize(("rows", "columns", "what"), [(0, 5, "cells"), (5, 0, "genes")])
def test_no_cells_or_genes(tmp_path, rows, columns, what):
    make_adata()[:rows, :columns].copy().write_h5ad(tmp_path / "a.h5ad")
    assert f"a.h5ad: holds no {what}" in " ".join(inspect(tmp_path / "a.h5ad").problems)


def test_names_of_genes_are_kept_as_far_as_they_may_be_ids(tmp_path):
    adata = make_adata()
    adata.var["feature_type"] = "Gene Expression"
    adata.var["length"] = 1000
    adata.var.iloc[0, 0] = None
    adata.write_h5ad(tmp_path / "blood.h5ad")
    names = inspect(tmp_path / "blood.h5ad").gene_names
    assert {column: lines.split("\n") for column, lines in names.items()} == {
        "index": list(adata.var_names),
        "symbol": ["", *adata.var["symbol"][1:]],
        "number": list(adata.var["number"]),
    }


def test_repeated_names(tmp_path):
    adata = make_adata()
    adata.obs_names = [*adata.obs_names[:-2], "cell1", "cell1"]
    adata.var_names = [*adata.var_names[:-1], adata.var_names[0]]
    adata.write_h5ad(tmp_path / "a.h5ad")
    found = inspect(tmp_path / "a.h5ad")
    assert found.duplicated_genes == 1
    assert found.duplicated_cells == 2
    problem = only_problem(found)
    assert "a.h5ad: 2 duplicate cell name(s), such as 'cell1'; make them unique in the" in problem
    assert "datasets.blood.cells" in problem
    assert "prefix" not in problem


def test_repeated_names_of_several_files(tmp_path):
    for name in ("a", "b"):
        make_adata().write_h5ad(tmp_path / f"{name}.h5ad")
    files = str(tmp_path / "*.h5ad")
    problem = only_problem(inspect(tmp_path / "a.h5ad", files=files, prefix=False))
    assert problem.endswith("set datasets.blood.prefix to true, which puts the file's name before them")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_broken_file(tmp_path, content):
    (tmp_path / "a.h5ad").write_bytes(content)
    problem = only_problem(inspect(tmp_path / "a.h5ad", label="ct"))
    assert "a.h5ad" in problem
    assert "copy" in problem


def test_missing_file(tmp_path):
    assert "correct the path" in only_problem(inspect(tmp_path / "a.h5ad"))


def test_text_in_a_matrix(tmp_path):
    (tmp_path / "a.csv").write_text(",ENSG00000000001,ENSG00000000002\nc1,1,B cell\n")
    problem = only_problem(inspect(tmp_path / "a.csv"))
    assert "'B cell' in row 'c1', column 'ENSG00000000002' is not a number" in problem


@pytest.mark.parametrize(("value", "diagnosis"), [(np.nan, "missing"), (-1, "negative"), (0.5, "fractional")])
@pytest.mark.parametrize("storage", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_no_counts(tmp_path, value, diagnosis, storage):
    adata = make_adata()
    adata.X.data[5] = value
    adata.X = storage(adata.X.toarray())
    adata.write_h5ad(tmp_path / "a.h5ad")
    problem = only_problem(inspect(tmp_path / "a.h5ad"))
    assert "a.h5ad: X does not hold raw counts" in problem
    assert diagnosis in problem
    assert ("leave out cells or genes" if diagnosis == "missing" else "export") in problem


def test_counts_elsewhere(tmp_path):
    adata = make_adata()
    adata.layers["umis"] = adata.X.copy()
    adata.X.data += 0.5
    adata.write_h5ad(tmp_path / "a.h5ad")
    problem = only_problem(inspect(tmp_path / "a.h5ad"))
    assert "set datasets.blood.counts to layers/umis" in problem


def test_no_matrix(tmp_path):
    adata = make_adata()
    adata.X = None
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert "a.h5ad: holds no matrix in X, raw or layers" in only_problem(inspect(tmp_path / "a.h5ad"))


def test_two_genomes(test_data, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes((test_data / "formats/10x/1.2.0/multiple_genomes.h5").read_bytes())
    assert "a.h5: datasets.blood.genome is not set" in only_problem(inspect(path))


def test_text_that_is_not_utf8(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["obs/batch"]
        file["obs"].create_dataset("batch", data=np.array(["Köln".encode("latin-1")] * N_CELLS, dtype="S4"))
    problem = only_problem(inspect(tmp_path / "a.h5ad", batch="batch"))
    assert "a.h5ad: contains text that is not UTF-8 ('Köln', read as Latin-1); convert it to UTF-8" in problem


def test_only_the_header_is_read(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["X"]
        x = file.create_group("X")
        n = 10**9
        x.attrs.update(
            {"encoding-type": "csc_matrix", "encoding-version": "0.1.0", "shape": (N_CELLS, N_GENES)}
        )
        x["indptr"] = np.linspace(0, n, N_GENES + 1).astype(np.int64)
        # The disk's blocks are there but not written, which takes neither space nor time.
        allocated = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        allocated.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        allocated.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((n,))
        for key, dtype in ((b"data", np.float32), (b"indices", np.int64)):
            h5py.h5d.create(x.id, key, h5py.h5t.py_create(np.dtype(dtype)), space, dcpl=allocated)
    assert inspect(tmp_path / "a.h5ad").nonzeros == n


@pytest.mark.parametrize(
    ("path", "config", "counts"),
    [
        ("pbmc/ref_pbmc3k.h5ad", {"role": "reference", "label": "cell_type"}, "layers/counts"),
        ("pbmc/query_kang_ifnb.h5ad", {"batch": "sample_id"}, "raw"),
        ("formats/10x/3.0.0/filtered_feature_bc_matrix", {}, "matrix"),
    ],
)
def test_real_files(test_data, tmp_path, path, config, counts):
    found = inspect(tmp_path / "a", files=str(test_data / path), **config)
    assert found.problems == []
    assert found.warnings == []
    assert found.counts == counts


@pytest.mark.parametrize("place", ["index", "symbol"])
def test_dates_among_genes(tmp_path, place):
    adata = make_adata()
    if place == "index":
        adata.var_names = ["1-Mar", "2-Sep", "1-Mar", *adata.var_names[3:]]
    else:
        adata.var["symbol"] = ["1-Mar", "2-Sep", *adata.var["symbol"][2:]]
    adata.write_h5ad(tmp_path / "blood.h5ad")
    found = inspect(tmp_path / "blood.h5ad")
    assert found.problems == []
    (warning,) = found.warnings
    assert "2 gene(s) have names that a spreadsheet turned into dates" in warning
    assert "1-Mar (MARCHF1 or MTARC1), 2-Sep (SEPTIN2)" in warning
    assert ("1-Mar occur several times and would be added up" in warning) == (place == "index")


def test_what_was_understood_of_a_table_is_told(tmp_path):
    lines = ["# made by a program", *(f"{name} 1000 3 4 0" for name in ("RPL3", "RPS6"))]
    lines.insert(1, '"Length" "s1" "s2" "s3"')
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    found = inspect(tmp_path / "a.txt")
    assert (found.cells, found.problems) == (3, [])
    assert [warning.partition(": ")[2][:12] for warning in found.warnings] == [
        "1 comment li",
        "columns are ",
        "column(s) le",
    ]


def test_text_in_a_genes_by_cells_table_is_told_by_its_place(tmp_path):
    lines = [",s1,s2", *(f"{name},1,2" for name in ("RPL3", "RPS6")), "ACTB,1,high"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    assert "line 4: 'high' in row 'ACTB', column 's2' is not a number" in only_problem(
        inspect(tmp_path / "a.csv")
    )


def test_files_with_comments_tell_it_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"# x\n,s1,s2\nRPL3,1,2\nRPS6,3,{len(name)}\n")
    found = inspect(tmp_path / "a.csv", files=[str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert [warning.partition(": ")[2] for warning in found.warnings] == [
        "1 comment line(s) before the header were skipped"
    ]
