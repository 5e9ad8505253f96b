"""How far a long step is: a line in the log now and then, and a bar where a terminal watches.

Jobs run side by side, and bars of several would overwrite each other. So one job at a time draws its bar on a
terminal, the one that holds a lock on it; when it ends, the next one that has something to tell takes over.
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
    """Tells how far a step is, how fast it goes, and how long it will take.

    The log gets a line after the first piece of work, one every half minute, and one at the end.

    Parameters
    ----------
    done
        What is done to the units, such as `mapped`.
    total
        How many units there are; None if that is not known.
    unit
        What is counted, in the plural.
    at_most
        Whether the step may end before `total`.
    already
        Units that an earlier job did.
    only_if_long
        Whether a step of less than half a minute is not worth a line, as there may be thousands of them.
    clock
        Seconds on a clock that never goes back.
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
        """Count `n` more units; `note`, where there is one, stands at the end of lines from now on."""
        self.reach(self._n + n, note)

    def reach(self, n: int, note: str = "") -> None:
        """The same, given how many units there are by now."""
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
        """Say what was done in all; not needed where that is exactly `total`."""
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
        """Where the step is now, in words."""
        if self._share is None:
            return f"{self._done} {self._n:,} {self._unit}, {self._rate}{self._noted}"
        at_most = "at most " if self._at_most else ""
        return (
            f"{self._done} {self._n:,} of {at_most}{self._total:,} {self._unit} ({100 * self._share:.1f} %), "
            f"{self._rate}, {self._left}{self._noted}"
        )

    @property
    def _shortly(self) -> str:
        """The same, to stand beside a bar."""
        if self._share is None:
            return f"{self._n:,} {self._unit}, {self._rate}"
        return f"{100 * self._share:.0f} %, {self._left}, {self._rate}"

    @property
    def _left(self) -> str:
        left = (self._total - self._n) * self._seconds / max(self._n - self._already, 1)
        return f"{'at most ' if self._at_most else ''}{duration(left)} left"

    @property
    def _share(self) -> float | None:
        """None where the total is not known, or was a wrong guess."""
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
    """Print a line; on a terminal, which a command has and no job, over the bar that may stand there."""
    print(f"{text}\x1b[K" if _screen and sys.stdout.isatty() else text)


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Say in the log that a step begins whose parts cannot be counted, and at its end how long it took."""
    print(step)
    began = time.monotonic()
    yield
    print(f"{step}: {duration(time.monotonic() - began)}")


class _Screen:
    """The last line of a terminal, on which one job at a time draws.

    Parameters
    ----------
    terminal
        Path of its device.
    name
        What stands before the bar.
    """

    def __init__(self, terminal: str, name: str) -> None:
        # Opened anew: a lock belongs to what was opened, and a job's stderr is every job's.
        self._device = os.open(terminal, os.O_WRONLY | os.O_NOCTTY)
        self._name = name
        self._mine = False

    def draw(self, share: float | None, text: str) -> None:
        """Draw the bar, if no other job does; the cursor stays at the beginning of its line."""
        with suppress(OSError):  # another job's, or the terminal is gone
            if not self._mine:
                fcntl.flock(self._device, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._mine = True
            filled = round(BAR_WIDTH * (share or 0))
            bar = f"{self._name} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {text}"
            width = os.get_terminal_size(self._device).columns or 80
            os.write(self._device, f"\r{bar[: width - 1]}\x1b[K\r".encode())

    def clear(self) -> None:
        """Wipe the bar away, and leave the terminal to others."""
        if self._mine:
            with suppress(OSError):
                os.write(self._device, b"\r\x1b[K")
                fcntl.flock(self._device, fcntl.LOCK_UN)
            self._mine = False

    def close(self) -> None:
        """End."""
        self.clear()
        os.close(self._device)


_screen: _Screen | None = None


@contextmanager
def watched(stderr: int, log: str) -> Iterator[None]:
    """Draw bars while a script runs, if a terminal watches.

    Parameters
    ----------
    stderr
        File descriptor of what was stderr before it went to the log.
    log
        Path of the rule's log: what follows `logs/` in it is the job's name.
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
