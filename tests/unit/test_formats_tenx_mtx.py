"""Folders of mtx files in Cell Ranger's form: orders, names, lists, and broken files."""

import numpy as np
import pytest
from cellferry import formats
from cellferry.errors import InputError
from cellferry.formats import OutOfOrderError
from reading import read_all, read_header
from scipy import sparse
from tenx_files import BARCODES, N_CELLS, N_GENES, make_counts, write_mtx, write_text


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
    monkeypatch.setattr("cellferry.formats.tenx_mtx.PREVIEW_BYTES", 200)
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
    with pytest.raises(InputError, match=r"name one of the folders .*hg19"):
        read_header(tmp_path / "a")


def test_mtx_without_barcodes(tmp_path):
    write_mtx(tmp_path / "a")
    (tmp_path / "a" / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"matrix\.mtx\.gz: barcodes\.tsv.* is missing beside it"):
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
    with pytest.raises(
        InputError, match=r"'coordinate pattern general'.*a pattern has the positions of counts"
    ):
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
    monkeypatch.setattr("cellferry.formats.tenx_mtx.PREVIEW_BYTES", 200)
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
    with pytest.raises(InputError, match=r"matrix\.mtx\.gz: contains \d+ of the 9999 entries of its header"):
        read_all(read_header(tmp_path / "a"), tmp_path)


@pytest.mark.parametrize("max_bytes", [300, 10**6])
def test_mtx_with_more_entries_than_promised(tmp_path, max_bytes):
    write_mtx(tmp_path / "a", n_listed=99)
    with pytest.raises(
        InputError,
        match=r"matrix\.mtx\.gz: contains more than the 99 entries .*or changed while it was read: copy",
    ):
        read_all(read_header(tmp_path / "a"), tmp_path, max_bytes)


def test_mtx_that_grows_while_it_is_read(tmp_path):
    write_mtx(tmp_path / "a", ending="")
    header = read_header(tmp_path / "a")
    with open(tmp_path / "a" / "matrix.mtx", "a") as file:
        file.write(f"1 {N_CELLS} 1\n")
    with pytest.raises(InputError, match=r"matrix\.mtx: contains more than .*changed while it was read"):
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
        InputError,
        match=rf"'coordinate {field} general' .*'coordinate integer general' \(or real\) is needed",
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
