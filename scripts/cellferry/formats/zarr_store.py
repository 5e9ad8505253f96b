"""AnnData's zarr stores, format 2 and 3: folders with a file per chunk, or such a folder in a zip.

SpatialData and MuData store several AnnData objects in one store.
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numcodecs.pickles
import numpy as np
import zarr
from numcodecs.compat import ensure_contiguous_ndarray
from numcodecs.vlen import VLenBytes, VLenUTF8
from zarr.errors import UnknownCodecError
from zarr.storage import ZipStore

from ..core.text import in_one_line
from ..errors import InputError
from . import anndata_store
from .annotation import annotated_blocks, annotated_cells
from .frame import Frame
from .h5mu import NAMES_OF_RNA
from .hdf5 import MISSHAPEN, misshapen
from .interface import Block, Cells, FileSignature, Header, Options
from .zarr_chunks import METADATA, Chunks, check_names, column_warnings, dense_warnings, sparse_warnings

SEVERAL = ("tables", "table", "mod")
"""Groups of the AnnData objects in SpatialData and MuData."""

BLOSC_HEADER = 16

ONE_AFTER_ANOTHER = {"threading.max_workers": 1, "async.concurrency": 1}
"""As fast on one or two cores; the memory of many threads is released late and grew with the file."""

NO_PICKLES = {"array.allow_unsafe_pickle_decode": False}
"""Set in any environment: metadata can name a codec that runs code in a chunk."""

numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE = False  # the same for direct use of numcodecs


def _checked(decode: Callable) -> Callable:
    """Wrap numcodecs' decoding of texts by a check that a chunk is long enough for its texts."""

    def decode_checked(self: Any, buf: Any, out: Any = None) -> np.ndarray:
        chunk = ensure_contiguous_ndarray(buf).view(np.uint8)
        n_texts = int.from_bytes(chunk[:4].tobytes(), "little")
        if 4 * (n_texts + 1) > len(chunk):  # each text begins with its length
            raise ValueError(f"a chunk of {len(chunk)} bytes declares {n_texts} texts")
        return decode(self, buf, out)

    return decode_checked


