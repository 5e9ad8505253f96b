"""Readers of users' files: one module per format, listed in `config/formats.py`; `detect` selects one.

A reader has four functions, with types from `interface`:

- `recognizes(path, signature)`: True if a file has the format, by a few of its bytes and names;
- `header(path, options)`: the file's content, without reading its counts;
- `cells(header, columns)`: yields names and annotation of the cells;
- `blocks(header, columns, max_bytes, scratch)`: yields counts, names and annotation in row blocks.

To add a format, write a module with these four functions and add it to `config/formats.py`.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ..config.formats import FORMATS
from ..core.contents import SALMON, unreadable
from ..core.hdf5_links import with_parts
from ..core.reading import check_unchanged, readable, state_of
from ..cytometry.channels import channels_of
from ..cytometry.marker_names import read_markers
from ..errors import InputError
from . import zarr_store
from .features import as_stored, control_counts, genes_of, only_genes
from .interface import Block, Cells, FileSignature, Header, Options
from .sorting import OutOfOrderError

__all__ = ["Block", "Cells", "Header", "Options", "OutOfOrderError", "blocks", "cells", "detect", "header"]

READERS = {name: import_module(f".{module}", __package__) for name, module in FORMATS.items()}
"""Readers by name of the format, in the order in which they are tried."""

DATASET_ENDINGS = (
    ".h5ad",
    ".h5",
    ".h5mu",
    ".h5seurat",
    ".loom",
    ".zarr",
    ".rds",
    ".rda",
    ".rdata",
    ".parquet",
)
"""Suffixes of datasets to suggest if a folder is named that contains some."""

MAX_NAMED = 5


def header(path: str | Path, options: Options, format: str = "auto") -> Header:  # noqa: A002
    """Read the header of a dataset.

    Parameters
    ----------
    path
        File or folder.
    options
        Configuration of the dataset.
    format
        A name in `READERS`, or `auto`.

    Raises
    ------
    InputError
        If the file cannot be read or the options do not fit it.
    """
    path = Path(path)
    problem = unreadable(path)
    if problem is not None:
        raise InputError(f"{path}: {problem}")
    with readable(path):
        parts = with_parts(path, follow_links=options.follow_links)
        states = {part: state_of(part) for part in parts}
        reader = READERS[detect(path, options) if format == "auto" else format]
        found = reader.header(path, options).replace(states=states)
    if options.modality == "cytometry":
        channels = channels_of(found.var, read_markers(options.markers), str(path))
        return found.replace(values="intensities", var=channels)
    return only_genes(found)


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and given annotation columns of all cells, in the file's order."""
    with readable(header.path):
        yield from READERS[header.format].cells(header, columns)


def blocks(
    header: Header,
    columns: list[str],
    max_bytes: int,
    scratch: str | Path,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Block]:
    """Yield cells with their counts, in the file's order, in blocks of limited size.

    Parameters
    ----------
    header
        Result of `header`.
    columns
        Annotation columns to read.
    max_bytes
        Largest size of a block: 8 bytes per stored value, 128 per cell, and the dense rows of a dense file.
        At least one cell. Reading takes up to four times as much for a moment.
    scratch
        Folder for temporary files, used if cells are not in order (12 bytes per stored value).
    start, stop
        The first cell, and the one after the last; by default all. Formats that can only be read from front
        to back also read the cells before.

    Raises
    ------
    InputError
        If the file is broken, or changes while it is read.
    OutOfOrderError
        If a file begins sorted by cell and does not continue so: read it again with the header's
        `details["sorted"]` set to False.
    """
    stop = header.n_cells if stop is None else stop
    reader = READERS[header.format]
    n_cells = 0
    with readable(header.path):
        stored = as_stored(header)
        if header.is_seekable:
            found = reader.blocks(stored, columns, max_bytes, Path(scratch), start, stop)
        else:
            found = _between(reader.blocks(stored, columns, max_bytes, Path(scratch)), start, stop)
        for block in found:
            block.controls = control_counts(block.counts, header)
            block.counts = genes_of(block.counts, header)
            n_cells += len(block)
            yield block
        for part, state in header.states.items():
            check_unchanged(part, state)
    if n_cells != stop - start:
        raise InputError(
            f"{header.path}: contains {n_cells} cells instead of {stop - start}; the file is damaged: export "
            "it again"
        )


def _between(blocks: Iterator[Block], start: int, stop: int) -> Iterator[Block]:
    """Cells `start` to `stop` of blocks that begin at the first cell."""
    position = 0
    for block in blocks:
        first, last = max(0, start - position), min(len(block), stop - position)
        if first < last:
            yield block if (first, last) == (0, len(block)) else block.rows(slice(first, last))
        position += len(block)
        if position >= stop:
            return


def detect(path: Path, options: Options) -> str:
    """Name of a file's format, by its content first and its suffix second.

    Raises
    ------
    InputError
        If the file is empty or its format is not supported.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy or download it again")
    signature = FileSignature.of(path, options)
    for name, reader in READERS.items():
        if reader.recognizes(path, signature):
            return name
    _refuse_folder_around(path)
    raise InputError(
        f"{path}: {_unrecognized(path, signature)}; set {options.key('format')} to one of "
        f"{', '.join(READERS)} if it is one of these after all, or convert it to one"
    )


def _refuse_folder_around(path: Path) -> None:
    """Raise an `InputError` if a folder is not a dataset but contains some, at most one level below."""
    found = sorted({*path.glob("*"), *path.glob("*/*")}) if path.is_dir() else []
    for file in found:
        if file.name == SALMON:
            raise InputError(f"{file}: {unreadable(file)}")
    datasets = [str(file) for file in found if file.suffix.lower() in DATASET_ENDINGS]
    if datasets:
        more = ", …" if len(datasets) > MAX_NAMED else ""
        raise InputError(
            f"{path}: this folder is not a dataset, but contains some; name one of these: "
            f"{', '.join(datasets[:MAX_NAMED])}{more}"
        )


def _unrecognized(path: Path, signature: FileSignature) -> str:
    if not zarr_store.METADATA.isdisjoint(signature.inside):
        groups = [name for name in signature.inside if name not in zarr_store.METADATA]
        return f"is a zarr store without an AnnData object (it holds {', '.join(groups[:MAX_NAMED])})"
    if path.is_dir():
        return (
            f"this folder holds nothing that can be read ({', '.join(signature.inside[:5]) or 'it is empty'})"
        )
    if signature.groups is not None:
        return f"is an HDF5 file of no known format (it holds {', '.join(signature.groups) or 'nothing'})"
    if path.suffix.lower() in (".h5ad", ".h5", ".loom", ".h5mu", ".h5seurat"):
        return "is not an HDF5 file in spite of its name, or broken at its start: copy or download it again"
    return "its format was not recognized"
