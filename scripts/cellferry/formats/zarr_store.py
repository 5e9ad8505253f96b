"""AnnData's zarr stores, format 2 and 3: folders with a file per chunk, or the content of one in a zip."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import zarr
from zarr.storage import ZipStore

from ..errors import InputError
from . import anndata_store
from .annotation import annotated_blocks, annotated_cells
from .frame import Frame
from .interface import Block, Cells, Header, Looks, Options

METADATA = {".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"}
"""Files beside the chunks, of which a zarr group has one at least."""

BLOSC_HEADER = 16

ONE_AFTER_ANOTHER = {"threading.max_workers": 1, "async.concurrency": 1}
"""As fast on a core or two, and the memory of many threads is given back late: it grew with the file."""


def recognises(path: Path, looks: Looks) -> bool:
    """Whether a folder or zip archive is an AnnData object in a zarr store."""
    return {"obs", "var"} <= set(looks.inside) and not METADATA.isdisjoint(looks.inside)


def header(path: Path, options: Options) -> Header:
    """Read the header of a zarr store; see `interface.Header`."""
    with opened(path) as root:
        found = anndata_store.header(root, path, options, "zarr")
        _check_chunks(root, found)
        return found


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Names and annotation of the cells, a hundred thousand or so at a time."""
    with opened(header.path) as root:
        yield from annotated_cells(Frame(root, "obs"), header.n_cells, columns)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Counts, names and annotation, in row blocks; see `formats.blocks`."""
    with opened(header.path) as root:
        rows = anndata_store.counts_of(root, header, max_bytes, scratch, start, stop)
        yield from annotated_blocks(rows, Frame(root, "obs"), columns, start)


@contextmanager
def opened(path: Path) -> Iterator[zarr.Group]:
    """Open a zarr store; what a broken one raises becomes an `InputError`."""
    try:
        found = ZipStore(path, mode="r") if path.is_file() else nullcontext(path)
        with zarr.config.set(ONE_AFTER_ANOTHER), found as store:
            yield zarr.open_group(store, mode="r")
    # Metadata that are no JSON, chunks that cannot be unpacked or are too short.
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: cannot be read, the zarr store is broken or incomplete ({error}); compare its "
            "number of files with the original and copy it again"
        ) from error


def _check_chunks(root: zarr.Group, found: Header) -> None:
    """Raise an `InputError` if chunk files are missing or cut off, of which zarr would make other values."""
    frames = (Frame(root, "obs"), anndata_store.genes_of(root, found.counts))
    element = anndata_store.places_of(root).get(found.counts)
    # Chunks of zeros are not written, so those of a dense matrix or of codes may be missing. Names and stored
    # values are no zeros, nor are column indices, but for a last chunk that holds a single entry.
    most_missing = [(frame.index, 0) for frame in frames]
    if isinstance(element, zarr.Group):
        most_missing += [(element["data"], 0), (element["indices"], 1)]
    for array, most in most_missing:
        n_missing = array.nchunks - array.nchunks_initialized
        if n_missing > most:
            raise InputError(
                f"{found.path}: {n_missing} of the {array.nchunks} chunks of {array.name} are missing; "
                "the store is incomplete: copy or export it again"
            )
    if found.path.is_file():  # a zip has checksums
        return
    for part in (root["obs"], root["var"], element):
        for array in _arrays(part):
            _check_lengths(found.path, array)


def _arrays(element: zarr.Group | zarr.Array | None) -> Iterator[zarr.Array]:
    if isinstance(element, zarr.Array):
        yield element
    elif element is not None:
        for name in element:
            yield from _arrays(element[name])


def _check_lengths(path: Path, array: zarr.Array) -> None:
    """Raise an `InputError` if a chunk is shorter than Blosc says, which reads beyond its end otherwise."""
    if array.shards is not None or not any("Blosc" in type(codec).__name__ for codec in array.compressors):
        return
    for file in (path / array.path).rglob("*"):
        if file.name in METADATA or not file.is_file():
            continue
        with open(file, "rb") as chunk:
            start = chunk.read(BLOSC_HEADER)
        if len(start) < BLOSC_HEADER or int.from_bytes(start[12:16], "little") != file.stat().st_size:
            raise InputError(
                f"{file}: is not as long as its beginning says; the store is incomplete: "
                "copy or export it again"
            )
