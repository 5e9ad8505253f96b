"""Room on the disks that a run writes to.

Read by the Snakefile, so it imports nothing that a login node with Snakemake alone lacks.
"""

import os
import shutil
from pathlib import Path

from .errors import InputError

LEAST_TEMPORARY_MB = 20


def temporary_folder() -> Path:
    """Where programs write what is not to stay: TMPDIR, or /tmp."""
    return Path(os.environ.get("TMPDIR", "/tmp"))


def check_temporary_folder() -> None:
    """Check that there is room for what is not to stay.

    Raises
    ------
    InputError
        If there is not, or no such folder.
    """
    folder = temporary_folder()
    if not folder.is_dir():
        raise InputError(f"TMPDIR: there is no folder {folder}; make it, or set TMPDIR to another one")
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < LEAST_TEMPORARY_MB:
        raise InputError(
            f"TMPDIR: the file system of {folder} has {free_mb} MB left; free some space there, or set "
            "TMPDIR to a folder elsewhere"
        )


def fullest_folder() -> Path:
    """The folder with least room of those that a job writes to: of the results, or the temporary one."""
    folders = [folder for folder in (Path.cwd(), temporary_folder()) if folder.is_dir()]
    return min(folders, key=lambda folder: shutil.disk_usage(folder).free)
