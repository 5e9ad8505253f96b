"""Checks of the folder for results: writing, locks and space."""

import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path

from .cluster import slurm
from .findings import Finding
from .system import run_command

FEW_GB = 10
MIN_FILES, FEW_FILES = 1000, 100_000


def check_folder(folder: Path) -> list:
    """Check writing, renaming, locks and space in the folder for results."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    where = str(there) if there == folder else f"{there} ({folder.name} will be created there)"
    if not there.is_dir():
        text = f"{there} is a file, not a folder"
        return [Finding("FAILS", "folder", text, "name another: make doctor DIRECTORY=...")]
    if slurm and shutil.which("squeue"):
        jobs = slurm.jobs_in_queue(there)
        if jobs:
            text = f"{len(jobs)} job(s) of an earlier run are in the queue: {', '.join(list(jobs)[:5])}"
            return [Finding("FAILS", "folder", text, "wait until they have ended, or cancel them (scancel)")]
    return [*_writing(there, where), *_locks(there), *_space(there)]


def _writing(folder: Path, where: str) -> list:
    try:
        trial = Path(tempfile.mkdtemp(prefix=".cellferry_doctor_", dir=str(folder)))
        try:
            for name in ("old", "new"):
                with open(str(trial / name), "wb") as file:
                    file.write(b"x" * 2**20)
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(str(trial / "new"), str(trial / "old"))
        finally:
            shutil.rmtree(str(trial), ignore_errors=True)
    except OSError as error:
        remedy = "name another: make doctor DIRECTORY=..., and snakemake --directory"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space or raise your quota, or name another: make doctor DIRECTORY=..."
        return [Finding("FAILS", "folder", f"{where}: {error.strerror}", remedy)]
    return [Finding("ok", "folder", f"{where}: writes, syncs and renames")]


# In a separate process: without a file server's lock daemon, a lock waits forever.
TRY_LOCKS = """
import fcntl, sys
with open(sys.argv[1], "wb") as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(file, fcntl.LOCK_UN)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
TRY_HDF5 = """
import sys
try:
    import h5py
except ImportError:
    sys.exit("no h5py")
h5py.File(sys.argv[1], "w").close()
h5py.File(sys.argv[1], "r").close()
"""


def _locks(folder: Path) -> list:
    said = {}
    try:
        trial = Path(tempfile.mkdtemp(prefix=".cellferry_doctor_", dir=str(folder)))
    except OSError:  # reported by _writing
        return []
    try:
        for name, program in (("flock", TRY_LOCKS), ("HDF5", TRY_HDF5)):
            code, text = run_command(sys.executable, "-c", program, str(trial / name))
            said[name] = "" if code == 0 else (text.strip().splitlines() or [f"ended with {code}"])[-1]
    finally:
        shutil.rmtree(str(trial), ignore_errors=True)
    if said["HDF5"] == "no h5py":
        if said["flock"]:
            text = f"{said['flock']}: HDF5 files may fail to open"
            return [Finding("note", "locks", text, "export HDF5_USE_FILE_LOCKING=FALSE, before each run")]
        return [Finding("ok", "locks", "flock and fcntl work (HDF5 not tested: no h5py)")]
    if said["HDF5"]:
        text = f"HDF5 files cannot be opened here ({said['HDF5']})"
        return [Finding("FAILS", "locks", text, "export HDF5_USE_FILE_LOCKING=FALSE, before each run")]
    if said["flock"]:
        return [Finding("note", "locks", f"{said['flock']}; HDF5 files open anyway")]
    return [Finding("ok", "locks", "flock, fcntl and HDF5 locks work")]


def _space(folder: Path) -> list:
    there = os.statvfs(str(folder))
    free_mb = there.f_bavail * there.f_frsize // 2**20
    min_mb = slurm.MIN_FREE_MB if slurm else 500
    free = f"{free_mb / 1024:.0f} GB" if free_mb >= FEW_GB * 1024 else f"{free_mb} MB"
    remedy = "free some space, or name another folder: make doctor DIRECTORY=..."
    if free_mb < min_mb:
        findings = [Finding("FAILS", "disk", f"{free} free", remedy)]
    elif free_mb < FEW_GB * 1024:
        findings = [Finding("note", "disk", f"{free} free", "make plan estimates the need of a run")]
    else:
        findings = [Finding("ok", "disk", f"{free} free (quotas are not checked)")]
    if there.f_files:  # some file systems report 0
        status = "FAILS" if there.f_favail < MIN_FILES else "note" if there.f_favail < FEW_FILES else "ok"
        text = f"room for {there.f_favail} more (inodes)"
        findings.append(Finding(status, "files", text, "" if status == "ok" else remedy))
    return findings
