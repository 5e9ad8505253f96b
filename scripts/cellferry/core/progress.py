"""Progress of long steps: lines in the log, and a bar on a terminal.

Jobs run in parallel, and several bars would overwrite each other. The one job that holds a lock on the
terminal draws its bar. When it ends, the next job with progress to report takes the lock.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .text import duration

SECONDS_BETWEEN_LINES = 30
SECONDS_BETWEEN_BARS = 0.5
BAR_WIDTH = 20


class Progress:
    """Reports the progress of a step: units done, rate, remaining time.

    The log gets a line after the first piece of work, one every half minute, and one at the end.

    Parameters
    ----------
    done
        Past participle of the work, such as `mapped`.
    total
        Number of units; None if unknown.
    unit
        Name of the units, in the plural.
    at_most
        True if the step may end before `total`.
    already
        Units done by an earlier job.
    only_if_long
        True if steps shorter than half a minute print nothing, as there may be thousands.
    clock
        Monotonic clock in seconds.
    """

    def __init__(
        self,
        done: str,
        total: int | None,
        unit: str = "cells",
        *,
        at_most: bool = False,
        already: int = 0,
        only_if_long: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._done, self._total, self._unit, self._at_most = done, total, unit, at_most
        self._n, self._already = already, already
        self._note = ""
        self._clock = clock
        self._began = clock()
        self._first_line = self._began + (SECONDS_BETWEEN_LINES if only_if_long else 0)
        self._next_line = self._first_line
        self._next_bar = self._began + SECONDS_BETWEEN_BARS
        self._ended = False

    def add(self, n: int, note: str = "") -> None:
        """Count `n` more units; a `note` is appended to all further lines."""
        self.reach(self._n + n, note)

    def reach(self, n: int, note: str = "") -> None:
        """Set the number of units done so far; see `add`."""
        self._n = n
        self._note = note or self._note
        if self._n == self._total and not self._at_most:
            self.end()
            return
        now = self._clock()
        if now >= self._next_line:
            print_line(self.line())
            self._next_line = now + SECONDS_BETWEEN_LINES
        if _screen and now >= self._next_bar:
            _screen.draw(self._share, self._shortly)
            self._next_bar = now + SECONDS_BETWEEN_BARS

    def end(self) -> None:
        """Print the summary; not needed if exactly `total` units were done."""
        if self._ended:
            return
        self._ended = True
        if _screen:
            _screen.clear()
        if self._clock() < self._first_line:
            return
        summary = f"{self._done} {self._n:,} {self._unit} in {duration(self._seconds)}, {self._rate}"
        print_line(f"{summary}{self._noted}")

    def line(self) -> str:
        """The current progress as a line of text."""
        if self._share is None:
            return f"{self._done} {self._n:,} {self._unit}, {self._rate}{self._noted}"
        at_most = "at most " if self._at_most else ""
        return (
            f"{self._done} {self._n:,} of {at_most}{self._total:,} {self._unit} ({100 * self._share:.1f} %), "
            f"{self._rate}, {self._left}{self._noted}"
        )

    @property
    def _shortly(self) -> str:
        """A short form, for the text beside a bar."""
        if self._share is None:
            return f"{self._n:,} {self._unit}, {self._rate}"
        return f"{100 * self._share:.0f} %, {self._left}, {self._rate}"

    @property
    def _left(self) -> str:
        left = (self._total - self._n) * self._seconds / max(self._n - self._already, 1)
        return f"{'at most ' if self._at_most else ''}{duration(left)} left"

    @property
    def _share(self) -> float | None:
        """Done share of the total; None if the total is unknown or was exceeded."""
        return self._n / self._total if self._total and self._n <= self._total else None

    @property
    def _seconds(self) -> float:
        return max(self._clock() - self._began, 1e-3)

    @property
    def _rate(self) -> str:
        rate = float(f"{(self._n - self._already) / self._seconds:.3g}")
        return f"{rate:,.0f} {self._unit}/s" if rate >= 100 else f"{rate:g} {self._unit}/s"

    @property
    def _noted(self) -> str:
        return f"; {self._note}" if self._note else ""


def print_line(text: str) -> None:
    """Print a line; on a terminal (of a command, not of a job) it overwrites the bar."""
    print(f"{text}\x1b[K" if _screen and sys.stdout.isatty() else text)


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Print the start of a step that cannot be counted, and at its end the time it took."""
    print(step)
    began = time.monotonic()
    yield
    print(f"{step}: {duration(time.monotonic() - began)}")


class _Screen:
    """The last line of a terminal, where one job at a time draws.

    Parameters
    ----------
    terminal
        Path of its device.
    name
        Text before the bar.
    """

    def __init__(self, terminal: str, name: str) -> None:
        # Opened again: a lock belongs to an open file, and all jobs share one stderr.
        self._device = os.open(terminal, os.O_WRONLY | os.O_NOCTTY)
        self._name = name
        self._mine = False

    def draw(self, share: float | None, text: str) -> None:
        """Draw the bar unless another job does; the cursor stays at the start of the line."""
        with suppress(OSError):  # another job's, or the terminal is gone
            if not self._mine:
                fcntl.flock(self._device, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._mine = True
            filled = round(BAR_WIDTH * (share or 0))
            bar = f"{self._name} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {text}"
            width = os.get_terminal_size(self._device).columns or 80
            os.write(self._device, f"\r{bar[: width - 1]}\x1b[K\r".encode())

    def clear(self) -> None:
        """Remove the bar and release the terminal."""
        if self._mine:
            with suppress(OSError):
                os.write(self._device, b"\r\x1b[K")
                fcntl.flock(self._device, fcntl.LOCK_UN)
            self._mine = False

    def close(self) -> None:
        """Remove the bar and close the terminal."""
        self.clear()
        os.close(self._device)


_screen: _Screen | None = None


@contextmanager
def watched(stderr: int, log: str) -> Iterator[None]:
    """Draw bars while a script runs, if its output is a terminal.

    Parameters
    ----------
    stderr
        File descriptor of the original stderr, before its redirection to the log.
    log
        Path of the rule's log; the part after `logs/` is the job's name.
    """
    global _screen
    if os.isatty(stderr) and os.environ.get("TERM", "dumb") != "dumb":
        with suppress(OSError):  # a terminal that cannot be opened again
            # A rule of a single job has a log of its own name.
            parts = dict.fromkeys(Path(log).with_suffix("").parts[1:])
            _screen = _Screen(os.ttyname(stderr), "/".join(parts))
    try:
        yield
    finally:
        if _screen:
            _screen.close()
        _screen = None
