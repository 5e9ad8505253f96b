"""A comparison of the machine's clock with the times of files, which decide what is made again.

Imported by the Snakefile: standard library only.
"""

import shlex
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import InputError

TOLERATED_SECONDS = 60
"""Clocks of machines that share a file system differ by less."""


def check_clock(paths: Iterable[str]) -> None:
    """Check that no file is dated in the future; results made from it would look older than it.

    Raises
    ------
    InputError
        If one is; the message contains the command that repairs the times.
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
            f"{newest} was written {minutes} minutes from now: the clock of this machine ({stamp}) is "
            "behind, or that of another was ahead. Set the clock right and start again; if it is right, give "
            f"such files one time: find -L {where} -newermt '{stamp}' -exec touch -d '{stamp}' {{}} +"
        )
