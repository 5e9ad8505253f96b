import gzip
import zipfile

import h5py
import numpy as np
import pytest
import scanpy as sc
from cellferry import formats
from cellferry.errors import InputError
from cellferry.formats import OutOfOrderError
from reading import read_all, read_header
from scipy import sparse

N_CELLS, N_GENES = 40, 30
BARCODES = [f"{'ACGT' * 4}{i}-1" for i in range(N_CELLS)]


def make_counts():
    """Cells × genes."""
    return np.random.default_rng(0).poisson(0.4, size=(N_CELLS, N_GENES)).astype(np.int32)


def write_h5(path, *, types=("Gene Expression",), genomes=("GRCh38",)):
    by_cell = sparse.csr_matrix(make_counts())
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array([N_GENES, N_CELLS], dtype=np.int32)
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(by_cell, key)
        group["barcodes"] = np.array(BARCODES, dtype="S")
        features = group.create_group("features")
        columns = {
            "id": [f"ENSG{i:011d}" for i in range(N_GENES)],
            "name": [f"GENE{i // 2}" for i in range(N_GENES)],
            "feature_type": [types[i % len(types)] for i in range(N_GENES)],
            "genome": [genomes[i % len(genomes)] for i in range(N_GENES)],
        }
        for key, values in columns.items():
            features[key] = np.array(values, dtype="S")


def write_mtx(
    folder, *, order="cells", prefix="", ending=".gz", field="integer", old=False, types=True, n_listed=None
):
    """Write a folder; returns its counts, cells × genes."""
    folder.mkdir(exist_ok=True)
    counts = sparse.coo_matrix(make_counts())
    keys = {
        "cells": np.lexsort([counts.col, counts.row]),
        "genes": np.lexsort([counts.row, counts.col]),
        "random": np.random.default_rng(1).permutation(counts.nnz),
        # Sorted up to the last entries, which belong to the first cell.
        "late": np.lexsort([counts.col, np.where(np.arange(counts.nnz) < 3, N_CELLS, counts.row)]),
    }
    lines = [
        f"%%MatrixMarket matrix coordinate {field} general",
        "%",
        f"{N_GENES} {N_CELLS} {n_listed or counts.nnz}",
    ]
    lines += [f"{counts.col[i] + 1} {counts.row[i] + 1} {counts.data[i]}" for i in keys[order]]
    features = [
        "\t".join([f"ENSG{i:011d}", f"GENE{i}"] + ([] if old or not types else ["Gene Expression"]))
        for i in range(N_GENES)
    ]
    write_text(folder / f"{prefix}matrix.mtx{ending}", lines)
    write_text(folder / f"{prefix}{'genes' if old else 'features'}.tsv{ending}", features)
    write_text(folder / f"{prefix}barcodes.tsv{ending}", BARCODES)
    return make_counts()


def write_text(path, lines):
    text = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


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
    with pytest.raises(InputError, match=r"genome is 'hg19', and the file holds GRCh38, mm10"):
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


@pytest.mark.parametrize("order", ["cells", "genes", "random"])
@pytest.mark.parametrize("max_bytes", [300, 3000, 10**6])
def test_mtx_in_any_order(tmp_path, order, max_bytes):
    counts = write_mtx(tmp_path / "a", order=order)
    header = read_header(tmp_path / "a")
    assert (header.format, header.nonzeros) == ("10x_mtx", np.count_nonzero(counts))
    assert header.in_order == (order == "cells")
    found, names, _, sizes = read_all(header, tmp_path / "scratch", max_bytes)
    assert np.array_equal(found, counts)
    assert list(names) == BARCODES
    assert all(size <= max_bytes for size in sizes)
    assert (tmp_path / "scratch").exists() == (order != "cells")


