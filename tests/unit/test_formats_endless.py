"""Endless inputs, and inputs that declare far more than they contain: refused by name, in little memory."""

import bz2
import gzip
import lzma
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cellferry.config.paths import path_problem
from cellferry.core.reading import signature, state_of
from cellferry.core.table_start import table_start
from cellferry.core.text import MAX_LINE_BYTES, open_text
from cellferry.errors import InputError
from reading import read_all, read_header
from tenx_files import write_mtx

ROOT = Path(__file__).parents[2]


def make_special(folder, kind):
    path = folder / "bad.h5ad"
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        # The path of a socket must be short.
        here = Path.cwd()
        os.chdir(folder)
        socket.socket(socket.AF_UNIX).bind(path.name)
        os.chdir(here)
    else:
        path.symlink_to("/dev/zero")
    return path


KINDS = ["a named pipe", "a socket", "a device"]


@pytest.mark.parametrize("kind", KINDS)
def test_special_files_are_never_opened(tmp_path, kind):
    path = make_special(tmp_path, kind)
    said = rf"bad\.h5ad: is {kind}, neither a file nor a folder; name a file"
    for file_format in ("auto", "h5ad", "csv", "10x_mtx", "r", "fcs", "parquet", "loom"):
        with pytest.raises(InputError, match=said):
            read_header(path, file_format)
    with pytest.raises(InputError, match=said):
        open_text(path)
    with pytest.raises(InputError, match=said):
        table_start(path, blanks="always")
    assert "is neither a file nor a folder" in str(path_problem(path))
    assert "is neither a file nor a folder" in str(path_problem(tmp_path))
    assert signature(path) == "neither a file nor a folder"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["barcodes.tsv", "features.tsv", "matrix.mtx", "other"])
def test_special_files_in_a_folder(tmp_path, kind, name):
    write_mtx(tmp_path / "a", ending="")
    (tmp_path / "a" / name).unlink(missing_ok=True)
    make_special(tmp_path, kind).rename(tmp_path / "a" / name)
    with pytest.raises(InputError, match=rf"{name}: is {kind}, neither a file nor a folder"):
        read_header(tmp_path / "a")


@pytest.mark.parametrize("name", ["a.h5ad", "a.csv", "a.rds"])
def test_links_that_lead_back(tmp_path, name):
    path = tmp_path / name
    path.symlink_to(path)
    with pytest.raises(InputError, match=rf"{name}: is a link that leads back to itself; correct the path"):
        read_header(path)
    assert "leads back to itself" in str(path_problem(path))
    with pytest.raises(OSError, match="symbolic links"):
        state_of(path)


def endless(path, opener, text=b"\0", n=4 << 20, times=40):
    with opener(path, "wb") as file:
        for _ in range(times):
            file.write(text * n)
    return path


LIMITED = """
import resource, sys
sys.path[:0] = ["scripts", "tests"]
from reading import read_header
from cellferry.errors import InputError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_header(sys.argv[1])
except InputError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def refused_in_mb(path):
    """Message for a refused file, and the MB that reading took."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED, str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    said, mb = done.stdout.rsplit("\n", 2)[:2]
    return said, int(mb)


HEADER = b"%%MatrixMarket matrix coordinate integer general\n"


@pytest.mark.parametrize("opener", [gzip.open, bz2.open, lzma.open])
def test_a_matrix_that_is_one_line_of_zeros(tmp_path, opener):
    write_mtx(tmp_path / "a", ending="")
    path = tmp_path / "a" / "matrix.mtx"
    path.unlink()
    path = path.with_suffix(".mtx.gz")
    with opener(path, "wb") as file:
        file.write(HEADER)
        for _ in range(40):
            file.write(bytes(4 << 20))
    said, mb = refused_in_mb(path)
    assert f"{path}: contains a line of more than 128 MB, so it is damaged or not a table of text" in said
    assert mb < 900


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_table_that_is_one_line(tmp_path, name):
    path = endless(tmp_path / name, gzip.open if name.endswith("gz") else open, b"12345678", 1 << 19)
    said, mb = refused_in_mb(path)
    assert f"{path}: contains a line of more than 128 MB, so it is damaged or not a table of text" in said
    assert mb < 900


@pytest.mark.parametrize("name", ["barcodes.tsv", "features.tsv"])
def test_a_list_that_is_one_line(tmp_path, name):
    write_mtx(tmp_path / "a", ending="")
    (tmp_path / "a" / name).unlink()
    path = endless(tmp_path / "a" / f"{name}.gz", gzip.open, b"a")
    said, mb = refused_in_mb(tmp_path / "a")
    assert f"{path}: contains a line of more than 128 MB" in said
    assert mb < 900


def test_long_lines_within_the_limit_are_read(tmp_path):
    line = b"a" * (MAX_LINE_BYTES // 4)
    (tmp_path / "a.txt").write_bytes(line + b"\n" + line)
    with open_text(tmp_path / "a.txt") as file:
        assert [len(line) for line in file] == [len(line) + 1, len(line)]


@pytest.mark.parametrize("size", ["30 40 1000000000", f"30 40 {10**30}", f"{10**30} 40 5", f"30 {2**31} 5"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_header_that_promises_too_much(tmp_path, size, ending):
    write_mtx(tmp_path / "a", ending="")
    path = tmp_path / "a" / "matrix.mtx"
    lines = path.read_text().split("\n")
    lines[2] = size
    path.write_text("\n".join(lines))
    if ending:
        path.with_suffix(".mtx.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    with pytest.raises(InputError, match=r"matrix\.mtx.*, line 3: declares .*; .*copy or export it again"):
        read_header(tmp_path / "a")


@pytest.mark.parametrize("value", ["1_0", "", "x", "٣", "1,5", "0x10"])
def test_a_value_that_python_alone_takes_for_a_number(tmp_path, value):
    write_mtx(tmp_path / "a", ending="")
    path = tmp_path / "a" / "matrix.mtx"
    lines = path.read_text().split("\n")
    lines[9] = f"{lines[9].rsplit(' ', 1)[0]} {value}".rstrip()
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"matrix\.mtx, line 10: '{lines[9]}' is not a row"):
        read_all(read_header(tmp_path / "a"), tmp_path / "scratch")


def test_a_folder_of_many_files(tmp_path):
    for number in range(3000):
        (tmp_path / f"{number}").touch()
    with pytest.raises(InputError, match="this folder holds nothing that can be read") as error:
        read_header(tmp_path)
    assert len(str(error.value)) < 600
