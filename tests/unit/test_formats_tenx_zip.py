"""Folders of mtx files packed as zip archives, read without unpacking."""

import zipfile

import numpy as np
import pytest
from cellferry.errors import InputError
from reading import read_all, read_header
from tenx_files import BARCODES, pack, write_mtx


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
        InputError, match=r"one matrix\.mtx .*contains s1_matrix\.mtx\.gz, s2_matrix\.mtx\.gz; unpack"
    ):
        read_header(path)


def test_zip_without_a_matrix(tmp_path):
    write_mtx(tmp_path / "a", ending="")
    (tmp_path / "a" / "matrix.mtx").unlink()
    path = pack(tmp_path / "a", tmp_path / "a.zip")
    with pytest.raises(
        InputError, match=r"a\.zip: is a zip archive, .*contains barcodes\.tsv, features\.tsv; unpack"
    ):
        read_header(path)


def test_zip_without_barcodes(tmp_path):
    write_mtx(tmp_path / "a")
    (tmp_path / "a" / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"a\.zip/matrix\.mtx\.gz: barcodes\.tsv.* is missing beside it"):
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
    with pytest.raises(InputError, match=r"is a zip archive, .*but contains nothing; unpack it"):
        read_header(test_data / "formats/10x/test_10X_invalid.zip")
