"""Shared parts of the benchmarks: measured processes on one core, and the table of measurements."""

import json
import os
import platform
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
HOOK = ROOT / "benchmarks" / "in_every_job"
TABLE = ROOT / "benchmarks" / "scale.tsv"
PACKAGES = ("snakemake", "anndata", "scvi-tools", "torch", "xgboost", "annbatch", "h5py")

COLUMNS = {
    "ladder": "query cells of the run; its reference has a fifth of them",
    "section": "machine, chain, files or speeds",
    "name": "rule, way or part",
    "of": "query, reference or both",
    "jobs": "number of jobs",
    "cells": "cells worked on, all jobs",
    "cells_per_job": "cells of the largest job",
    "seconds": "wall seconds, all jobs",
    "longest": "wall seconds of the longest job",
    "cpu_seconds": "user and system, all jobs",
    "peak_mb": "largest resident memory of a job (MiB)",
    "read_mb": "MB through reads, cached or not, all jobs",
    "written_mb": "MB through writes, all jobs",
    "mem_mb": "memory requested, one job",
    "outcome": "ok, or the failure; for the machine, its description",
}
PEAK_POLL_SECONDS = 0.02
MIB = 1024**2


def markdown(head: Sequence[object], lines: Sequence[Sequence[object]]) -> str:
    """A table of Markdown; each line ends with a newline."""
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def read_rows() -> pd.DataFrame:
    """All measurements so far."""
    if not TABLE.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(TABLE, sep="\t")


def save_rows(ladder: int, sections: Sequence[str], rows: list[dict]) -> None:
    """Put rows into the table, replacing those of the same sections and number of cells."""
    old = read_rows()
    kept = old[~((old["ladder"] == ladder) & old["section"].isin(sections))]
    new = pd.DataFrame([{"ladder": ladder, **row} for row in rows], columns=list(COLUMNS))
    table = pd.concat([kept, new]) if len(kept) else new
    for column in ("seconds", "longest", "cpu_seconds", "read_mb", "written_mb"):
        table[column] = pd.to_numeric(table[column]).round(3)
    for column in ("ladder", "jobs", "cells", "cells_per_job", "peak_mb", "mem_mb"):
        table[column] = pd.to_numeric(table[column]).round().astype("Int64")
    table = table.sort_values("ladder", kind="stable")
    beside = TABLE.with_suffix(".tmp")
    table.to_csv(beside, sep="\t", index=False)
    beside.replace(TABLE)


def bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def machine() -> str:
    """Processor, memory and versions, without the machine's name."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{datetime.now(UTC):%d %B %Y}, one core of {os.cpu_count()} ({models[0] if models else 'CPU'}), "
        f"{memory:.0f} GiB, no GPU; Python {platform.python_version()}, {versions}"
    )


def available_mb() -> int:
    """Memory available without swapping (MiB)."""
    return _status_mb(Path("/proc/meminfo"), "MemAvailable:") or 0


def on_one_core() -> None:
    """Keep this process and its children on one core; the kernel kills them first if memory is short."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def run_measured(command: Sequence[str | Path], *, limit_mb: int, output: Path | None = None) -> dict:
    """Run a command on one core; return its measurements, with `outcome`.

    Parameters
    ----------
    command
        The command. A last line of JSON, as printed by `measured_inside`, replaces the measurements from
        outside: it leaves out the start of Python.
    limit_mb
        Resident memory at which the process is killed; the outcome is then `out of memory`.
    output
        File for the command's output.
    """
    with tempfile.TemporaryFile("w+b") as printed, tempfile.TemporaryFile("w+b") as errors:
        with open(output, "wb") if output else nullcontext(printed) as target:
            start = time.monotonic()
            child = subprocess.Popen(
                [str(argument) for argument in command],
                stdout=target,
                stderr=errors,
                preexec_fn=on_one_core,
            )
            watch = _Watch(child.pid, limit_mb)
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        watch.join()
        printed.seek(0)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
        lines = printed.read().decode(errors="replace").strip().splitlines()
    found = {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": watch.peak_mb}
    if watch.ended_it or "MemoryError" in said or "bad_alloc" in said or child.returncode == -9:
        return {"peak_mb": max(watch.peak_mb, limit_mb), "outcome": "out of memory"}
    if child.returncode != 0:
        print(said[-3000:], file=sys.stderr)
        return {**found, "outcome": "failed"}
    if lines and lines[-1].startswith('{"seconds"'):
        found |= json.loads(lines[-1])
    return {**found, "outcome": "ok"}


def measured_inside(work: Callable[[], None]) -> None:
    """Do the work, and print its measurements as the last line, for `run_measured`."""
    # By its path: some systems have their own sitecustomize.
    usage = runpy.run_path(str(HOOK / "sitecustomize.py"))["usage"]
    start_mb = _status_mb(Path("/proc/self/status"), "VmRSS:")
    before, start = usage(), time.monotonic()
    work()
    found = {"seconds": time.monotonic() - start, "start_mb": start_mb}
    found |= {key: value - before[key] for key, value in usage().items()}
    found["peak_mb"] = _status_mb(Path("/proc/self/status"), "VmHWM:")
    print(json.dumps(found))


class _Watch(threading.Thread):
    """Peak memory of a process, which is killed above a limit.

    `ru_maxrss` is not used: it includes the parent's memory before `exec`. The address space is not limited:
    torch maps far more than it uses.
    """

    def __init__(self, pid: int, limit_mb: int) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self.ended_it = 0, False
        self._pid, self._limit_mb = pid, limit_mb
        self.start()

    def run(self) -> None:
        status = Path(f"/proc/{self._pid}/status")
        # None after the process has ended: it holds no memory.
        while (peak := _status_mb(status, "VmHWM:")) is not None:
            self.peak_mb = max(self.peak_mb, peak)
            if peak > self._limit_mb:
                self.ended_it = True
                with suppress(ProcessLookupError):
                    os.kill(self._pid, 9)
                return
            time.sleep(PEAK_POLL_SECONDS)


def _status_mb(path: Path, key: str) -> int | None:
    with suppress(OSError):
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) // 1024
    return None
