"""Snakemake and its scripts as forks of a warm process (process.py), which has imported their packages.

Python runs this first if its folder is the first in PYTHONPATH. Imports take half of the CPU time of small
runs.
"""

import os
import re
import sys

ADDRESS = "CELLFERRY_WARM"
"""Environment variable: the socket of the warm process."""

SCRIPT = re.compile(r"\.snakemake/scripts/tmp\w+\.\w+\.py$")


def wait_for_a_fork(arguments):
    """Exit code of a fork with this process's arguments, environment, folder and standard streams."""
    import json
    import signal
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[ADDRESS])
        socket.send_fds(connection, [b"files"], [0, 1, 2])
        with connection.makefile("rw") as stream:
            request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
            print(json.dumps(request), file=stream, flush=True)
            fork = json.loads(stream.readline())
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda sent, _: os.kill(fork, sent))
            return json.loads(stream.readline())


def end_as_a_fork(arguments):
    """Do nothing else in this process, even if there is no fork."""
    code = 1
    try:
        code = wait_for_a_fork(arguments)
    except BaseException as error:
        print(f"no fork of the warm process: {error!r}", file=sys.stderr)
    os._exit(code if code >= 0 else 128 - code)  # as a shell's of a killed program


arguments = sys.orig_argv[1:]
if ADDRESS in os.environ and (arguments[:2] == ["-m", "snakemake"] or SCRIPT.search(arguments[0])):
    end_as_a_fork(arguments)
