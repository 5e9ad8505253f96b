"""What of an HDF5 file lies in other files: links to these, raw values in them, sources of views.

Read by the Snakefile too, so h5py is imported where it is needed.
"""

import math
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple


class Pointer(NamedTuple):
    """A place in a file whose content another file holds.

    Attributes
    ----------
    name
        Of the link or array.
    target
        The other file, as the file has it.
    inside
        What of the other file a link leads to; None of an array, whose values are bytes of that file.
    n_bytes
        Where in the other file an array's values end; 0 of a link.
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
    """All places of a file whose content others hold.

    Attributes
    ----------
    elsewhere
        External links, and arrays in external storage.
    views
        Names of the virtual datasets.
    sources
        The files that these look at, as far as they are there.
    """

    elsewhere: list[Pointer]
    views: list[bytes]
    sources: list[Path]


def pointers(path: Path) -> Pointers:
    """Look through an HDF5 file, once as long as it does not change.

    The whole file: a link that is not followed may be the target of one that is.

    Raises
    ------
    OSError, RuntimeError
        If it is broken.
    """
    stat = path.stat()
    return _pointers(path, (stat.st_size, stat.st_mtime_ns))


def with_parts(path: Path, *, follow_links: bool) -> Iterator[Path]:
    """Yield a file, and all files that hold parts of it and are read; each once, and before it is opened.

    Sources of views in any case, and what else it points to in its folder if `follow_links` says so. A
    broken file yields no others.
    """
    waiting, seen = [path], set()
    while waiting:
        file = waiting.pop(0)
        if (real := os.path.realpath(file)) not in seen:
            seen.add(real)
            yield file
            waiting += _parts(file, follow_links=follow_links)


def beside(path: Path, target: str) -> Path | None:
    """The file that a pointer in `path` leads to; None unless it is in the folder that `path` itself is in.

    Symlinks count as what they lead to, both of `path` and of the target, which need not be there.
    """
    given, near = Path(target), (path.resolve() if path.is_symlink() else path).parent
    folder = os.path.realpath(near)  # raises nothing of links that lead back to themselves
    is_near = os.path.realpath(given.parent) == folder if given.is_absolute() else given.parent == Path()
    if not given.name or not is_near:
        return None
    found = near / given.name
    return found if os.path.dirname(os.path.realpath(found)) == folder else None


def candidates(path: Path, source: str) -> Iterator[Path]:
    """Where HDF5 looks for the source of a view."""
    yield from (folder / source for folder in (path.parent, path.resolve().parent, Path()))


def as_text(name: bytes | str) -> str:
    """A name in an HDF5 file, which is UTF-8 in most."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _parts(path: Path, *, follow_links: bool) -> list[Path]:
    """The files that a file itself points to."""
    import h5py

    if not (path.is_file() and h5py.is_hdf5(path)):
        return []
    try:
        found = pointers(path)
    except (OSError, RuntimeError, ValueError, KeyError):  # said in full where it is read
        return []
    linked = [beside(path, pointer.target) for pointer in found.elsewhere] if follow_links else []
    return [file for file in [*linked, *found.sources] if file is not None and file.is_file()]


@lru_cache(maxsize=256)
def _pointers(path: Path, state: tuple[int, int]) -> Pointers:
    """See `pointers`; `state` tells a file that was changed."""
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
    """Files that a virtual dataset looks at, its own left out."""
    given = {properties.get_virtual_filename(number) for number in range(properties.get_virtual_count())}
    found = (next(filter(Path.is_file, candidates(path, name)), None) for name in sorted(given - {"."}))
    yield from filter(None, found)


def _in_raw_files(name: bytes, dataset: Any, properties: Any) -> Iterator[Pointer]:
    """Files that hold an array's bytes, one after another."""
    left = math.prod(dataset.shape) * dataset.get_type().get_size()
    for number in range(properties.get_external_count()):
        target, offset, size = properties.get_external(number)
        taken = min(left, size)
        yield Pointer(name, as_text(target), None, offset + taken)
        left -= taken