def test_mtx_whose_order_ends_late(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.formats.tenx_mtx.GLANCE_BYTES", 200)
    counts = write_mtx(tmp_path / "a", order="late")
    header = read_header(tmp_path / "a")
    assert header.in_order
    with pytest.raises(OutOfOrderError):
        list(formats.blocks(header, [], 500, tmp_path))
    again = header.replace(details=header.details | {"sorted": False})
    assert np.array_equal(read_all(again, tmp_path, 500)[0], counts)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("prefix", ["", "sample1_", "GSM1.a-"])
def test_mtx_names(tmp_path, ending, old, prefix):
    counts = write_mtx(tmp_path / "a", ending=ending, old=old, prefix=prefix, field="real")
    for path in (tmp_path / "a", tmp_path / "a" / f"{prefix}matrix.mtx{ending}"):
        header = read_header(path)
        assert np.array_equal(read_all(header, tmp_path)[0], counts)
        assert header.var.index[3] == "GENE3"
        assert header.var["gene_ids"].iloc[3] == "ENSG00000000003"


def test_mtx_of_several_samples(tmp_path):
    write_mtx(tmp_path / "a", prefix="s1_")
    counts = write_mtx(tmp_path / "a", prefix="s2_")
    with pytest.raises(InputError, match=r"several matrices, s1_matrix\.mtx, s2_matrix\.mtx; name one"):
        read_header(tmp_path / "a")
    assert np.array_equal(read_all(read_header(tmp_path / "a" / "s2_matrix.mtx.gz"), tmp_path)[0], counts)


def test_mtx_with_cells_as_rows(tmp_path):
    counts = write_mtx(tmp_path / "a", ending="")
    matrix = sparse.coo_matrix(counts)
    lines = ["%%MatrixMarket matrix coordinate integer general", f"{N_CELLS} {N_GENES} {matrix.nnz}"]
    lines += [f"{r + 1} {c + 1} {v}" for r, c, v in zip(matrix.row, matrix.col, matrix.data, strict=True)]
    write_text(tmp_path / "a" / "matrix.mtx", lines)
    assert np.array_equal(read_all(read_header(tmp_path / "a"), tmp_path)[0], counts)


def test_mtx_folder_without_matrix(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"a: this folder holds nothing that can be read"):
        read_header(tmp_path / "a")
    write_mtx(tmp_path / "a" / "hg19")
    with pytest.raises(InputError, match=r"there are some in .*hg19: name one of these"):
        read_header(tmp_path / "a")


def test_mtx_without_barcodes(tmp_path):
    write_mtx(tmp_path / "a")
    (tmp_path / "a" / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"matrix\.mtx\.gz: beside it there must be barcodes\.tsv"):
        read_header(tmp_path / "a")


def rewrite(path, change):
    encoding = "utf-16" if change is LISTS["UTF-16"] else "utf-8"
    path.write_text(change(path.read_text().splitlines()), encoding=encoding)


def quoted(line):
    return "\t".join(f'"{field}"' for field in line.split("\t"))


LISTS = {
    "a byte-order mark": lambda lines: "\ufeff" + "\n".join(lines) + "\n",
    "quotes": lambda lines: "\n".join(map(quoted, lines)),
    "empty lines at the end": lambda lines: "\n".join(lines) + "\n\n \n",
    "carriage returns": lambda lines: "\r\n".join(lines) + "\r\n",
    "a header": lambda lines: "\n".join(["x\ty\tz"[: 2 * lines[0].count("\t") + 1], *lines]) + "\n",
    "UTF-16": lambda lines: "\n".join(lines) + "\n",
    "R's write.table": lambda lines: "\n".join(
        [
            quoted("a\tb\tc"[: 2 * lines[0].count("\t") + 1]),
            *(quoted(f"{i}\t{line}") for i, line in enumerate(lines, 1)),
        ]
    ),
    "pandas' to_csv": lambda lines: "\n".join(["\t0", *(f"{i}\t{line}" for i, line in enumerate(lines))]),
    "blanks": lambda lines: "\n".join([quoted("a\tb\tc"), *map(quoted, lines)]).replace("\t", " "),
    "a header in quotes": lambda lines: "\n".join(map(quoted, ["x\ty\tz", *lines])),
}


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize("names", [["barcodes"], ["features"], ["barcodes", "features"]])
def test_mtx_lists_as_people_write_them(tmp_path, what, names):
    write_mtx(tmp_path, ending="")
    expected = read_header(tmp_path)
    for name in names:
        rewrite(tmp_path / f"{name}.tsv", LISTS[what])
    header = read_header(tmp_path)
    assert header.var.equals(expected.var)
    counts, barcodes, _, _ = read_all(header, tmp_path / "scratch")
    assert np.array_equal(counts, make_counts())
    assert list(barcodes) == BARCODES


def test_mtx_of_unsigned_integers(tmp_path):
    write_mtx(tmp_path, field="unsigned-integer")
    header = read_header(tmp_path)
    assert header.counts == "matrix"
    assert np.array_equal(read_all(header, tmp_path / "scratch")[0], make_counts())


def test_mtx_of_a_pattern_is_refused(tmp_path):
    write_mtx(tmp_path, field="pattern")
    with pytest.raises(InputError, match=r"'coordinate pattern general'.*a pattern says where counts are"):
        read_header(tmp_path)


@pytest.mark.parametrize("name", ["features", "barcodes"])
def test_mtx_with_a_list_too_short(tmp_path, name):
    write_mtx(tmp_path / "a", ending="")
    path = tmp_path / "a" / f"{name}.tsv"
    write_text(path, path.read_text().splitlines()[:-1])
    with pytest.raises(InputError, match=r"matrix\.mtx: is 30 × 40, but .*incomplete: export or download"):
        read_header(tmp_path / "a")


@pytest.mark.parametrize(
    ("line", "number"),
    [("3 x 1", 50), ("3 2", 50), ("31 1 2", 50), ("0 1 2", 50), ("1 2 many", 50), ("1 41 1", 50)],
)
def test_mtx_with_a_wrong_line(tmp_path, monkeypatch, line, number):
    monkeypatch.setattr("cellferry.formats.tenx_mtx.GLANCE_BYTES", 200)
    write_mtx(tmp_path / "a", ending="")
    path = tmp_path / "a" / "matrix.mtx"
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    write_text(path, lines)
    header = read_header(tmp_path / "a")
    with pytest.raises(
        InputError, match=rf"matrix\.mtx, line {number}: '{line}' is not .*copy or export it again"
    ):
        read_all(header, tmp_path)


def test_mtx_with_fewer_entries_than_promised(tmp_path):
    write_mtx(tmp_path / "a", n_listed=9999)
    with pytest.raises(InputError, match=r"matrix\.mtx\.gz: holds \d+ entries, and its header promises 9999"):
        read_all(read_header(tmp_path / "a"), tmp_path)


@pytest.mark.parametrize("max_bytes", [300, 10**6])
def test_mtx_with_more_entries_than_promised(tmp_path, max_bytes):
    write_mtx(tmp_path / "a", n_listed=99)
    with pytest.raises(
        InputError,
        match=r"matrix\.mtx\.gz: holds more than the 99 entries .*or changed while it was read: copy",
    ):
        read_all(read_header(tmp_path / "a"), tmp_path, max_bytes)


def test_mtx_that_grows_while_it_is_read(tmp_path):
    write_mtx(tmp_path / "a", ending="")
    header = read_header(tmp_path / "a")
    with open(tmp_path / "a" / "matrix.mtx", "a") as file:
        file.write(f"1 {N_CELLS} 1\n")
    with pytest.raises(InputError, match=r"matrix\.mtx: holds more than .*changed while it was read"):
        read_all(header, tmp_path)


@pytest.mark.parametrize("write", ["{}.000", "{}e0", "+{}", "  {}", "\t{}", "{} \r", "{}.00000000000000000"])
@pytest.mark.parametrize("max_bytes", [300, 10**6])
def test_mtx_with_numbers_that_are_written_otherwise(tmp_path, write, max_bytes):
    counts = write_mtx(tmp_path / "a", ending="")
    path = tmp_path / "a" / "matrix.mtx"
    lines = path.read_text().splitlines()
    for line in (3, 50, len(lines) - 1):
        position, _, value = lines[line].rpartition(" ")
        lines[line] = f"{position} {write.format(value)}"
    path.write_bytes("\n".join(lines).encode())
    assert np.array_equal(read_all(read_header(tmp_path / "a"), tmp_path, max_bytes)[0], counts)


def test_mtx_cut_off(tmp_path):
    write_mtx(tmp_path / "a")
    path = tmp_path / "a" / "matrix.mtx.gz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"a: cannot be read, it is broken.*download it again"):
        read_all(read_header(tmp_path / "a"), tmp_path)


@pytest.mark.parametrize("field", ["pattern", "complex"])
def test_mtx_of_another_kind(tmp_path, field):
    write_mtx(tmp_path / "a", field=field)
    with pytest.raises(
        InputError, match=rf"'coordinate {field} general' .*'coordinate integer general' is needed"
    ):
        read_header(tmp_path / "a")


@pytest.mark.parametrize(
    "text", ["", "hello\n1 2 3\n", "%%MatrixMarket matrix coordinate integer general\n1 2\n"]
)
def test_mtx_without_its_header(tmp_path, text):
    write_mtx(tmp_path / "a", ending="")
    (tmp_path / "a" / "matrix.mtx").write_text(text)
    with pytest.raises(InputError, match=r"matrix\.mtx.*copy or export"):
        read_header(tmp_path / "a")


def pack(folder, path, *, inside="", compression=zipfile.ZIP_DEFLATED, more=()):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}{file.name}")
        for name in more:
            archive.writestr(name, "a")
    return path


