"""A process that has imported the packages of Snakemake and of all scripts, and forks itself for each.

    python process.py SOCKET

The packages are imported for the first request. It ends with the process that started it.
"""

import atexit
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress

# As scripts/cellferry/__init__.py, which is not imported: a test may have another copy of it.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "HDF5_EXTFILE_PREFIX": "${ORIGIN}"}

PACKAGES = (
    "annbatch",
    "anndata",
    "h5py",
    "hdf5plugin",
    "isal.igzip",
    "jinja2",
    "matplotlib.figure",
    "numba",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
    "scanpy",
    "scipy.stats",
    "scvi",
    "sklearn.linear_model",
    "snakemake.cli",
    "threadpoolctl",
    "xgboost",
    "zarr",
)


class WarmProcess:
    """Forks for the requests of sitecustomize.py."""

    def __init__(self, address: str) -> None:
        self._starter = os.getppid()
        self._events = selectors.DefaultSelector()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(address)
        self._socket.listen()
        self._events.register(self._socket, selectors.EVENT_READ, self._accept)

    def serve(self) -> None:
        """Serve until the starter has ended."""
        while os.getppid() == self._starter:
            for key, _ in self._events.select(timeout=1):
                key.data()

    def _accept(self) -> None:
        for name in PACKAGES:
            importlib.import_module(name)
        connection, _ = self._socket.accept()
        files = socket.recv_fds(connection, len(b"files"), 3)[1]
        line = connection.makefile().readline()
        fork = os.fork() if line else None  # the client may have been killed
        if fork == 0:
            self._socket.close()
            connection.close()
            work(json.loads(line), files)
        for file in files:
            os.close(file)
        if fork is None:
            return
        connection.sendall(f"{fork}\n".encode())
        ended = os.pidfd_open(fork)

        def send_exit_code() -> None:
            _, status = os.waitpid(fork, 0)
            for opened in (ended, connection):
                self._events.unregister(opened)
            os.close(ended)
            with suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            connection.close()

        def kill() -> None:
            with suppress(ProcessLookupError):
                os.kill(fork, signal.SIGKILL)

        self._events.register(ended, selectors.EVENT_READ, send_exit_code)
        # Readable if the client was killed.
        self._events.register(connection, selectors.EVENT_READ, kill)


def work(request: dict, files: list[int]) -> None:
    """Do the work of the client, and end."""
    code = 1
    try:
        take_over(request, files)
        run(request["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def take_over(request: dict, files: list[int]) -> None:
    """Take over standard streams, environment and folder; run other sitecustomize.py, as Python does."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for folder in os.environ["PYTHONPATH"].split(os.pathsep)[1:]:
        runpy.run_path(os.path.join(folder, "sitecustomize.py"))


def run(arguments: list[str]) -> None:
    """Run a module (after `-m`) or a script."""
    first, *others = arguments
    if first == "-m":
        sys.path[0], sys.argv = os.getcwd(), others
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = os.path.dirname(first), arguments
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    WarmProcess(sys.argv[1]).serve()
