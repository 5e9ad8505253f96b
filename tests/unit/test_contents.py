"""Files of unsupported formats: the message names the format and the remedy."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import r_writer as r
from cellferry.core.contents import not_text, unpacked, unreadable
from cellferry.datasets.obs_table import ObsTable
from cellferry.errors import InputError
from r_cells import make_counts, make_seurat
from reading import read_all, read_header
from test_formats_h5ad import make_adata

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(600)
TABLE = b"gene,cell1,cell2\nACTB,1,2\n"


def tar_of(name, content=TABLE, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_of(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


UNREADABLE = {
    "a.h5ad.gz": (gzip.compress(HDF5), r"an HDF5 file packed with gzip; unpack it \(gunzip a.h5ad.gz\)"),
    "a.h5.bz2": (bz2.compress(HDF5), r"an HDF5 file packed with bzip2; unpack it \(bunzip2 a.h5.bz2\)"),
    "a.loom.xz": (lzma.compress(HDF5), r"an HDF5 file packed with xz; unpack it \(unxz a.loom.xz\)"),
    # Renamed by a browser or a person.
    "a b.h5mu": (gzip.compress(HDF5), r"packed with gzip; unpack it \(gunzip < 'a b.h5mu' > NEW_FILE\)"),
    "a.h5ad.gz.gz": (gzip.compress(gzip.compress(HDF5)), "an HDF5 file packed with gzip"),
    "a.csv.gz": (
        gzip.compress(gzip.compress(TABLE)),
        r"an already compressed file packed with gzip; .*gunzip a.csv.gz",
    ),
    "a.tsv.gz": (gzip.compress(bz2.compress(TABLE)), r"an already compressed file packed with gzip"),
    "a.fcs.gz": (gzip.compress(b"FCS3.1    " + bytes(60)), "an FCS file packed with gzip"),
    "a.parquet.gz": (gzip.compress(b"PAR1\x15\4" + bytes(60)), "a parquet file packed with gzip"),
    "a.zip.gz": (gzip.compress(zip_of("matrix.mtx")), "a zip archive packed with gzip"),
    "a.tar": (tar_of("s/matrix.mtx"), r"a tar archive; unpack it \(tar -xf a.tar\)"),
    "a.tar.gz": (tar_of("s/a.h5ad", mode="w:gz"), r"a tar archive; unpack it .tar -xf a.tar.gz"),
    "a.tgz": (tar_of("a", mode="w:gz"), r"a tar archive; unpack it .tar -xf a.tgz"),
    "a.tar.bz2": (tar_of("a", mode="w:bz2"), "a tar archive"),
    # GEO's RAW.tar with the suffix of a table.
    "a.csv": (tar_of("GSM1.csv.gz"), "a tar archive"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(60), "a 7-Zip archive; unpack it: 7z x a.7z"),
    "a.rar": (b"Rar!\x1a\x07\1\0" + bytes(60), "a RAR archive; unpack it: unrar x a.rar"),
    "a.csv.zst": (b"\x28\xb5\x2f\xfd" + bytes(60), "packed with zstd; unpack it: zstd -d a.csv.zst"),
    "a.csv.lz4": (b"\x04\x22\x4d\x18" + bytes(60), "packed with lz4"),
    "a.csv.Z": (b"\x1f\x9d\x90" + bytes(60), "uncompress a.csv.Z"),
    "a.xlsx": (zip_of("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook; save the sheet as csv"),
    "b.csv": (zip_of("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
    "a.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60), "an old Excel workbook"),
    "a.ods": (zip_of("mimetype", "content.xml"), "an OpenDocument file; save the sheet as csv"),
    "a.npz": (zip_of("data.npy", "indices.npy"), "an archive of NumPy arrays"),
    "a.pkl": (pickle.dumps({"counts": [1, 2]}), "a Python pickle"),
    "a.npy": (b"\x93NUMPY\1\0" + bytes(60), "a NumPy array"),
    "a.qs": (b"\x0b\x0e\x0a\x0c" + bytes(60), "of the R package qs; read it in R and saveRDS it"),
    "a.mat": (b"MATLAB 5.0 MAT-file, Platform" + bytes(600), "a MATLAB file"),
    "c.h5ad": (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
    "d.h5ad": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    "quants_mat.gz": (gzip.compress(bytes(60)), "salmon alevin; write it as mtx"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_it_is_called_what_it_is(tmp_path, name):
    content, message = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: is .*{message}"):
        read_header(tmp_path / name)
    assert not_text(tmp_path / name) == unreadable(tmp_path / name)


@pytest.mark.parametrize("file_format", ["h5ad", "10x_h5", "loom", "r", "csv", "parquet", "fcs"])
def test_nor_does_a_format_that_is_set_hide_it(tmp_path, file_format):
    (tmp_path / "a.h5ad.gz").write_bytes(gzip.compress(HDF5))
    with pytest.raises(InputError, match="is an HDF5 file packed with gzip"):
        read_header(tmp_path / "a.h5ad.gz", file_format)


NOT_TEXT = {
    "an Excel workbook; save the sheet as csv": zip_of("xl/workbook.xml"),
    "an HDF5 file; name a table of text": HDF5,
    "an HDF5 file packed with gzip": gzip.compress(HDF5),
    "a parquet file; name a table": b"PAR1\x15\4\xff" + bytes(60),
    "a zip archive; name a table": zip_of("a.csv"),
    "a file of R's; name a table": gzip.compress(b"X\n\0\0\0\3\0\4\2\xff" + bytes(60)),
}


@pytest.mark.parametrize("what", NOT_TEXT)
def test_a_table_that_is_none(tmp_path, what):
    (tmp_path / "a").write_bytes(NOT_TEXT[what])
    assert not_text(tmp_path / "a").startswith(f"is {what}")


@pytest.mark.parametrize("what", [*NOT_TEXT][:1])
def test_an_annotation_that_cannot_be_decoded_is_called_what_it_is(tmp_path, what):
    (tmp_path / "obs.csv").write_bytes(b"PK\x03\x04\xff\xfe" + NOT_TEXT[what])
    with zipfile.ZipFile(tmp_path / "obs.csv", "a") as archive:
        archive.writestr("xl/sheet1.xml", "x")
    with pytest.raises(InputError, match=f"obs.csv: is {what}"):
        ObsTable(tmp_path / "obs.csv", "datasets.blood.obs")


@pytest.mark.parametrize(
    "content",
    [TABLE, gzip.compress(TABLE), "gene,ÄTB\n".encode("latin-1"), TABLE.decode().encode("utf-16"), b""],
    ids=["csv", "gzip", "latin-1", "utf-16", "empty"],
)
def test_tables_are_left_alone(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    assert unreadable(tmp_path / "a.csv") is None
    assert not_text(tmp_path / "a.csv") is None


def test_what_is_broken_is_not_called_otherwise(tmp_path):
    (tmp_path / "a.h5ad.gz").write_bytes(gzip.compress(HDF5)[:15])
    assert unreadable(tmp_path / "a.h5ad.gz") is None
    assert unreadable(tmp_path / "missing") is None
    assert unreadable(tmp_path) is None


@pytest.mark.parametrize("n", range(4))
def test_unpacked_as_often_as_packed(tmp_path, n):
    content = TABLE
    for pack in (gzip.compress, bz2.compress, lzma.compress)[:n]:
        content = pack(content)
    (tmp_path / "a").write_bytes(content)
    with unpacked(tmp_path / "a") as (file, layers):
        assert file.read() == TABLE
        assert len(layers) == n


@pytest.mark.parametrize("once_more", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("opener", [open, gzip.open, bz2.open])
def test_r_objects_that_were_packed_once_more_are_read(tmp_path, opener, once_more):
    r.write_rds(tmp_path / "a.rds", make_seurat(), opener)
    path = tmp_path / "a.rds.gz"
    path.write_bytes(once_more((tmp_path / "a.rds").read_bytes()))
    header = read_header(path)
    counts, _, obs, _ = read_all(header, tmp_path / "scratch", columns=["label"])
    assert np.array_equal(counts, make_counts().toarray())
    assert obs["label"][0] == "B"


def test_a_folder_around_datasets_names_them(tmp_path):
    (tmp_path / "run" / "a").mkdir(parents=True)
    make_adata().write_h5ad(tmp_path / "run" / "a" / "adata.h5ad")
    with pytest.raises(InputError, match=r"run: this folder is not a dataset.* these: .*a/adata.h5ad"):
        read_header(tmp_path / "run")


def test_a_folder_of_salmons(tmp_path):
    (tmp_path / "alevin").mkdir()
    (tmp_path / "alevin" / "quants_mat_rows.txt").write_text("AAAC\n")
    (tmp_path / "alevin" / "quants_mat.gz").write_bytes(gzip.compress(bytes(60)))
    with pytest.raises(InputError, match=r"alevin/quants_mat.gz: is .*--dumpMtx"):
        read_header(tmp_path)
