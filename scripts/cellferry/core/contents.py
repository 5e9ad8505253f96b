"""Type of a file by its content, for files that no reader can read as they are.

Imported by the Snakefile too: nothing that is missing on a login node with Snakemake alone.
"""

import shlex
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from .text import OPENERS, UNPACKING_ERRORS, open_bytes, refuse_special

START_BYTES = 512
"""Enough for the header of a tar archive."""

MAX_LAYERS = 3
"""A file may be packed, and packed again when it is deposited."""

GZIP, BZIP2, XZ = OPENERS
UNPACKERS = {GZIP: ("gzip", "gunzip", ".gz"), BZIP2: ("bzip2", "bunzip2", ".bz2"), XZ: ("xz", "unxz", ".xz")}
"""Per packer: its name, the command that unpacks, and the ending that this command requires."""

OTHER_PACKERS = {
    b"\x28\xb5\x2f\xfd": ("a file packed with zstd", "unpack it: zstd -d"),
    b"\x04\x22\x4d\x18": ("a file packed with lz4", "unpack it: lz4 -d"),
    b"\x1f\x9d": ("a file packed with compress", "unpack it: uncompress"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it: 7z x"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it: unrar x"),
}
"""Packed formats that Python does not unpack: name, and command that takes the file's name."""

DATA = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"PAR1\x15": "a parquet file",
    b"ARROW1\0\0": "a feather file",
    b"FEA1": "a feather file",
    b"FCS2.": "an FCS file",
    b"FCS3.": "an FCS file",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "an empty zip archive",
}
"""Formats that are read, but only unpacked, and never as a text table."""

R = (b"RDX2\n", b"RDX3\n", b"RDB2\n", b"RDB3\n", b"X\n\0\0\0", b"B\n\2\0\0\0", b"B\n\3\0\0\0")
"""First bytes of files of R's save and saveRDS."""

EXCEL = "save the sheet as csv and name that file"
FOREIGN = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Excel workbook or another Office file", EXCEL),
    b"%PDF": ("a PDF", "name the file with the data"),
    b"version https://git-lfs": ("a Git LFS pointer", "fetch the data with `git lfs pull`"),
    b"\x80\4\x95": ("a Python pickle", "load it in Python and write it as h5ad or csv"),
    b"\x80\5\x95": ("a Python pickle", "load it in Python and write it as h5ad or csv"),
    b"\x93NUMPY": ("a NumPy array", "load it in Python and write it as h5ad, with names"),
    b"MATLAB 5.0 MAT-file": ("a MATLAB file", "load it there and write the counts as mtx"),
    b"\x0b\x0e\x0a\x0c": ("a file of the R package qs", "read it in R and saveRDS it"),
    b"\x0b\x0e\x0a\xc1": ("a file of the R package qs2", "read it in R and saveRDS it"),
    b"BAM\1": ("a BAM file", "count its reads, and name the counts"),
}
"""First bytes of unsupported formats, with name and remedy."""

PAGES = (b"<!doctype html", b"<html", b"<?xml")
SALMON = "quants_mat.gz"


def unreadable(path: Path) -> str | None:
    """Type and remedy of a file that cannot be read as it is; None for all others.

    Covers archives, files packed once more than their format is, workbooks, web pages, foreign formats.

    Returns
    -------
    A part of a message that follows the file's name, such as ``is a tar archive; unpack it: tar -xf a.tar``.
    """
    return _described(path, as_text=False)


def not_text(path: Path) -> str | None:
    """Type and remedy of a file that is not a text table; None for all others. See `unreadable`."""
    return _described(path, as_text=True)


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[IO[bytes], list[bytes]]]:
    """Open a file for reading bytes, all layers of compression removed.

    Yields
    ------
    The file, and the first bytes of each layer that was unpacked, outermost first.
    """
    layers: list[bytes] = []
    refuse_special(path)
    with ExitStack() as opened:
        plain = opened.enter_context(open(path, "rb"))
        magic = _packed_by(plain.read(len(XZ)))
        if magic is None:
            plain.seek(0)
            yield plain, layers
            return
        layers.append(magic)
        file = opened.enter_context(open_bytes(path))
        while len(layers) < MAX_LAYERS and (magic := _packed_by(file.read(len(XZ)))) is not None:
            layers.append(magic)
            file.seek(0)
            file = opened.enter_context(OPENERS[magic](file, "rb"))
        file.seek(0)
        yield file, layers


def _packed_by(start: bytes) -> bytes | None:
    return next((magic for magic in OPENERS if start.startswith(magic)), None)


def _described(path: Path, *, as_text: bool) -> str | None:
    if not path.is_file():
        return None
    try:
        with unpacked(path) as (file, layers):
            start = file.read(START_BYTES)
        described = _found(path, start, layers, as_text)
    except (OSError, *UNPACKING_ERRORS):  # broken: reported by its reader
        return None
    return None if described is None else f"is {described[0]}; {described[1]}"


def _found(path: Path, start: bytes, layers: list[bytes], as_text: bool) -> tuple[str, str] | None:
    """Type and remedy of a file."""
    name = shlex.quote(path.name)
    if _is_tar(start):
        return "a tar archive", f"unpack it (tar -xf {name}) and name the file to read"
    for magic, (what, command) in OTHER_PACKERS.items():
        if start.startswith(magic):
            return what, f"{command} {name}"
    foreign = next((found for magic, found in FOREIGN.items() if start.startswith(magic)), None)
    if foreign is not None:
        return foreign
    if start.lstrip()[:20].lower().startswith(PAGES):
        return "a web page or XML", "download the data themselves"
    if path.name.endswith(SALMON):
        return (
            "a matrix in the binary format of salmon alevin",
            "write it as mtx (alevin --dumpMtx, alevin-fry quant --use-mtx), or read it in R with tximport "
            "and saveRDS the counts",
        )
    kind = next((what for magic, what in DATA.items() if start.startswith(magic)), None)
    workbook = None if layers or "zip" not in (kind or "") else _workbook(path)
    if workbook is not None:
        return workbook
    is_r = start.startswith(R)  # compressed by R itself
    if layers and (kind is not None or (len(layers) > 1 and not is_r)):
        return _packed(path, kind, layers)
    kind = "a file of R's" if is_r else kind
    return (kind, "name a table of text, csv or tsv") if as_text and kind is not None else None


def _packed(path: Path, kind: str | None, layers: list[bytes]) -> tuple[str, str]:
    by, command, ending = UNPACKERS[layers[0]]
    name = shlex.quote(path.name)
    # The command accepts only file names with its own ending.
    unpacking = f"{command} {name}" if path.name.endswith(ending) else f"{command} < {name} > NEW_FILE"
    what = kind or "an already compressed file"
    return f"{what} packed with {by}", f"unpack it ({unpacking}) and name the unpacked file"


def _is_tar(start: bytes) -> bool:
    """True if the bytes start a tar archive; its header has a checksum."""
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "replace")
    except tarfile.HeaderError:
        return False
    return True


def _workbook(path: Path) -> tuple[str, str] | None:
    """Type and remedy of a zip archive that other programs write as one file."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    if "xl/workbook.xml" in names or "xl/workbook.bin" in names:
        return "an Excel workbook", EXCEL
    if {"content.xml", "mimetype"} <= names:
        return "an OpenDocument file", EXCEL
    if "word/document.xml" in names:
        return "a Word document", "name the file with the data"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays", "load it in Python and write it as h5ad, with names"
    return None
