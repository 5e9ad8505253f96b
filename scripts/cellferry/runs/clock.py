"""Comparison of the machine's clock with the times of files, which decide on repeated jobs.

Imported by the Snakefile: standard library only.
"""

import shlex
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import InputError

TOLERATED_SECONDS = 60
"""Largest usual difference of clocks of machines that share a file system."""


def check_clock(paths: Iterable[str]) -> None:
    """Check that no file has a future date: results made from it would look older.

    Raises
    ------
    InputError
        If a file has; the message contains the command that corrects the times.
    """
    now = time.time()
    times = {}
    for path in set(paths):
        with suppress(OSError):
            times[path] = Path(path).stat().st_mtime
    newest = max(times, key=times.__getitem__, default=None)
    if newest is not None and times[newest] > now + TOLERATED_SECONDS:
        minutes = round((times[newest] - now) / 60)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        where = "results resources" if newest.startswith(("results/", "resources/")) else shlex.quote(newest)
        raise InputError(
            f"{newest} has a time {minutes} minutes in the future: the clock of this machine ({stamp}) is "
            "slow, or another one was fast. Correct this clock and start again; if it is correct, reset the "
            f"files' times: find -L {where} -newermt '{stamp}' -exec touch -d '{stamp}' {{}} +"
        )
