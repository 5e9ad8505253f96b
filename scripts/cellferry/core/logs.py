"""Where a script's output goes: the rule's log file."""

import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError, RetryableError, SupersededError
from .atomic import complete
from .disk import FULL, fullest_folder
from .progress import watched
from .run_record import check_run_is_current

INPUT_ERROR = "error: "
"""How the end of a log begins when the user's input is at fault."""

RETRYABLE_ERROR = "cannot go on: "
"""The same, where another attempt may find things otherwise."""

INPUT_ERROR_EXIT_CODE = 2
RETRYABLE_ERROR_EXIT_CODE = 3
SUPERSEDED_EXIT_CODE = 4

PEAK = "peak memory: "
"""How the last line of a finished script's log begins."""

NO_SPACE = "the disk is full or a quota is used up"

RUN = "CELLFERRY_RUN"
"""Environment variable: the id of a run of the workflow, the same for all its jobs."""

COMMAND = "CELLFERRY_COMMAND"
"""Environment variable: the command that started the run. As a rule's param it would make results anew."""


@contextmanager
def logged(path: str) -> Iterator[None]:
    """Send everything written below to the log at `path`: Python's and C's output, tracebacks.

    On a terminal, what says how far a step is (`cellferry.core.progress`) draws a bar besides.

    The file descriptors themselves are redirected, since HDF5, OpenMP and XGBoost write past `sys.stderr`.
    An `InputError` becomes the end of the log and is said on the terminal, with exit code 2. Where
    failed jobs are started again, the next attempt of the same run ends at once and says the same. A job
    whose run was replaced by a later one ends at once too (`cellferry.core.run_record`), with exit code 4.
    """
    try:
        check_run_is_current()
    except SupersededError as error:  # the log is another job's now
        print(error, file=sys.stderr)
        sys.exit(SUPERSEDED_EXIT_CODE)
    terminal = os.dup(2)
    mistake = _Mistake(path)
    said_before = mistake.of_this_run()
    with open(path, "w", buffering=1, encoding="utf-8") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        # Line by line, so that a killed job's log holds all it said.
        sys.stdout = sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        try:
            if said_before:
                raise InputError(said_before)
            with watched(terminal, path):
                yield
            print(f"{PEAK}{peak_mb()} MB")
        except SupersededError as error:
            _say(str(error), terminal)
            sys.exit(SUPERSEDED_EXIT_CODE)
        except RetryableError as error:
            _say(f"{RETRYABLE_ERROR}{error}", terminal)
            sys.exit(RETRYABLE_ERROR_EXIT_CODE)
        except InputError as error:
            mistake.note(str(error))
            _say(f"{INPUT_ERROR}{error}", terminal)
            sys.exit(INPUT_ERROR_EXIT_CODE)
        except Exception as error:
            # On a full disk the log cannot take what is said either.
            with suppress(OSError):
                traceback.print_exc()
            if is_no_space(error):
                _say(f"{NO_SPACE} in {fullest_folder()}: free some, then start snakemake again", terminal)
                # At an ordinary end HDF5 tries again to write what found no space, and crashes.
                os._exit(1)
            sys.exit(1)
        finally:
            with suppress(OSError):
                sys.stdout.flush()


def peak_mb() -> int:
    """The most memory that this process has held (resident, MB), as the kernel counts it.

    Snakemake's own benchmark looks every 30 seconds and misses what lies between.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)[1]) // 1024


def peak_in(log: str) -> int | None:
    """The peak (MB) that a finished script's log ends with; None if it ends otherwise."""
    match = re.search(rf"^{PEAK}(\d+) MB$", log.strip().rpartition("\n")[2])
    return int(match[1]) if match else None


def is_no_space(error: BaseException) -> bool:
    """Whether an error says that a disk is full.

    HDF5 hides the number in its message, and what fails when a file is closed becomes a RuntimeError.
    """
    return getattr(error, "errno", None) in FULL or any(os.strerror(number) in str(error) for number in FULL)


def unfinished_logs(folder: str | Path) -> list[tuple[Path, str]]:
    """The logs of jobs that did not come to their end, and the last that each of them says."""
    unfinished = []
    for path in sorted(Path(folder).rglob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if peak_in(text) is None:
            last = input_error_in(text) or text.strip().rpartition("\n")[2]
            unfinished.append((path, last or "nothing: it was ended from outside, or has only begun"))
    return unfinished


def input_error_in(log: str) -> str | None:
    """The message of the input error that a log ends with; None if it ends with anything else."""
    _, separator, message = f"\n{log}".rpartition(f"\n{INPUT_ERROR}")
    first, *others = message.strip().split("\n")
    # A list of problems is indented; a traceback after somebody else's "error:" is not.
    return "\n".join([first, *others]) if separator and all(line.startswith(" ") for line in others) else None


def mistake_of_this_run(log: str | Path) -> str | None:
    """The input error that an earlier attempt of this run ended with, by the rule's log; None if none did."""
    return _Mistake(str(log)).of_this_run()


def _say(message: str, terminal: int) -> None:
    os.write(terminal, f"{message}\n".encode())
    with suppress(OSError):
        print(message, flush=True)


class _Mistake:
    """The input error that an earlier attempt of this run ended with, if one did.

    Nobody mends a file between two attempts, and to find the mistake again may take hours. It is noted beside
    the log: Snakemake removes the log itself before each attempt.
    """

    def __init__(self, log: str) -> None:
        self._path = Path(f"{log}.mistake")
        self._run = os.environ.get(RUN)

    def of_this_run(self) -> str | None:
        if not self._path.exists():
            return None
        noted = json.loads(self._path.read_text(encoding="utf-8"))
        if self._run and noted["run"] == self._run:
            return noted["message"]
        self._path.unlink(missing_ok=True)
        return None

    def note(self, message: str) -> None:
        if self._run:
            with complete(self._path) as path:
                path.write_text(json.dumps({"run": self._run, "message": message}), encoding="utf-8")
