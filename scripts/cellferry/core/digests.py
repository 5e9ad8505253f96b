"""Digests of results: each job compares its inputs with the records that their jobs wrote.

Each output of a job has a record, `results/.digests/PATH.json`: size, time and CRC-32 of its files, and the
digests of the results that it was made from. A job checks its inputs against their records before it starts.
This detects flipped bits, missing parts and files of another run, in any format. A result without a record
comes from an earlier version and is read unchecked.

CRC-32 by ISA-L takes a hundredth of the time in which a million cells are gathered. A cryptographic digest
took a twentieth, and would not protect against deliberate changes either, since the record could be rewritten
too.

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
"""Name of the folder of records, within the folder of results."""

RESULTS = Path("results")
"""Folder of this run's results."""

ALWAYS_READ = 64 << 20
"""A larger file (bytes) with unchanged size and time is not read again.

Tens of jobs each read a part of the counts of millions of cells. These have their own checksums, which are
compared while they are read.
"""

BYTES_AT_ONCE = 1 << 20

TIMESTAMP = ".snakemake_timestamp"
"""File that Snakemake writes into a folder to hold the folder's time."""


def check_inputs(paths: Iterable[str], roots: Iterable[str | Path]) -> int:
    """Compare results with their records, and with the results that they were made from.

    Parameters
    ----------
    paths
        Inputs of a job.
    roots
        Folders of results: of this run, and of the earlier run that it continues. Files elsewhere are the
        user's, who may change them.

    Returns
    -------
    The number of inputs that have a record.

    Raises
    ------
    InputError
        If an input is damaged, incomplete, from another run, or made from a different version of another
        result. The next run makes it again.
    """
    results = [path for path in map(Path, paths) if any(path.is_relative_to(root) for root in roots)]
    recorded = [(record, path) for path in results if (record := record_of(path))]
    for record, path in recorded:
        record.check(path)
        record.check_sources()
    return len(recorded)


def record_outputs(outputs: Iterable[str], inputs: Iterable[str]) -> int:
    """Write the records of a job's outputs that are results, with the digests of its inputs.

    Returns
    -------
    Number of records.
    """
    sources = [record for path in inputs if (record := record_of(Path(path)))]
    results = [path for path in map(Path, outputs) if path.is_relative_to(RESULTS)]
    for path in results:
        Record(path, RESULTS).write(sources)
    return len(results)


def follow_touches(outputs: Iterable[str]) -> None:
    """Update the recorded times of large files that Snakemake touched after their records were written.

    Snakemake touches no files within folders.
    """
    for path in map(Path, outputs):
        if path.is_relative_to(RESULTS) and path.is_file() and path.stat().st_size > ALWAYS_READ:
            with suppress(InputError, OSError):  # reported by the job that reads the result
                Record(path, RESULTS).take_time()


@cache
def record_of(path: Path) -> "Record | None":
    """The record of a path, or of the folder around it that was written as a whole, or None."""
    root = next((folder for folder in path.parents if (folder / RECORDS).is_dir()), None)
    if root is None:
        return None
    around = [path, *path.parents][: len(path.relative_to(root).parts)]
    return next((record for each in around if (record := Record(each, root)).exists), None)


class Written(NamedTuple):
    """Size, time and checksum of a file when it was written."""

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
        """True if a file is the one that was written."""
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
        """True if the record was written."""
        return self._file.is_file()

    @cached_property
    def _written(self) -> tuple[dict[str, Written], dict[str, str]]:
        """The files by name (`.` for the result itself), and the digests of the result's sources."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            files = {name: Written(*written) for name, written in content["files"].items()}
            return files, dict(content["made_from"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._refuse(self._file, f"is damaged ({error})")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sizes, checksums and names of the result's files."""
        lines = [f"{each.size} {each.crc32} {name}\n" for name, each in sorted(self._written[0].items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def write(self, sources: Iterable["Record"]) -> None:
        """Read the result and write its record; `sources` are the records of its inputs."""
        files = {name: Written.of(path) for name, path in _files(self.path).items()}
        # Relative to the folder of results, which may be moved.
        self._save(files, {os.path.relpath(source.path, self._root): source.digest for source in sources})

    def take_time(self) -> None:
        """Record the current time of the result, a file."""
        files, made_from = self._written
        time_ns = self.path.stat().st_mtime_ns
        self._save({name: written._replace(time_ns=time_ns) for name, written in files.items()}, made_from)

    def _save(self, files: dict[str, Written], made_from: dict[str, str]) -> None:
        with complete(self._file) as path:
            path.write_text(json.dumps({"files": files, "made_from": made_from}), encoding="utf-8")

    def check(self, path: Path) -> None:
        """Compare the result, or the part of it at `path`, with its record.

        Raises
        ------
        InputError
            If a file is missing, differs, or was not written together with the others.
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
            if not Path(name).name.startswith("."):  # some file systems add hidden files
                self._refuse(there[name], "is of another run: it was not written with the others")

    def check_sources(self) -> None:
        """Compare the recorded digests of the result's sources with the present ones.

        Raises
        ------
        InputError
            If one differs.
        """
        for place, digest in self._written[1].items():
            source = record_of(Path(os.path.normpath(self._root / place)))
            if source and source.digest != digest:
                self._refuse(self.path, f"was made from another version of {source.path}")

    def _refuse(self, file: Path, what: str) -> NoReturn:
        raise InputError(f"{file}: {what}; {make_anew(self.path)}")


def is_of_this_run(path: Path) -> bool:
    """True if a path, in any spelling, is a result of this run."""
    return path.resolve().is_relative_to(RESULTS.resolve())


def make_anew(path: Path) -> str:
    """Mark a result so that the next run makes it again; return a message with what happens or what to do."""
    if not is_of_this_run(path):
        return "copy these results again from an intact source, or repeat the run that made them"
    mark_as_damaged(path)
    return f"{path} is set aside when this run ends, run snakemake again"


def _files(path: Path) -> dict[str, Path]:
    """The files of a folder by name; a file has the name `.`."""
    if not path.is_dir():
        return {".": path}
    files = (file for file in path.rglob("*") if file.is_file() and file.name != TIMESTAMP)
    return {str(file.relative_to(path)): file for file in files}
