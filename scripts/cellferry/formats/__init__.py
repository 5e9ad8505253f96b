"""Readers of the users' files: one module per format, found out by `detect`, listed in `READERS`.

A reader offers three functions, whose types are in `interface`:

- `header(path, options)` tells what a file holds without reading its counts;
- `cells(header, columns)` yields the cells' names and annotation alone;
- `blocks(header, columns, max_bytes, scratch)` yields counts, names and annotation in row blocks.

To add a format, write a module with these three, enter it in `READERS`, teach `detect` its looks,
and add its name to `format` in config/schemas/config.schema.yaml.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py

from ..errors import InputError
from ..files import readable
from ..text import first_bytes, is_gzipped
from ..transpose import OutOfOrderError
from . import h5ad, table, tenx_h5, tenx_mtx
from .interface import Block, Cells, Header, Options

__all__ = ["Block", "Cells", "Header", "Options", "OutOfOrderError", "blocks", "cells", "detect", "header"]

READERS = {"h5ad": h5ad, "10x_h5": tenx_h5, "10x_mtx": tenx_mtx, "csv": table}

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".tab")


def header(path: str | Path, options: Options, format: str = "auto") -> Header:  # noqa: A002
    """Read the header of a dataset.

    Parameters
    ----------
    path
        File or folder.
    options
        What the configuration says about it.
    format
        A name in `READERS`, or `auto`.

    Raises
    ------
    InputError
        If the file cannot be read or the options do not fit it.
    """
    path = Path(path)
    with readable(path):
        reader = READERS[detect(path, options) if format == "auto" else format]
        return reader.header(path, options)


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and the given annotation columns of all cells, in the file's order."""
    with readable(header.path):
        yield from READERS[header.format].cells(header, columns)


def blocks(header: Header, columns: list[str], max_bytes: int, scratch: str | Path) -> Iterator[Block]:
    """Yield all cells with their counts, in the file's order, in blocks of bounded size.

    Parameters
    ----------
    header
        What `header` returned.
    columns
        Annotation columns to read along.
    max_bytes
        Size of a block at most: 8 bytes per stored value, 128 per cell, and the dense rows where the
        file is dense. One cell at least. Reading takes up to four times as much for a moment.
    scratch
        Folder for temporary files, used where cells do not come in order (12 bytes per stored value).

    Raises
    ------
    InputError
        If the file turns out to be broken.
    OutOfOrderError
        If a file that began sorted by cell does not go on so: read it again with the header's
        `details["sorted"]` set to False.
    """
    with readable(header.path):
        yield from READERS[header.format].blocks(header, columns, max_bytes, Path(scratch))


def detect(path: Path, options: Options) -> str:
    """Name of a file's format: by its content first, by its ending second.

    Raises
    ------
    InputError
        If it is empty, a zip archive, or none of the formats that can be read.
    """
    if path.is_dir():
        return "10x_mtx"
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy or download it again")
    if h5py.is_hdf5(path):
        return _detect_hdf5(path, options)
    start = first_bytes(path, 512)
    if start.startswith(b"%%MatrixMarket"):
        return "10x_mtx"
    if start.startswith(b"PK\x03\x04") or zipfile.is_zipfile(path):
        raise InputError(f"{path}: is a zip archive; unpack it and name the file or folder inside")
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    if endings and endings[-1] in TEXT_ENDINGS and b"\0" not in start:
        return "csv"
    if endings and endings[-1] in (".h5ad", ".h5"):
        raise InputError(
            f"{path}: is not an HDF5 file in spite of its name, or broken at its start; "
            "copy or download it again"
        )
    packed = "gzipped " if is_gzipped(path) else ""
    raise InputError(
        f"{path}: the format of this {packed}file was not recognised; set {options.key('format')} "
        f"to one of {', '.join(READERS)}, or convert the file to one of them"
    )


def _detect_hdf5(path: Path, options: Options) -> str:
    with h5py.File(path, "r", locking=False) as file:
        if "mod" in file and "X" not in file:
            raise InputError(
                f"{path}: is MuData, with the modalities {', '.join(file['mod'])}; "
                "write the one with the RNA counts to an h5ad file of its own"
            )
        if "obs" in file and "var" in file:
            return "h5ad"
        # Cell Ranger 3 and later have one group `matrix`; earlier ones a group per genome.
        if any(isinstance(group, h5py.Group) and "barcodes" in group for group in file.values()):
            return "10x_h5"
        groups = ", ".join(file) or "nothing"
    raise InputError(
        f"{path}: is an HDF5 file, but neither h5ad nor 10x (it holds {groups}); "
        f"convert it to one of them, or set {options.key('format')}"
    )
