"""Features that are not genes are left out, in any format."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse

TYPES = np.array(["Gene Expression", "Antibody Capture", "Gene Expression", "CRISPR Guide Capture"] * 4)
NAMES = [f"GENE{number // 2}" for number in range(len(TYPES))]
COUNTS = np.random.default_rng(0).poisson(0.8, size=(30, len(TYPES))).astype(np.float32)


def make_adata(types=TYPES, column="feature_types"):
    var = pd.DataFrame({"gene_ids": [f"id{i}" for i in range(len(TYPES))], column: types}, index=NAMES)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(len(COUNTS))])
    return ad.AnnData(sparse.csr_matrix(COUNTS), obs=obs, var=var)


def write_h5ad(folder, types):
    make_adata(types).write_h5ad(folder / "a.h5ad")
    return folder / "a.h5ad"


def write_csc(folder, types):
    adata = make_adata(types, "feature_type")
    adata.X = sparse.csc_matrix(adata.X)
    adata.write_h5ad(folder / "a.h5ad")
    return folder / "a.h5ad"


def write_raw(folder, types):
    adata = make_adata(types)
    adata.raw = adata
    adata.X = sparse.csr_matrix(np.log1p(COUNTS) * 0.7)
    adata.write_h5ad(folder / "a.h5ad")
    return folder / "a.h5ad"


def write_zarr(folder, types):
    make_adata(types).write_zarr(folder / "a.zarr")
    return folder / "a.zarr"


def write_h5mu(folder, types):
    with h5py.File(folder / "a.h5mu", "w") as file:
        file.attrs["encoding-type"] = "MuData"
        write_elem(file, "obs", make_adata(types).obs)
        write_elem(file.create_group("mod"), "rna", make_adata(types))
    return folder / "a.h5mu"


def write_loom(folder, types):
    with h5py.File(folder / "a.loom", "w") as file:
        file["attrs/LOOM_SPEC_VERSION"] = "3.0.0"
        file.create_dataset("matrix", data=COUNTS.T)
        file["col_attrs/CellID"] = [f"cell{i}" for i in range(len(COUNTS))]
        file["row_attrs/Gene"] = NAMES
        file["row_attrs/Type"] = types.tolist()
        for group in ("layers", "col_graphs", "row_graphs"):
            file.create_group(group)
    return folder / "a.loom"


def write_10x_h5(folder, types):
    counts = sparse.csr_matrix(COUNTS.astype(np.int32))
    with h5py.File(folder / "a.h5", "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array(COUNTS.T.shape)
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(counts, key)
        group["barcodes"] = np.array([f"cell{i}" for i in range(len(COUNTS))], dtype="S")
        columns = {"id": [f"id{i}" for i in range(len(TYPES))], "name": NAMES, "feature_type": types}
        for key, values in columns.items():
            group[f"features/{key}"] = np.array(values, dtype="S")
    return folder / "a.h5"


def write_mtx(folder, types):
    counts = sparse.coo_matrix(COUNTS.astype(int))
    lines = ["%%MatrixMarket matrix coordinate integer general", f"{len(TYPES)} {len(COUNTS)} {counts.nnz}"]
    lines += [f"{j + 1} {i + 1} {n}" for i, j, n in zip(counts.row, counts.col, counts.data, strict=True)]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    (folder / "barcodes.tsv").write_text("".join(f"cell{i}\n" for i in range(len(COUNTS))))
    rows = zip(range(len(TYPES)), NAMES, types, strict=True)
    (folder / "features.tsv").write_text("".join(f"id{i}\t{name}\t{kind}\n" for i, name, kind in rows))
    return folder


WRITERS = [write_h5ad, write_csc, write_raw, write_zarr, write_h5mu, write_loom, write_10x_h5, write_mtx]


@pytest.mark.parametrize("write", WRITERS)
def test_only_genes_are_read(tmp_path, write):
    header = read_header(write(tmp_path, TYPES))
    kept = TYPES == "Gene Expression"
    assert list(header.var.index) == [name for name, is_kept in zip(NAMES, kept, strict=True) if is_kept]
    for max_bytes in (300, 10**6):
        assert np.array_equal(read_all(header, tmp_path / "scratch", max_bytes)[0], COUNTS[:, kept])
    assert "8 features are left out (Antibody Capture: 4, CRISPR Guide Capture: 4)" in header.remarks


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kinds", [["protein_coding", "lncRNA"], ["1", "X"], ["Gene Expression"], [""]])
def test_other_columns_of_that_name_leave_nothing_out(tmp_path, write, kinds):
    """Third columns of features.tsv may also contain biotypes and chromosomes."""
    header = read_header(write(tmp_path, np.resize(kinds, len(TYPES))))
    assert np.array_equal(read_all(header, tmp_path / "scratch")[0], COUNTS)


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_without_genes(tmp_path, write):
    with pytest.raises(InputError, match="holds no 'Gene Expression' features, only 'Antibody Capture'"):
        read_header(write(tmp_path, np.full(len(TYPES), "Antibody Capture")))


@pytest.mark.parametrize(
    "column", ["feature_types", "featureType", "feature.type", "modality", "FeatureType"]
)
@pytest.mark.parametrize(("gene", "other"), [("GEX", "ADT"), ("gene", "protein"), ("rna", "hto")])
def test_types_of_other_programs(tmp_path, column, gene, other):
    make_adata(np.where(TYPES == "Gene Expression", gene, other), column).write_h5ad(tmp_path / "a.h5ad")
    header = read_header(tmp_path / "a.h5ad")
    assert np.array_equal(read_all(header, tmp_path)[0], COUNTS[:, TYPES == "Gene Expression"])


@pytest.mark.parametrize("types", [["protein", "rRNA"], ["gene", "pseudogene"], ["atac", "other"]])
def test_words_that_mean_something_else(tmp_path, types):
    make_adata(np.resize(types, len(TYPES)), "type").write_h5ad(tmp_path / "a.h5ad")
    assert read_header(tmp_path / "a.h5ad").n_genes == len(TYPES)


def test_features_without_a_type_are_kept(tmp_path):
    types = np.where(
        TYPES == "Antibody Capture", TYPES, np.where(TYPES == "Gene Expression", "Gene Expression ", None)
    )
    make_adata(types).write_h5ad(tmp_path / "a.h5ad")
    header = read_header(tmp_path / "a.h5ad")
    assert np.array_equal(read_all(header, tmp_path)[0], COUNTS[:, TYPES != "Antibody Capture"])
    path = write_mtx(tmp_path, TYPES)
    rows = (path / "features.tsv").read_text().splitlines()
    rows[0] = rows[0].rpartition("\t")[0]
    (path / "features.tsv").write_text("\n".join(rows) + "\n")
    assert read_header(path).n_genes == 8


@pytest.mark.parametrize("other", ["antibody capture", "Peaks", "Custom", "Multiplexing Capture"])
def test_types_in_other_letters(tmp_path, other):
    header = read_header(write_h5ad(tmp_path, np.where(TYPES == "Gene Expression", "gene expression", other)))
    assert header.n_genes == 8
