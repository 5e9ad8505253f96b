"""Missing parts of HDF5 files: parts in other files, and parts that were never written.

HDF5 reports neither. It follows links to any file that the user may read, reads raw bytes of any file as
values, and returns zeros for a missing chunk or the missing source of a virtual dataset.
"""

import math
import os
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
from h5py import h5d, h5f, h5i, h5o, h5s

from ..core.hdf5_links import Pointer, as_text, beside, candidates, pointers
from ..core.reading import readable
from ..errors import DamagedPartError, InputError
from .options import Options


def refuse_parts_elsewhere(path: Path, options: Options | None = None) -> None:
    """Raise an `InputError` unless all parts of a file are in it or in allowed places.

    Existing sources of virtual datasets are allowed anywhere. Targets of links and external arrays are
    allowed only in the file's own folder and with `options.follow_links`; without `options` they are refused.
    """
    problem = _problem_of(path, options, frozenset(), set())
    if problem is not None:
        raise InputError(problem)


def unwritten_chunks(dataset: h5py.Dataset) -> tuple[int, int]:
    """Number of a dataset's chunks that were never written, and number of all its chunks."""
    if not dataset.size:
        return 0, 0
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5d.CHUNKED:
        n_chunks = math.prod(-(-n // size) for n, size in zip(dataset.shape, dataset.chunks, strict=True))
        return n_chunks - dataset.id.get_num_chunks(), n_chunks
    is_unwritten = layout == h5d.CONTIGUOUS and dataset.id.get_storage_size() == 0
    return int(is_unwritten), 1


def check_written(array: Any) -> None:
    """Raise a `DamagedPartError` if a part of an HDF5 dataset was never written."""
    n_missing, n_chunks = unwritten_chunks(array) if isinstance(array, h5py.Dataset) else (0, 1)
    if n_missing:
        raise DamagedPartError(
            f"{array.name} has the shape {' × '.join(map(str, array.shape))}, but {n_missing} of its "
            f"{n_chunks} chunks were never written"
        )


def _problem_of(path: Path, options: Options | None, views: frozenset[Path], linked: set[Path]) -> str | None:
    """Message about parts of a file in other places, or None.

    `views` are the files that use it as a source, `linked` the files that were reached by links before.
    """
    found = pointers(path)
    if not found.elsewhere and not found.views:
        return None
    linked.add(path.resolve())
    with h5py.File(path, "r", locking=False) as file:
        problems = chain(
            (_problem_of_pointer(file, path, pointer, options, linked) for pointer in found.elsewhere),
            (_problem_of_view(file[name].id, path, views) for name in found.views),
        )
        return next(filter(None, problems), None)


def _problem_of_pointer(
    file: h5py.File, path: Path, pointer: Pointer, options: Options | None, linked: set[Path]
) -> str | None:
    """Reason why the target of a link or external array is not read; None if it is allowed completely."""
    target = beside(path, pointer.target)
    is_there = target is not None and target.is_file()
    if options is None or not options.follow_links:
        other_way = f", or set {options.key('follow_links')} to true" if options and is_there else ""
        return (
            f"{path}: {pointer}, but parts in other files are not read; write everything into one "
            f"file{other_way}"
        )
    if target is None:
        return (
            f"{path}: {pointer}, which is not in the same folder; put it there and refer to it by its name "
            "alone, or write everything into one file"
        )
    if not is_there:
        return f"{path}: {pointer}, which is not there; put that file beside it, or export it again"
    if pointer.inside is None:
        if target.stat().st_size < pointer.n_bytes:  # HDF5 reads zeros there
            return f"{path}: {pointer}, which ends before the values do; copy or export it again"
    elif target.resolve() not in linked:
        with readable(target):
            if problem := _problem_of(target, options, frozenset(), linked):
                return problem
    if _found_in(file, pointer) != path.resolve().parent:
        return f"{path}: {pointer}, where HDF5 finds nothing; put the original file there"
    return None


def _found_in(file: h5py.File, pointer: Pointer) -> Path | None:
    """The folder in which HDF5 itself finds the target of a link or external array, or None.

    Environment variables can add folders that it searches first.
    """
    try:
        found = h5o.open(file.id, pointer.name)
        if pointer.inside is None:
            name = os.path.join(os.fsdecode(found.get_access_plist().get_efile_prefix()), pointer.target)
        else:
            name = os.fsdecode(h5f.get_name(found))
        return Path(name).resolve().parent
    except (KeyError, OSError, RuntimeError):
        return None


def _problem_of_view(dataset: h5d.DatasetID, path: Path, views: frozenset[Path]) -> str | None:
    """Problem of a virtual dataset's sources: one is missing, or smaller than it was."""
    called = f"{path}: {as_text(h5i.get_name(dataset))} is a view (an HDF5 virtual dataset)"
    properties = dataset.get_create_plist()
    n_values, n_mapped = math.prod(dataset.shape), 0
    for number in range(properties.get_virtual_count()):
        given, inside = properties.get_virtual_filename(number), properties.get_virtual_dsetname(number)
        n_taken = properties.get_virtual_vspace(number).get_select_npoints()
        n_mapped += n_taken
        source = path if given == "." else next(filter(Path.is_file, candidates(path, given)), None)
        if source is None or source in views:
            return f"{called} of {given}, which is not there; put that file beside it, or export it again"
        if source != path and (problem := _problem_of(source, None, views | {path}, set())):
            return problem
        with h5py.File(source, "r", locking=False) as opened:
            found = opened.get(inside)
            shape = found.shape if isinstance(found, h5py.Dataset) else None
        if not _holds(shape, properties.get_virtual_srcspace(number), n_taken):
            return (
                f"{called} of {inside} in {given}, which is missing or smaller than it was; put the original "
                "file there, or export it again"
            )
    if n_mapped < n_values:
        return f"{called}, but only {n_mapped} of its {n_values} values are in files; export it again"
    return None


def _holds(shape: tuple[int, ...] | None, taken: h5s.SpaceID, n_taken: int) -> bool:
    """True if a source of this shape (None if missing) contains the values taken from it."""
    if shape is None:
        return False
    if taken.get_select_type() == h5s.SEL_ALL:  # valid for any shape
        return math.prod(shape) >= n_taken
    last = taken.get_select_bounds()[1]
    return len(last) == len(shape) and all(at < n for at, n in zip(last, shape, strict=True))
