"""Problems of the paths in a configuration.

Imported by the Snakefile: standard library only.
"""

import errno
import os
import stat
from pathlib import Path

from ..core.problems import Problem
from ..core.text import special_kind


def path_problem(path: str | Path, *, folders: bool = True) -> Problem | None:
    """The problem of a path that cannot be read, without a `where`; None for a readable path.

    Parameters
    ----------
    path
        A file or folder. Files directly in a folder are checked as well.
    folders
        True if folders are allowed.
    """
    path = Path(path)
    kind = "file or folder" if folders else "file"
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _folder_problem(path) if folders else Problem("", f"{path} is a folder", "name a file")
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            what = f"{path} is a link to {os.readlink(path)}, which does not exist"
            return Problem("", what, "correct the path")
        return Problem("", f"there is no {kind} {path} (looked in {Path.cwd()})", "correct the path")
    except PermissionError:
        return Problem("", f"{path} is in a folder without access", "get permission from its owner")
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Problem("", f"{path} is a link that leads back to itself", "correct the path")
        return Problem("", f"{path}: {error.strerror}", "correct the path")
    if special_kind(path):
        return Problem("", f"{path} is neither a file nor a folder", "correct the path")
    if not os.access(path, os.R_OK):
        return Problem("", f"{path} is not readable", "get read permission from its owner")
    return None


def _folder_problem(path: Path) -> Problem | None:
    if not os.access(path, os.R_OK | os.X_OK):
        remedy = "get permission from its owner to read and enter it"
        return Problem("", f"the folder {path} is not readable", remedy)
    entries = sorted(path.iterdir())
    if not entries:
        return Problem("", f"the folder {path} is empty", "correct the path")
    for entry in entries:
        if entry.exists() and special_kind(entry):
            return Problem("", f"{entry} is neither a file nor a folder", "remove it from the folder")
    unreadable = [entry for entry in entries if entry.is_file() and not os.access(entry, os.R_OK)]
    if unreadable:
        return Problem("", f"{unreadable[0]} is not readable", "get read permission from its owner")
    return None
