"""Free space on the disks that a run writes to.

Imported by the Snakefile: standard library only.
"""

import os
import shutil
from pathlib import Path

from ..errors import InputError

MIN_TEMPORARY_MB = 20


def temporary_folder() -> Path:
    """The folder for temporary files: TMPDIR, or /tmp."""
    return Path(os.environ.get("TMPDIR", "/tmp"))


def check_temporary_folder() -> None:
    """Check that the folder for temporary files exists and has free space.

    Raises
    ------
    InputError
        If it does not.
    """
    folder = temporary_folder()
    if not folder.is_dir():
        raise InputError(f"TMPDIR: there is no folder {folder}; make it, or set TMPDIR to another one")
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < MIN_TEMPORARY_MB:
        raise InputError(
            f"TMPDIR: the file system of {folder} has {free_mb} MB left; free some space there, or set "
            "TMPDIR to a folder elsewhere"
        )


def fullest_folder() -> Path:
    """Of the folders for results and for temporary files, the one with less free space."""
    folders = [folder for folder in (Path.cwd(), temporary_folder()) if folder.is_dir()]
    return min(folders, key=lambda folder: shutil.disk_usage(folder).free)
