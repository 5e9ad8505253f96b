"""Wait for a SLURM controller that does not answer."""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

import math
import time

from .slurm import ask


class SlurmBackoff:
    """Wait while SLURM is unavailable.

    If the controller or the accounting database is down, a submission fails and is repeated at once: without
    waiting, an outage of a minute ends a run.
    """

    LONGEST_SECONDS = 600
    SECONDS_BETWEEN_QUESTIONS = 10

    def __init__(self) -> None:
        self._had_accounting = False
        self._holds_until = -math.inf

    def wait_until_slurm_answers(self) -> None:
        """Return when SLURM answers (valid for ten seconds), or after ten minutes.

        After ten minutes without an answer, calls return at once for the next ten minutes.
        """
        deadline = time.monotonic() + self.LONGEST_SECONDS
        while time.monotonic() > self._holds_until:
            if self._answers():
                self._holds_until = time.monotonic() + self.SECONDS_BETWEEN_QUESTIONS
            elif time.monotonic() >= deadline:
                self._holds_until = time.monotonic() + self.LONGEST_SECONDS
            else:
                print("SLURM does not answer: waiting for it", flush=True)
                time.sleep(self.SECONDS_BETWEEN_QUESTIONS)

    def _answers(self) -> bool:
        accounting = ask("sacctmgr", "--noheader", "show", "cluster") is not None
        self._had_accounting |= accounting
        # Accounting is optional.
        return ask("sinfo", "--noheader") is not None and (accounting or not self._had_accounting)
