"""What a job reads is what another wrote: a digest of every result, compared before it is read.

Beside the results lies a record of each output of a job, `results/.digests/PATH.json`: size, time and CRC-32
of its files, and the digests of the results that it was made from. A job compares its inputs with their
records before it begins. So a flipped bit, a missing piece, and a file of another run in the place of one
are noticed, whatever format they have. A result without a record was written by an earlier version; it is
read as it is.

A cryptographic digest took a twentieth of the time in which a million cells are gathered, and would keep
nobody who means harm from writing another record; CRC-32 by ISA-L takes a hundredth.

Imported by the Snakefile, whose environment may lack ISA-L: standard library only otherwise.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..errors import InputError
from .atomic import complete, mark_as_damaged

try:
    from isal.isal_zlib import crc32  # three times as fast
except ImportError:
    from zlib import crc32

RECORDS = ".digests"
"""Name of the folder of records, in that of the results."""

RESULTS = Path("results")
"""Folder of the results that this run makes."""

ALWAYS_READ = 64 << 20
"""A larger file (bytes) is taken for the one that was written where size and time are the same.

Tens of jobs read a part each of the counts of millions of cells. Those have checksums besides, which are
compared as they are read.
"""

BYTES_AT_ONCE = 1 << 20

TIMESTAMP = ".snakemake_timestamp"
"""File that Snakemake puts into a folder, and gives the folder's time."""


def check_inputs(paths: Iterable[str], roots: Iterable[str | Path]) -> int:
    """Compare results with what was written, and with what they were made from.

    Parameters
    ----------
    paths
        Inputs of a job.
    roots
        Folders of results: those of this run, and of one that it goes on from. What lies elsewhere belongs to
        the user, who may change it.

    Returns
    -------
    The number of inputs that have a record.

    Raises
    ------
    InputError
        If one is damaged, incomplete, of another run, or made from another result than there is. The next run
        makes it anew.
    """
    results = [path for path in map(Path, paths) if any(path.is_relative_to(root) for root in roots)]
    recorded = [(record, path) for path in results if (record := record_of(path))]
    for record, path in recorded:
        record.check(path)
        record.check_sources()
    return len(recorded)


def record_outputs(outputs: Iterable[str], inputs: Iterable[str]) -> int:
    """Write the records of a job's outputs, as far as they are results, with the digests of its inputs.

    Returns
    -------
    Their number.
    """
    sources = [record for path in inputs if (record := record_of(Path(path)))]
    results = [path for path in map(Path, outputs) if path.is_relative_to(RESULTS)]
    for path in results:
        Record(path, RESULTS).write(sources)
    return len(results)


def follow_touches(outputs: Iterable[str]) -> None:
    """Take over the times of large files that Snakemake has touched since their records were written.

    Of a folder it touches none.
    """
    for path in map(Path, outputs):
        if path.is_relative_to(RESULTS) and path.is_file() and path.stat().st_size > ALWAYS_READ:
            with suppress(InputError, OSError):  # the job that reads the result says what is wrong
                Record(path, RESULTS).take_time()


@cache
def record_of(path: Path) -> "Record | None":
    """The record of a path, or of a folder around it that was written as a whole; None if there is none."""
    root = next((folder for folder in path.parents if (folder / RECORDS).is_dir()), None)
    if root is None:
        return None
    around = [path, *path.parents][: len(path.relative_to(root).parts)]
    return next((record for each in around if (record := Record(each, root)).exists), None)


class Written(NamedTuple):
    """A file as it was written."""

    size: int
    time_ns: int
    crc32: int

    @classmethod
    def of(cls, path: Path) -> "Written":
        """Read a file."""
        checksum = 0
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(BYTES_AT_ONCE):
                checksum = crc32(piece, checksum)
        about = path.stat()
        return cls(about.st_size, about.st_mtime_ns, checksum)

    def is_still(self, path: Path) -> bool:
        """Whether a file is the one that was written."""
        about = path.stat()
        if about.st_size != self.size:
            return False
        is_untouched = self.size > ALWAYS_READ and about.st_mtime_ns == self.time_ns
        return is_untouched or Written.of(path).crc32 == self.crc32