# Without the check it allocates memory for the declared number: 32 GB for four flipped bytes.
for codec in (VLenUTF8, VLenBytes):
    codec.decode = _checked(codec.decode)


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a folder or zip archive is a zarr store with one or several AnnData objects."""
    return bool(signature.inside) and bool(_objects(path)[1])


def header(path: Path, options: Options) -> Header:
    """Read the header of a zarr store; see `interface.Header`."""
    top, objects = _objects(path)
    name = _choose(path, objects, options)
    where = f"{top}/{objects.get(name, '')}".strip("/")
    with opened(path, where) as root:
        chunks = Chunks(path)
        warnings = list(_check_frames(path, root, chunks))
        found = anndata_store.header(root, path, options, "zarr")
        warnings += _check_counts(root, found, chunks)
        anndata_store.check(root, found)
    others = [other for other in objects if other != name]
    remarks = [f"the object {name} is read, but not {', '.join(others)}"] if others else []
    return found.replace(details={"group": where}, remarks=remarks, warnings=[*found.warnings, *warnings])


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of the cells, about a hundred thousand at a time."""
    with opened(header.path, header.details["group"]) as root:
        yield from annotated_cells(anndata_store.CellFrame(root), header.n_cells, columns)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield counts, names and annotation in row blocks; see `formats.blocks`."""
    with opened(header.path, header.details["group"]) as root:
        rows = anndata_store.counts_of(root, header, max_bytes, scratch, start, stop)
        yield from annotated_blocks(rows, anndata_store.CellFrame(root), columns, start)


@contextmanager
def opened(path: Path, group: str = "") -> Iterator[zarr.Group]:
    """Open a group of a zarr store; errors of a broken store become an `InputError`."""
    try:
        found = ZipStore(path, mode="r") if path.is_file() else nullcontext(path)
        with zarr.config.set(ONE_AFTER_ANOTHER | NO_PICKLES), found as store:
            yield zarr.open_group(store, path=group, mode="r")
    except UnknownCodecError as error:
        raise InputError(
            f"{path}: is compressed by a codec that is not installed here ({error}); write it again where "
            "the codec is, with zarr's own compression"
        ) from error
    # Metadata that are not JSON; chunks that cannot be unpacked or are too short.
    except (ValueError, RuntimeError) as error:
        if "pickle" in str(error).lower():
            raise InputError(
                f"{path}: contains pickled objects, and reading them would run code of its author; write it "
                "again with anndata, names and annotation as text"
            ) from error
        raise InputError(
            f"{path}: cannot be read, the zarr store is broken or incomplete ({in_one_line(error)}); compare "
            "its number of files with the original and copy it again"
        ) from error
    except MISSHAPEN as error:
        raise InputError(misshapen(path, error)) from error


def _objects(path: Path) -> tuple[str, dict[str, str]]:
    """Folder of a store in a zip archive, and the groups of its AnnData objects by name.

    A store of a single object has it at its top, with the name "". SpatialData has them in `tables` (in
    `table` before 2024), MuData in `mod`.
    """
    top = "" if path.is_dir() else _top_of_zip(path)
    root = path if path.is_dir() else zipfile.Path(path, f"{top}/" if top else "")
    for parent in SEVERAL:
        folder = root / parent
        found = {
            entry.name: f"{parent}/{entry.name}"
            for entry in (folder.iterdir() if folder.is_dir() else ())
            if _is_object(entry)
        }
        if found:
            return top, dict(sorted(found.items()))
    return top, {"": ""} if _is_object(root) else {}


def _top_of_zip(path: Path) -> str:
    """The folder that contains all of an archive, or an empty text."""
    with zipfile.ZipFile(path) as archive:
        tops = {name.split("/")[0] for name in archive.namelist() if not name.startswith("__MACOSX")}
    top = next(iter(tops)) if len(tops) == 1 else ""
    return "" if top in METADATA else top


def _is_object(folder: Path | zipfile.Path) -> bool:
    if not all((folder / part).is_dir() for part in ("obs", "var")):
        return False
    return any((folder / name).is_file() for name in METADATA)


def _choose(path: Path, objects: dict[str, str], options: Options) -> str:
    """Name of the object to read."""
    if len(objects) < 2 and (options.assay is None or not any(objects)):
        return next(iter(objects), "")
    if options.assay is not None:
        if options.assay not in objects:
            raise InputError(
                f"{path}: {options.key('assay')} is '{options.assay}', but the store contains "
                f"{', '.join(objects)}; set it to one of them"
            )
        return options.assay
    called_rna = [name for name in objects if name.lower() in NAMES_OF_RNA]
    if len(called_rna) != 1:
        raise InputError(
            f"{path}: contains {len(objects)} objects with cells, {', '.join(objects)}; set "
            f"{options.key('assay')} to one of them"
        )
    return called_rna[0]


def _check_frames(path: Path, root: zarr.Group, chunks: Chunks) -> Iterator[str]:
    """Check the chunks of names and columns before they are read; yield warnings of missing ones."""
    for parent, name in ((root, "obs"), (root, "var"), (root.get("raw"), "var")):
        if not isinstance(parent, zarr.Group) or name not in parent:
            continue
        frame = Frame(parent, name)
        check_names(chunks, frame.index)
        for column in filter(parent[name].__contains__, frame.columns):
            warnings = list(column_warnings(chunks, parent[name][column]))
            if name == "obs":  # of the genes only few columns, the strings, are read
                yield from warnings
        if path.is_dir():  # a zip archive has checksums
            for array in _arrays(parent[name]):
                _check_lengths(path, array)
    for name, width in anndata_store.obsm_widths(root).items():
        if width in anndata_store.AXES:
            yield from dense_warnings(chunks, root["obsm"][name])
            if path.is_dir():
                _check_lengths(path, root["obsm"][name])


def _check_counts(root: zarr.Group, header: Header, chunks: Chunks) -> Iterator[str]:
    """Check the chunks of the selected matrix; yield warnings of missing ones."""
    element = anndata_store.places_of(root).get(header.counts)
    if isinstance(element, zarr.Group):
        shape = (header.n_cells, header.n_genes)
        yield from sparse_warnings(chunks, element, *(shape if header.storage == "csr" else shape[::-1]))
    elif element is not None:
        yield from dense_warnings(chunks, element)
    if header.path.is_dir():
        for array in _arrays(element):
            _check_lengths(header.path, array)


def _arrays(element: zarr.Group | zarr.Array | None) -> Iterator[zarr.Array]:
    if isinstance(element, zarr.Array):
        yield element
    elif element is not None:
        for name in element:
            yield from _arrays(element[name])


def _check_lengths(path: Path, array: zarr.Array) -> None:
    """Raise an `InputError` if a chunk is shorter than its Blosc header; Blosc would read beyond its end."""
    if array.shards is not None or not any("Blosc" in type(codec).__name__ for codec in array.compressors):
        return
    for file in (path / array.path).rglob("*"):
        if file.name in METADATA or not file.is_file():
            continue
        with open(file, "rb") as chunk:
            start = chunk.read(BLOSC_HEADER)
        if len(start) < BLOSC_HEADER or int.from_bytes(start[12:16], "little") != file.stat().st_size:
            raise InputError(
                f"{file}: does not have the length that its first bytes give; the store is incomplete: copy "
                "or export it again"
            )
