"""Fetch a reference's file into the cache: resumed after interruptions, checked before it is renamed.

Pieces of several attempts are joined without comparing ETags: the registry's checksum shows whether they are
from the right file. If a resumed file does not match, it is fetched again from the start.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from ..core.atomic import complete
from ..core.disk import FULL
from ..core.logs import NO_SPACE
from ..core.problems import Problem, problems_of
from ..core.progress import Progress, print_line
from ..core.text import duration, printable
from ..errors import InputError
from .archive import sha256_of
from .cache import Shelves
from .connection import PassingError, Response, Session, ask, blocks
from .registry import RegistryEntry

ATTEMPTS = 6
"""Consecutive attempts without progress before giving up."""

SECONDS_BEFORE_SECOND = 1.0
"""Waiting time before the second attempt; it doubles before each later one."""

MAX_SECONDS_BETWEEN = 60.0
NEW_BYTES = 1 << 20
"""Bytes that count as progress of an attempt."""

MB = 1_000_000


def fetch(reference: RegistryEntry, shelves: Shelves) -> Path:
    """Fetch and check the file of a reference.

    An existing file is checked; a damaged one in the cache is fetched again. If two processes fetch the same
    file, one waits.

    Returns
    -------
    Its path.

    Raises
    ------
    InputError
        Without a connection, for a file other than the registry describes, or without space in the cache.
    """
    there, cached = shelves.find(reference), shelves.cached(reference)
    if there and there != cached:
        shelves.check(reference, there)
        return there
    if there and _problem_of(reference, shelves) is None:
        return cached
    if reference.address is None:
        what = f"there is no file {reference.path}, its location in {reference.registry}"
        raise InputError(Problem(str(reference), what, "put it there, or correct the registry"))
    with _writing(shelves.cache), _alone(cached.with_name(f".{cached.name}.lock")):
        if cached.exists():
            problem = _problem_of(reference, shelves)
            if problem is None:  # another process has just fetched it
                return cached
            print(f"{problem.statement}: fetching it again")
        part = cached.with_name(f"{cached.name}.part")
        _Download(reference, part).run()
        with complete(cached) as whole:
            os.replace(part, whole)
    return cached


def _problem_of(reference: RegistryEntry, shelves: Shelves) -> Problem | None:
    """The problem of a cached file, if any."""
    try:
        shelves.check(reference, shelves.cached(reference))
    except InputError as error:
        return problems_of(error)[0]
    return None


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    """Create the cache; `InputError` if it cannot be written."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        what, remedy = f"nothing can be written there ({error.strerror})", "give yourself write permission"
        if error.errno in FULL:
            what = f"{NO_SPACE}; the fetched part is kept for the next attempt"
            remedy = "free some space there"
        raise InputError(f"{cache}: {what}; {remedy}, or set references.cache to another folder") from error


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock on a file; the file stays, since waiting processes have it open."""
    with open(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another process that fetches the same file")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            # The checksum would detect a file written by two processes.
            print(f"note: no locks in {lock.parent} ({error.strerror}); do not fetch a file twice at once")
        yield


class _Download:
    """The download of a file to a partial one.

    Parameters
    ----------
    reference
        The reference; it has an address.
    part
        The partial file, possibly from an earlier download.
    """

    def __init__(self, reference: RegistryEntry, part: Path) -> None:
        self._reference, self._part, self._size = reference, part, reference.size

    @property
    def _n_there(self) -> int:
        """Size of the partial file in bytes."""
        return self._part.stat().st_size if self._part.exists() else 0

    def run(self) -> None:
        """Fetch the missing bytes, and check the whole file."""
        while True:
            resumed = self._n_there > 0
            self._check_room()
            self._receive_all()
            digest = sha256_of(self._part)
            if digest == self._reference.sha256:
                return
            self._part.unlink()
            if not resumed:
                raise self._wrong(f"another file (SHA-256 {digest})", self._reference.sha256)
            print("the part from an earlier attempt does not match the rest; fetching from the start")

    def _check_room(self) -> None:
        folder, missing = self._part.parent, self._size - self._n_there
        free = shutil.disk_usage(folder).free
        if free < missing:
            what = f"has {free / MB:,.1f} MB left, but {self._reference} needs {missing / MB:,.1f} MB"
            remedy = "free some space there, or set references.cache to another folder"
            raise InputError(Problem(str(folder), what, remedy))

    def _receive_all(self) -> None:
        """Repeat attempts until the partial file is complete, or there is no progress."""
        largest, failures = self._n_there, 0
        total = ceil(self._size / MB)
        progress = Progress("fetched", total, "MB", already=largest // MB, only_if_long=True)
        with Session() as session:
            while self._n_there < self._size:
                try:
                    self._receive(session, progress)
                except PassingError as error:
                    failures = 1 if self._n_there >= largest + NEW_BYTES else failures + 1
                    largest = max(self._n_there, largest)
                    self._wait(error, failures)

    def _wait(self, error: PassingError, failures: int) -> None:
        """Wait before the next attempt, or stop."""
        reference, there = self._reference, f"{self._n_there / MB:,.1f} of {self._size / MB:,.1f} MB"
        if failures >= ATTEMPTS:
            what = f"{reference.address}: {error}, {failures} times in a row"
            remedy = "try again later (the fetched part is kept), or use a mirror (docs/references.md)"
            raise InputError(Problem(str(reference), what, remedy)) from error
        ours = SECONDS_BEFORE_SECOND * 2 ** (failures - 1)
        seconds = min(ours if error.seconds is None else error.seconds, MAX_SECONDS_BETWEEN)
        print_line(f"{printable(str(error))}; {there} fetched, next attempt in {duration(seconds)}")
        time.sleep(seconds)

    def _receive(self, session: Session, progress: Progress) -> None:
        """Append the body of one response to the partial file."""
        with ask(session, self._reference.address, self._n_there) as response:
            n_bytes = self._start(response)
            with open(self._part, "ab") as file:
                file.truncate(n_bytes)
                for block in blocks(response):
                    n_bytes += len(block)
                    if n_bytes > self._size:
                        self._part.unlink()
                        raise self._wrong(f"more than {self._size:,} bytes", f"{self._size:,}")
                    file.write(block)
                    progress.reach(ceil(n_bytes / MB) if n_bytes == self._size else n_bytes // MB)
        if n_bytes < self._size:
            raise PassingError("the connection ended early")

    def _start(self, response: Response) -> int:
        """The first byte of a response; its length is compared with the registry's."""
        start, length = 0, response.headers.get("Content-Length", "")
        if response.status_code != 200:
            found = re.fullmatch(
                r"bytes ([0-9]{1,18})-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", "")
            )
            if not found or int(found[1]) != self._n_there:
                self._part.unlink(missing_ok=True)
                raise PassingError("the server does not send the rest of the file")
            start, length = int(found[1]), found[2].strip("*")
        if length and length != str(self._size):
            self._part.unlink(missing_ok=True)
            raise self._wrong(f"{length} bytes", f"{self._size:,}")
        return start

    def _wrong(self, found: str, expected: str) -> InputError:
        """The error for a file other than the registry describes."""
        what = f"{self._reference.address} has {found}, but {self._reference.registry} lists {expected}"
        remedy = "nothing was kept; contact the maintainer of the registry"
        return InputError(Problem(str(self._reference), what, remedy))
