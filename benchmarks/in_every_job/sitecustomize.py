"""Measure every job: Python runs this at its start, since `scale.py` puts this folder on PYTHONPATH.

At the end of a workflow's script a line of JSON is appended to the file named by CELLFERRY_MEASURED.
Snakemake's own benchmark samples a job every 30 seconds: it lacks CPU seconds of short jobs and reads from
the page cache.
"""

import atexit
import json
import os
import resource
import sys


def usage() -> dict[str, float]:
    """CPU seconds of this process, and MB that it read and wrote, cached or not."""
    with open("/proc/self/io", encoding="ascii") as file:
        io = dict(line.split(": ") for line in file.read().splitlines())
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_seconds": own.ru_utime + own.ru_stime,
        "read_mb": int(io["rchar"]) / 1e6,
        "written_mb": int(io["wchar"]) / 1e6,
    }


def note(path: str) -> None:
    """Append the job's usage, with the name of its log, if this process is a script of the workflow."""
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if hasattr(job, "rule"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"log": job.log[0], **usage()}) + "\n")


if "CELLFERRY_MEASURED" in os.environ:
    atexit.register(note, os.path.abspath(os.environ["CELLFERRY_MEASURED"]))