@pytest.mark.parametrize("inside", ["", "sample/filtered_feature_bc_matrix/"])
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("order", ["cells", "genes"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip(tmp_path, inside, ending, order, compression):
    counts = write_mtx(tmp_path / "a", ending=ending, order=order, prefix="s1_")
    more = ["__MACOSX/._s1_matrix.mtx", "readme.txt"]
    path = pack(tmp_path / "a", tmp_path / "a.zip", inside=inside, compression=compression, more=more)
    header = read_header(path)
    assert (header.format, header.in_order) == ("10x_mtx", order == "cells")
    for max_bytes in (3000, 10**6):
        found, names, _, _ = read_all(header, tmp_path / "scratch", max_bytes)
        assert np.array_equal(found, counts)
        assert list(names) == BARCODES
    assert list(header.var.index[:2]) == ["GENE0", "GENE1"]


def test_zip_of_several_matrices(tmp_path):
    write_mtx(tmp_path / "a", prefix="s1_")
    write_mtx(tmp_path / "a", prefix="s2_")
    path = pack(tmp_path / "a", tmp_path / "a.zip")
    with pytest.raises(
        InputError, match=r"one matrix\.mtx .*holds s1_matrix\.mtx\.gz, s2_matrix\.mtx\.gz; unpack"
    ):
        read_header(path)


def test_zip_without_a_matrix(tmp_path):
    write_mtx(tmp_path / "a", ending="")
    (tmp_path / "a" / "matrix.mtx").unlink()
    path = pack(tmp_path / "a", tmp_path / "a.zip")
    with pytest.raises(
        InputError, match=r"a\.zip: is a zip archive, .*holds barcodes\.tsv, features\.tsv; unpack"
    ):
        read_header(path)


def test_zip_without_barcodes(tmp_path):
    write_mtx(tmp_path / "a")
    (tmp_path / "a" / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"a\.zip/matrix\.mtx\.gz: beside it there must be barcodes\.tsv"):
        read_header(pack(tmp_path / "a", tmp_path / "a.zip"))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_broken_zip(tmp_path, ending):
    write_mtx(tmp_path / "a", ending=ending)
    path = pack(tmp_path / "a", tmp_path / "a.zip")
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"a\.zip: cannot be read, it is broken.*download it again"):
        read_header(path)
    damaged = bytearray(content)
    at = content.index(b"matrix.mtx") + 60
    damaged[at : at + 40] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.zip: cannot be read, it is broken.*download it again"):
        read_all(read_header(path), tmp_path)


def test_real_zip_without_content(test_data):
    with pytest.raises(InputError, match=r"is a zip archive, .*it holds nothing; unpack it"):
        read_header(test_data / "formats/10x/test_10X_invalid.zip")


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
    with pytest.raises(InputError, match=r"genome is not set, and the file holds another_genome, hg19_chr21"):
        read_header(test_data / "formats/10x/1.2.0/multiple_genomes.h5")


def test_a_file_without_features_is_an_error_of_the_file(tmp_path):
    write_h5(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["matrix/features"]
    with pytest.raises(InputError, match=r"a\.h5: lacks a part that its format promises"):
        read_header(tmp_path / "a.h5")
