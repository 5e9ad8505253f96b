"""Cell Ranger's HDF5 files, and real files of both its formats compared with scanpy."""

import h5py
import numpy as np
import pytest
import scanpy as sc
from cellferry.errors import InputError
from reading import read_all, read_header
from tenx_files import BARCODES, N_GENES, make_counts, write_h5


@pytest.mark.parametrize("max_bytes", [300, 3000, 10**6])
def test_h5(tmp_path, max_bytes):
    write_h5(tmp_path / "a.h5")
    header = read_header(tmp_path / "a.h5")
    assert (header.format, header.storage, header.counts) == ("10x_h5", "csr", "matrix")
    counts, names, _, sizes = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(counts, make_counts())
    assert list(names) == BARCODES
    assert list(header.var.columns) == ["gene_ids", "feature_types", "genome"]
    assert header.var.index[1] == "GENE0"
    assert all(size <= max_bytes for size in sizes)


def test_h5_keeps_gene_expression_only(tmp_path):
    write_h5(tmp_path / "a.h5", types=("Gene Expression", "Antibody Capture"))
    header = read_header(tmp_path / "a.h5")
    assert header.n_genes == N_GENES // 2
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts()[:, ::2])
    write_h5(tmp_path / "b.h5", types=("Antibody Capture",))
    with pytest.raises(
        InputError, match=r"b\.h5: holds no 'Gene Expression' features, only 'Antibody Capture'; name"
    ):
        read_header(tmp_path / "b.h5")


def test_h5_of_two_genomes(tmp_path):
    write_h5(tmp_path / "a.h5", genomes=("GRCh38", "mm10"))
    with pytest.raises(
        InputError, match=r"a\.h5: .*GRCh38, mm10; set datasets\.blood\.genome to one of them"
    ):
        read_header(tmp_path / "a.h5")
    header = read_header(tmp_path / "a.h5", genome="mm10")
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts()[:, 1::2])
    with pytest.raises(InputError, match=r"genome is 'hg19', but the file contains GRCh38, mm10"):
        read_header(tmp_path / "a.h5", genome="hg19")


def test_h5_with_missing_barcodes(tmp_path):
    write_h5(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array(BARCODES[:-1], dtype="S")
    with pytest.raises(
        InputError, match=r"a\.h5: the matrix .* 40 cells, but .* 39 cells are named; .*export it again"
    ):
        read_header(tmp_path / "a.h5")


def test_counts_key_does_not_fit_formats_of_one_matrix(tmp_path):
    write_h5(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"datasets\.blood\.counts is 'raw', .*remove the key"):
        read_header(tmp_path / "a.h5", counts="raw")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("path", "genome"),
    [
        ("1.2.0/filtered_gene_bc_matrices_h5.h5", None),
        ("1.2.0/multiple_genomes.h5", "hg19_chr21"),
        ("1.2.0/multiple_genomes.h5", "another_genome"),
        ("3.0.0/filtered_feature_bc_matrix.h5", None),
        ("1.2.0/filtered_gene_bc_matrices/hg19_chr21", None),
        ("3.0.0/filtered_feature_bc_matrix", None),
        ("int-ids", None),
    ],
)
def test_real_files_as_scanpy_reads_them(test_data, tmp_path, path, genome):
    path = test_data / "formats/10x" / path
    header = read_header(path, genome=genome)
    counts, names, _, _ = read_all(header, tmp_path, 5000)
    if path.is_dir():
        adata = sc.read_10x_mtx(path, make_unique=False, compressed=(path / "matrix.mtx.gz").exists())
    else:
        adata = sc.read_10x_h5(path, genome=genome)
    assert np.array_equal(counts, adata.X.toarray())
    assert list(names) == list(adata.obs_names)
    assert list(header.var.index) == list(adata.var_names)
    assert list(header.var["gene_ids"]) == [str(value) for value in adata.var["gene_ids"]]


def test_real_file_of_two_genomes(test_data):
    with pytest.raises(
        InputError, match=r"genome is not set, but the file contains another_genome, hg19_chr21"
    ):
        read_header(test_data / "formats/10x/1.2.0/multiple_genomes.h5")


def test_a_file_without_features_is_an_error_of_the_file(tmp_path):
    write_h5(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["matrix/features"]
    with pytest.raises(InputError, match=r"a\.h5: lacks a part that its format requires"):
        read_header(tmp_path / "a.h5")
