"""Python runs this at its start where this folder is on PYTHONPATH: `scale.py` puts it there.

At the end of a workflow's script a line of JSON goes to the file that CELLFERRY_MEASURED names. Snakemake's
own benchmark looks at a job every 30 seconds: it knows neither the CPU seconds of a short job nor what came
from the page cache.
"""

import atexit
import json
import os
import resource
import sys


def usage() -> dict[str, float]:
    """CPU seconds that this process used so far, and MB that it read and wrote, cached or not."""
    with open("/proc/self/io", encoding="ascii") as file:
        io = dict(line.split(": ") for line in file.read().splitlines())
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_seconds": own.ru_utime + own.ru_stime,
        "read_mb": int(io["rchar"]) / 1e6,
        "written_mb": int(io["wchar"]) / 1e6,
    }


def note(path: str) -> None:
    """Append what the job used, under the name of its log, if this process is a script of the workflow."""
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if hasattr(job, "rule"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"log": job.log[0], **usage()}) + "\n")


if "CELLFERRY_MEASURED" in os.environ:
    atexit.register(note, os.path.abspath(os.environ["CELLFERRY_MEASURED"]))
