"""Parts of an HDF5 file in other files: external links, external raw values, sources of virtual datasets.

Imported by the Snakefile too, so h5py is imported only where it is needed.
"""

import math
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple


class Pointer(NamedTuple):
    """An object of a file whose content is in another file.

    Attributes
    ----------
    name
        Name of the link or array.
    target
        Path of the other file, as given in this file.
    inside
        Object in the other file that a link points to; None for an array, whose values are raw bytes.
    n_bytes
        End of an array's values in the other file; 0 for a link.
    """

    name: bytes
    target: str
    inside: str | None
    n_bytes: int = 0

    def __str__(self) -> str:
        if self.inside is None:
            return f"/{as_text(self.name)} is stored in the file {self.target}"
        return f"/{as_text(self.name)} is a link to {self.inside} in the file {self.target}"


class Pointers(NamedTuple):
    """All objects of a file whose content is in other files.

    Attributes
    ----------
    elsewhere
        External links, and arrays in external storage.
    views
        Names of the virtual datasets.
    sources
        Existing source files of the virtual datasets.
    """

    elsewhere: list[Pointer]
    views: list[bytes]
    sources: list[Path]


def pointers(path: Path) -> Pointers:
    """Search an HDF5 file for parts in other files; cached until the file changes.

    The whole file is searched: a link that is not followed may be the target of one that is.

    Raises
    ------
    OSError, RuntimeError
        If it is broken.
    """
    stat = path.stat()
    return _pointers(path, (stat.st_size, stat.st_mtime_ns))


def with_parts(path: Path, *, follow_links: bool) -> Iterator[Path]:
    """Yield a file and all files with parts of it, each once, before it is opened.

    Sources of virtual datasets are always included, other linked files of its folder if `follow_links` is
    true. A broken file yields only itself.
    """
    waiting, seen = [path], set()
    while waiting:
        file = waiting.pop(0)
        if (real := os.path.realpath(file)) not in seen:
            seen.add(real)
            yield file
            waiting += _parts(file, follow_links=follow_links)


def beside(path: Path, target: str) -> Path | None:
    """The file that a pointer in `path` leads to, or None if it is outside the folder of `path`.

    Symlinks are resolved, both for `path` and for the target. The target need not exist.
    """
    given, near = Path(target), (path.resolve() if path.is_symlink() else path).parent
    folder = os.path.realpath(near)  # raises no error for circular links
    is_near = os.path.realpath(given.parent) == folder if given.is_absolute() else given.parent == Path()
    if not given.name or not is_near:
        return None
    found = near / given.name
    return found if os.path.dirname(os.path.realpath(found)) == folder else None


def candidates(path: Path, source: str) -> Iterator[Path]:
    """Paths at which HDF5 searches for the source of a virtual dataset."""
    yield from (folder / source for folder in (path.parent, path.resolve().parent, Path()))


def as_text(name: bytes | str) -> str:
    """A name in an HDF5 file as text; most are UTF-8."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _parts(path: Path, *, follow_links: bool) -> list[Path]:
    """The files that a file points to directly."""
    import h5py

    if not (path.is_file() and h5py.is_hdf5(path)):
        return []
    try:
        found = pointers(path)
    except (OSError, RuntimeError, ValueError, KeyError):  # reported by the file's reader
        return []
    linked = [beside(path, pointer.target) for pointer in found.elsewhere] if follow_links else []
    return [file for file in [*linked, *found.sources] if file is not None and file.is_file()]


@lru_cache(maxsize=256)
def _pointers(path: Path, state: tuple[int, int]) -> Pointers:
    """See `pointers`; `state` invalidates the cache when the file changes."""
    import h5py
    from h5py import h5d, h5l, h5o

    links: list[bytes] = []
    datasets: list[bytes] = []

    def look_at_link(name: bytes, info: Any) -> None:
        if info.type == h5l.TYPE_EXTERNAL:
            links.append(name)

    def look_at_object(name: bytes, info: Any) -> None:
        if info.type == h5o.TYPE_DATASET:
            datasets.append(name)

    found = Pointers([], [], [])
    with h5py.File(path, "r", locking=False) as file:
        file.id.links.visit(look_at_link, info=True)
        for name in links:
            target, inside = map(as_text, file.id.links.get_val(name))
            found.elsewhere.append(Pointer(name, target, inside))
        h5o.visit(file.id, look_at_object, info=True)
        for name in datasets:
            dataset = h5d.open(file.id, name)
            properties = dataset.get_create_plist()
            if properties.get_layout() == h5d.VIRTUAL:
                found.views.append(name)
                found.sources.extend(_sources(path, properties))
            elif properties.get_external_count():
                found.elsewhere.extend(_in_raw_files(name, dataset, properties))
    return found


def _sources(path: Path, properties: Any) -> Iterator[Path]:
    """Source files of a virtual dataset, without the file itself."""
    given = {properties.get_virtual_filename(number) for number in range(properties.get_virtual_count())}
    found = (next(filter(Path.is_file, candidates(path, name)), None) for name in sorted(given - {"."}))
    yield from filter(None, found)


def _in_raw_files(name: bytes, dataset: Any, properties: Any) -> Iterator[Pointer]:
    """Files with an array's raw bytes, in order."""
    left = math.prod(dataset.shape) * dataset.get_type().get_size()
    for number in range(properties.get_external_count()):
        target, offset, size = properties.get_external(number)
        taken = min(left, size)
        yield Pointer(name, as_text(target), None, offset + taken)
        left -= taken
