"""The machine's clock, beside the times of files: what is made goes by these.

Read by the Snakefile, so it imports nothing that a login node with Snakemake alone lacks.
"""

import shlex
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .errors import InputError

TOLERATED_SECONDS = 60
"""Clocks of machines that share a file system differ by less."""


def check_clock(paths: Iterable[str]) -> None:
    """Check that no file is newer than now: what is made from it would count as older.

    Raises
    ------
    InputError
        If one is; the message says how to go on.
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
