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
from h5py import h5d, h5i, h5l, h5o, h5s

from ..errors import DamagedPartError, InputError


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
    """Raise a `DamagedPartError` if this is a dataset of HDF5, and a part of it was never written."""
    n_missing, n_chunks = unwritten_chunks(array) if isinstance(array, h5py.Dataset) else (0, 1)
    if n_missing:
        raise DamagedPartError(
            f"{array.name} says that it holds {' × '.join(map(str, array.shape))} values, and {n_missing} of "
            f"its {n_chunks} chunks were never written"
        )


def _problem_of(path: Path, views: frozenset[Path]) -> str | None:
    """What of a file lies elsewhere, in a sentence; `views` are the files that it is a source of."""
    stat = path.stat()
    problem, own_views = _parts(path, (stat.st_size, stat.st_mtime_ns))
    if problem is not None or not own_views:
        return problem
    with h5py.File(path, "r", locking=False) as file:
        problems = (_problem_of_view(file[name].id, path, views) for name in own_views)
        return next(filter(None, problems), None)


@lru_cache(maxsize=256)
def _parts(path: Path, state: tuple[int, int]) -> tuple[str | None, list[bytes]]:
    """A link or an array of a file that leads to another, in a sentence, and the names of its views.

    `state` tells a file that was changed.
    """
    datasets: list[bytes] = []

    def look_at_link(name: bytes, info: h5l.LinkInfo) -> bytes | None:
        return name if info.type == h5l.TYPE_EXTERNAL else None

    def look_at_object(name: bytes, info: h5o.ObjInfo) -> None:
        if info.type == h5o.TYPE_DATASET:
            datasets.append(name)

    views = []
    with h5py.File(path, "r", locking=False) as file:
        link = file.id.links.visit(look_at_link, info=True)
        if link is not None:
            target, where = file.id.links.get_val(link)
            return _elsewhere(path, link, f"a link to {_text(where)} in the file {_text(target)}"), []
        h5o.visit(file.id, look_at_object, info=True)
        for name in datasets:
            properties = h5d.open(file.id, name).get_create_plist()
            if properties.get_layout() == h5d.VIRTUAL:
                views.append(name)
            elif properties.get_external_count():
                where = properties.get_external(0)[0]
                return _elsewhere(path, name, f"stored in the file {_text(where)}"), []
    return None, views


def _problem_of_view(dataset: h5d.DatasetID, path: Path, views: frozenset[Path]) -> str | None:
    """What is wrong with the sources of a virtual dataset: one is gone, or smaller than it was."""
    called = f"{path}: {_text(h5i.get_name(dataset))} is a view (an HDF5 virtual dataset)"
    properties = dataset.get_create_plist()
    n_values, n_mapped = math.prod(dataset.shape), 0
    for number in range(properties.get_virtual_count()):
        given, inside = properties.get_virtual_filename(number), properties.get_virtual_dsetname(number)
        n_taken = properties.get_virtual_vspace(number).get_select_npoints()
        n_mapped += n_taken
        source = path if given == "." else next(filter(Path.is_file, _candidates(path, given)), None)
        if source is None or source in views:
            return f"{called} of {given}, which is not there; put that file beside it, or export it again"
        if source != path and (problem := _problem_of(source, views | {path})):
            return problem
        with h5py.File(source, "r", locking=False) as opened:
            found = opened.get(inside)
            shape = found.shape if isinstance(found, h5py.Dataset) else None
        if not _holds(shape, properties.get_virtual_srcspace(number), n_taken):
            return (
                f"{called} of {inside} in {given}, which is not there or smaller than it was; put the file "
                "there that it was made of, or export it again"
            )
    if n_mapped < n_values:
        return f"{called}, and only {n_mapped} of its {n_values} values are in files; export it again"
    return None


def _holds(shape: tuple[int, ...] | None, taken: h5s.SpaceID, n_taken: int) -> bool:
    """Whether a source of this shape (None if there is none) has the values that are taken of it."""
    if shape is None:
        return False
    if taken.get_select_type() == h5s.SEL_ALL:  # whatever shape it has
        return math.prod(shape) >= n_taken
    last = taken.get_select_bounds()[1]
    return len(last) == len(shape) and all(at < n for at, n in zip(last, shape, strict=True))


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
