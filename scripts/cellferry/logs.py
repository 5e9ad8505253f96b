"""Where a script's output goes: the rule's log file."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import InputError

INPUT_ERROR_EXIT_CODE = 2


@contextmanager
def logged(path: str) -> Iterator[None]:
    """Send everything written below to the log at `path`: Python's and C's output, progress bars, tracebacks.

    The file descriptors themselves are redirected, since HDF5, OpenMP and XGBoost write past `sys.stderr`.
    An `InputError` becomes the last line of the log and one line on the terminal, with exit code 2.
    """
    terminal = os.dup(2)
    with open(path, "w", buffering=1, encoding="utf-8") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        # Line by line, so that a killed job's log holds all it said.
        sys.stdout = sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        try:
            yield
        except InputError as error:
            message = f"error: {error}"
            print(message, flush=True)
            os.write(terminal, f"{message}\n".encode())
            sys.exit(INPUT_ERROR_EXIT_CODE)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