class Record:
    """The record of a result.

    Parameters
    ----------
    path
        The result: a file, or a folder that one job writes.
    root
        The folder of all results.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self._root = path, root
        self._file = root / RECORDS / f"{path.relative_to(root)}.json"

    @property
    def exists(self) -> bool:
        """Whether it was written."""
        return self._file.is_file()

    @cached_property
    def _written(self) -> tuple[dict[str, Written], dict[str, str]]:
        """The files by their names (`.` for the result itself), and the digests of its sources."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            files = {name: Written(*written) for name, written in content["files"].items()}
            return files, dict(content["made_from"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._refuse(self._file, f"is damaged ({error})")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sizes, checksums and names of its files."""
        lines = [f"{each.size} {each.crc32} {name}\n" for name, each in sorted(self._written[0].items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def write(self, sources: Iterable["Record"]) -> None:
        """Read the result, and write the record; `sources` are those of what it was made from."""
        files = {name: Written.of(path) for name, path in _files(self.path).items()}
        # Seen from the folder of results, which may be moved.
        self._save(files, {os.path.relpath(source.path, self._root): source.digest for source in sources})

    def take_time(self) -> None:
        """Note the time that the result, a file, has now."""
        files, made_from = self._written
        time_ns = self.path.stat().st_mtime_ns
        self._save({name: written._replace(time_ns=time_ns) for name, written in files.items()}, made_from)

    def _save(self, files: dict[str, Written], made_from: dict[str, str]) -> None:
        with complete(self._file) as path:
            path.write_text(json.dumps({"files": files, "made_from": made_from}), encoding="utf-8")

    def check(self, path: Path) -> None:
        """Compare the result, or what lies at `path` in it, with what was written.

        Raises
        ------
        InputError
            If a file is missing, differs, or was not written with the others.
        """
        part = path.relative_to(self.path)
        there = {str(part / name): file for name, file in _files(path).items()}
        written = {name: each for name, each in self._written[0].items() if Path(name).is_relative_to(part)}
        for name, each in written.items():
            if name not in there:
                self._refuse(self.path / name, "is missing, and had been written")
            if not each.is_still(there[name]):
                self._refuse(there[name], "was damaged after it had been written, or is of another run")
        for name in there.keys() - written.keys():
            if not Path(name).name.startswith("."):  # file systems have files of their own
                self._refuse(there[name], "is of another run: it was not written with the others")

    def check_sources(self) -> None:
        """Compare the digests of what it was made from with those of what is there.

        Raises
        ------
        InputError
            If one is another.
        """
        for place, digest in self._written[1].items():
            source = record_of(Path(os.path.normpath(self._root / place)))
            if source and source.digest != digest:
                self._refuse(self.path, f"was made from another {source.path} than there is")

    def _refuse(self, file: Path, what: str) -> NoReturn:
        raise InputError(f"{file}: {what}; {make_anew(self.path)}")


def is_of_this_run(path: Path) -> bool:
    """Whether a path is among the results of this run, however it is written."""
    return path.resolve().is_relative_to(RESULTS.resolve())


def make_anew(path: Path) -> str:
    """Mark a result to be made anew by the next run; says so, or what to do where no run of ours makes it."""
    if not is_of_this_run(path):
        return "copy these results again from where they are whole, or run again what made them"
    mark_as_damaged(path)
    return f"{path} is set aside when this run ends, run snakemake again to make it anew"


def _files(path: Path) -> dict[str, Path]:
    """The files of a folder by their names; a file under the name `.`."""
    if not path.is_dir():
        return {".": path}
    files = (file for file in path.rglob("*") if file.is_file() and file.name != TIMESTAMP)
    return {str(file.relative_to(path)): file for file in files}
