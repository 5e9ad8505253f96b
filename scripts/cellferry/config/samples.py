"""The files of a dataset: one, or several with a sample each.

Imported by the Snakefile: standard library only.
"""

import glob
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ..core.hdf5_links import with_parts
from ..core.mtx_lists import files_beside
from ..core.text import OPENERS
from .formats import TEXT_ENDINGS
from .spatial import counts_in

PACKED_ENDINGS = (".gz", ".bz2", ".xz")

JOB_BYTES = 512 * 1024**2
"""Bytes of a dataset's files per job: some hundred thousand cells."""

MAX_FILES = 1000
"""Maximum number of files in a folder that are listed individually."""

CHUNKS_OF_STORES = 25
"""Chunks of a nested folder, such as a zarr store, whose up to a million files are not measured."""

READ_TO_THE_END = (*OPENERS, b"%%Matrix", b"RDX", b"RDB", b"X\n", b"B\n", b"PK\x03\x04")
"""First bytes of files that are read from start to end: compressed files, R files, text, archives."""


def sample_files(path: str | list[str] | dict[str, str]) -> dict[str, Path]:
    """Files of a dataset by the names of their samples.

    Parameters
    ----------
    path
        As in the configuration: a file or folder, a pattern such as `plates/*.csv.gz`, a list of these, or a
        mapping of sample names to files or folders. A folder of FCS files means these files, an instrument's
        folder (`spatial.counts_in`) the counts in it.

    Returns
    -------
    Paths by sample, a pattern's files in alphabetical order; a single file has the name ``""``. Without given
    names, samples are named by the differing parts of paths, without endings: `run/a/matrix.h5` and
    `run/b/matrix.h5` are `a` and `b`.
    """
    if isinstance(path, dict):
        return {sample: counts_in(Path(file)) or Path(file) for sample, file in path.items()}
    paths = [file for pattern in ([path] if isinstance(path, str) else path) for file in _expanded(pattern)]
    if isinstance(path, str) and paths in ([Path(path)], [counts_in(Path(path))]):
        return {"": paths[0]}
    paths = list(dict.fromkeys(paths))  # patterns may overlap
    return dict(zip(_names(paths), paths, strict=True))


def _expanded(pattern: str) -> list[Path]:
    """The files of a pattern, a folder of FCS files or an instrument's folder."""
    path = Path(pattern)
    if path.is_dir():
        events = sorted(file for file in path.iterdir() if file.suffix.lower() == ".fcs")
        return events or [counts_in(path) or path]
    if glob.has_magic(pattern) and not path.exists():
        return [counts_in(Path(file)) or Path(file) for file in files_that_fit(pattern)]
    return [path]


def files_that_fit(pattern: str) -> list[str]:
    """Paths that match a pattern, in alphabetical order.

    Without a match, existing folders with such a name are not patterns: `plates[1]/*.csv`.
    """
    files = glob.glob(pattern, recursive=True)
    if not files:
        parts = Path(pattern).parts
        there = max((n for n in range(1, len(parts)) if Path(*parts[:n]).exists()), default=0)
        files = glob.glob(
            os.path.join(glob.escape(os.path.join("", *parts[:there])), *parts[there:]), recursive=True
        )
    return sorted(files)


def _names(paths: list[Path]) -> list[str]:
    """Differing parts of paths: without endings if unique, else with endings, else whole paths."""
    for last_part in (_stem, lambda path: path.name):
        names = _differences([(*path.parts[:-1], last_part(path)) for path in paths])
        if len(set(names)) == len(names):
            return names
    return list(map(str, paths))


def _differences(parts: list[tuple[str, ...]]) -> list[str]:
    """Paths without their common first and last parts; the last part of a single path."""
    if len(parts) == 1:
        return [parts[0][-1]]
    while len({some[0] for some in parts}) == 1 and min(map(len, parts)) > 1:
        parts = [some[1:] for some in parts]
    while len({some[-1] for some in parts}) == 1 and min(map(len, parts)) > 1:
        parts = [some[:-1] for some in parts]
    return ["_".join(some) for some in parts]


def _stem(path: Path) -> str:
    """A file's name without the endings of its format."""
    if path.is_dir():
        return path.name
    name = Path(path.name.removesuffix(path.suffix) if path.suffix in PACKED_ENDINGS else path.name)
    return name.stem


def table_files(obs: str | list[str] | None) -> list[Path]:
    """Annotation tables: none, one, or one per file of the dataset, also by patterns."""
    return [file for pattern in ([obs] if isinstance(obs, str) else obs or []) for file in _expanded(pattern)]


def all_files(path: str | list[str] | dict[str, str], *, follow_links: bool = False) -> Iterator[Path]:
    """All files of a dataset, including those in a folder and beside a matrix.mtx.

    With `follow_links` also targets of an HDF5 file's links. For a nested folder (a zarr store can have a
    million files), or one with too many files for Snakemake, only the path.
    """
    for file in sample_files(path).values():
        if file.is_dir():
            inside = list(islice(file.iterdir(), MAX_FILES + 1))
            yield from sorted(inside) if len(inside) <= MAX_FILES else [file]
        else:
            yield from with_parts(file, follow_links=True) if follow_links else [file]
            if ".mtx" in file.suffixes[-2:]:
                yield from files_beside(file)


def conversion_jobs(
    path: str | list[str] | dict[str, str], *, chunks: int, follow_links: bool = False
) -> int:
    """Number of conversion jobs of a dataset, each of which makes some of the chunks.

    One per half a gigabyte; a single one for a file that is read from start to end.
    """
    files = list(sample_files(path).values())
    if len(files) == 1 and _is_read_to_the_end(files[0]):
        return 1
    return min(chunks, _jobs_worth(all_files(path, follow_links=follow_links)))


def automatic_chunks(path: str | list[str] | dict[str, str], *, follow_links: bool = False) -> int:
    """Number of chunks for mapping and prediction: one per half a gigabyte of a dataset's files.

    It is computed without reading the files, so that the dry run shows all jobs.
    """
    files = list(all_files(path, follow_links=follow_links))
    if any(file.is_dir() for file in files):
        return CHUNKS_OF_STORES
    return _jobs_worth(files)


def _jobs_worth(files: Iterable[Path]) -> int:
    size = sum(file.stat().st_size for file in files if file.exists())
    return max(1, -(-size // JOB_BYTES))


def _is_read_to_the_end(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob("*.mtx*"))
    if not path.is_file() or path.suffix.lower() in TEXT_ENDINGS:
        return True
    with open(path, "rb") as file:
        return file.read(8).startswith(READ_TO_THE_END)
