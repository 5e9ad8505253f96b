"""Output of a script: the rule's log file, exit codes, input errors."""

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
"""Start of the last message in a log that ends with an input error."""

RETRYABLE_ERROR = "cannot go on: "
"""The same for a `RetryableError`."""

INPUT_ERROR_EXIT_CODE = 2
RETRYABLE_ERROR_EXIT_CODE = 3
SUPERSEDED_EXIT_CODE = 4

PEAK = "peak memory: "
"""Start of the last line of a finished script's log."""

NO_SPACE = "the disk is full or a quota is used up"

RUN = "CELLFERRY_RUN"
"""Environment variable: the id of a run of the workflow, shared by all its jobs."""

COMMAND = "CELLFERRY_COMMAND"
"""Environment variable: the command that started the run. A rule's param would trigger reruns."""


@contextmanager
def logged(path: str) -> Iterator[None]:
    """Write all output of the body to the log at `path`: of Python and of C, with tracebacks.

    On a terminal, long steps also draw a progress bar (`cellferry.core.progress`).

    The file descriptors themselves are redirected, since HDF5, OpenMP and XGBoost bypass `sys.stderr`. An
    `InputError` is written to the end of the log and to the terminal, with exit code 2. If failed jobs are
    retried, the next attempt of the same run ends at once with the same message. A job of a run that was
    replaced by a later one also ends at once (`cellferry.core.run_record`), with exit code 4.
    """
    try:
        check_run_is_current()
    except SupersededError as error:  # the log belongs to another job
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
        # Line by line, so that a killed job's log is complete.
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
            # A full disk has no room for the traceback either.
            with suppress(OSError):
                traceback.print_exc()
            if is_no_space(error):
                _say(f"{NO_SPACE} in {fullest_folder()}: free some, then start snakemake again", terminal)
                # At a normal exit HDF5 would try again to write what did not fit, and crash.
                os._exit(1)
            sys.exit(1)
        finally:
            with suppress(OSError):
                sys.stdout.flush()


def peak_mb() -> int:
    """Peak resident memory of this process (MB), measured by the kernel.

    Snakemake's benchmark samples every 30 seconds and misses short peaks.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)[1]) // 1024


def peak_in(log: str) -> int | None:
    """The peak (MB) in the last line of a finished script's log, or None."""
    match = re.search(rf"^{PEAK}(\d+) MB$", log.strip().rpartition("\n")[2])
    return int(match[1]) if match else None


def is_no_space(error: BaseException) -> bool:
    """True if an error is due to a full disk.

    HDF5 puts the error number into its message, and an error on closing a file becomes a RuntimeError.
    """
    return getattr(error, "errno", None) in FULL or any(os.strerror(number) in str(error) for number in FULL)


def unfinished_logs(folder: str | Path) -> list[tuple[Path, str]]:
    """Logs of jobs that did not finish, each with its input error or last line."""
    unfinished = []
    for path in sorted(Path(folder).rglob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if peak_in(text) is None:
            last = input_error_in(text) or text.strip().rpartition("\n")[2]
            unfinished.append((path, last or "no output: it was killed, or has just begun"))
    return unfinished


def input_error_in(log: str) -> str | None:
    """The message of the input error that a log ends with, or None."""
    _, separator, message = f"\n{log}".rpartition(f"\n{INPUT_ERROR}")
    first, *others = message.strip().split("\n")
    # A list of problems is indented; a traceback after another program's "error:" is not.
    return "\n".join([first, *others]) if separator and all(line.startswith(" ") for line in others) else None


def mistake_of_this_run(log: str | Path) -> str | None:
    """The input error of an earlier attempt of this run, by the rule's log, or None."""
    return _Mistake(str(log)).of_this_run()


def _say(message: str, terminal: int) -> None:
    os.write(terminal, f"{message}\n".encode())
    with suppress(OSError):
        print(message, flush=True)


class _Mistake:
    """The input error of an earlier attempt of this run, if any.

    A file does not change between two attempts, and detecting the error again may take hours. It is stored in
    a file beside the log, since Snakemake removes the log before each attempt.
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
