"""Parts of HDF5 files that are not in them: they lie in other files, or were never written.

HDF5 tells of neither. It follows links to any file that the user may read, takes raw bytes of any file for
values, and puts zeros where a virtual dataset's source is gone or a chunk is missing.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
from h5py import h5d, h5l, h5o

from ..errors import InputError


def refuse_parts_elsewhere(path: Path) -> None:
    """Raise an `InputError` unless all of a file is in it, or in sources of virtual datasets that are there.

    The whole file is looked through, once as long as it does not change: a link that is not followed may be
    the target of one that is.
    """
    problem = _problem_of(path, frozenset())
    if problem is not None:
        raise InputError(problem)


def unwritten_chunks(dataset: h5py.Dataset) -> tuple[int, int]:
    """How many of a dataset's chunks were never written, and how many it is made of."""
    if not dataset.size:
        return 0, 0
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5d.CHUNKED:
        n_chunks = math.prod(-(-n // size) for n, size in zip(dataset.shape, dataset.chunks, strict=True))
        return n_chunks - dataset.id.get_num_chunks(), n_chunks
    is_unwritten = layout == h5d.CONTIGUOUS and dataset.id.get_storage_size() == 0
    return int(is_unwritten), 1


def check_written(array: Any) -> None:
    """Raise an `OSError` if this is a dataset of HDF5, and a part of it was never written."""
    n_missing, n_chunks = unwritten_chunks(array) if isinstance(array, h5py.Dataset) else (0, 1)
    if n_missing:
        raise OSError(
            f"{array.name} says that it holds {' × '.join(map(str, array.shape))} values, and {n_missing} of "
            f"its {n_chunks} chunks were never written"
        )


class _FoundError(Exception):
    """What is wrong with a file, from within a walk through it."""


def _problem_of(path: Path, views: frozenset[Path]) -> str | None:
    """What of a file lies elsewhere, in a sentence; `views` are the files that it is a source of."""
    stat = path.stat()
    return _problem(path, views, (stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=256)
def _problem(path: Path, views: frozenset[Path], state: tuple[int, int]) -> str | None:
    """See `_problem_of`; `state` tells a file that was changed."""

    def look_at_link(name: bytes, info: h5l.LinkInfo) -> None:
        if info.type == h5l.TYPE_EXTERNAL:
            target, where = file.id.links.get_val(name)
            raise _FoundError(_elsewhere(path, name, f"a link to {_text(where)} in the file {_text(target)}"))

    def look_at_object(name: bytes, info: h5o.ObjInfo) -> None:
        if info.type != h5o.TYPE_DATASET:
            return
        dataset = h5d.open(file.id, name)
        properties = dataset.get_create_plist()
        if properties.get_layout() == h5d.VIRTUAL:
            _check_sources(
                dataset, f"{path}: /{_text(name)} is a view (an HDF5 virtual dataset)", path, views
            )
        elif properties.get_external_count():
            where = _text(properties.get_external(0)[0])
            raise _FoundError(_elsewhere(path, name, f"stored in the file {where}"))

    with h5py.File(path, "r", locking=False) as file:
        try:
            file.id.links.visit(look_at_link, info=True)
            h5o.visit(file.id, look_at_object, info=True)
        except _FoundError as found:
            return str(found)
    return None


def _check_sources(dataset: h5d.DatasetID, called: str, path: Path, views: frozenset[Path]) -> None:
    """Look for the sources of a virtual dataset, and whether they are as large as it takes them to be."""
    properties = dataset.get_create_plist()
    n_values, n_mapped = math.prod(dataset.shape), 0
    for number in range(properties.get_virtual_count()):
        given, inside = properties.get_virtual_filename(number), properties.get_virtual_dsetname(number)
        n_mapped += properties.get_virtual_vspace(number).get_select_npoints()
        source = path if given == "." else next(filter(Path.is_file, _candidates(path, given)), None)
        if source is None or source in views:
            raise _FoundError(
                f"{called} of {given}, which is not there; put that file beside it, or export it again"
            )
        if source != path and (problem := _problem_of(source, views | {path})):
            raise _FoundError(problem)
        with h5py.File(source, "r", locking=False) as opened:
            found = opened.get(inside)
            shape = found.shape if isinstance(found, h5py.Dataset) else ()
        last = properties.get_virtual_srcspace(number).get_select_bounds()[1]
        if len(last) != len(shape) or any(at >= n for at, n in zip(last, shape, strict=True)):
            raise _FoundError(
                f"{called} of {inside} in {given}, which is not there or smaller than it was; put the file "
                "there that it was made of, or export it again"
            )
    if n_mapped < n_values:
        raise _FoundError(
            f"{called}, and only {n_mapped} of its {n_values} values are in files; export it again"
        )


def _candidates(path: Path, given: str) -> Iterator[Path]:
    """Where HDF5 looks for a source."""
    yield from (folder / given for folder in (path.parent, path.resolve().parent, Path()))


def _elsewhere(path: Path, name: bytes, what: str) -> str:
    return (
        f"{path}: /{_text(name)} is {what}, and nothing is read from files that another file points to; "
        "write everything into one file"
    )


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
