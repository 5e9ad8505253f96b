"""Folders in PYTHONPATH: jobs inherit them, and their modules replace installed ones.

Imported by the Snakefile: standard library only.
"""

import filecmp
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ..core.project import INSIDE, PACKAGE, PROJECT
from ..errors import InputError
from .versions import versions

NAMED_OTHERWISE = {"cellferry", "yaml", "sklearn", "scvi", "skmisc", "dateutil", "PIL"}
"""This package, and modules with other names than their packages."""

RUN_AT_THE_START = ("sitecustomize", "usercustomize")
"""Modules that every Python runs. Some clusters have them, so they are reported, not refused."""

MAX_SAID = 5


def check_python_path() -> None:
    """Refuse PYTHONPATH folders with modules that jobs import; report modules that always run.

    Raises
    ------
    InputError
        If there is one: results would come from other code than the installed one.
    """
    imported = NAMED_OTHERWISE | sys.stdlib_module_names | _installed()
    installed = {Path(folder).resolve() for folder in sysconfig.get_paths().values()}
    for folder in map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))):
        if folder.resolve() in installed or folder.resolve().is_relative_to(PROJECT.resolve()):
            continue
        modules = dict(_modules_in(folder))
        for name in modules.keys() & set(RUN_AT_THE_START):
            print(
                f"note: {modules[name]} runs in every job, because its folder is in PYTHONPATH",
                file=sys.stderr,
            )
        if found := sorted(modules.keys() & imported):
            listed = ", ".join(found[:MAX_SAID]) + ("" if len(found) <= MAX_SAID else " and others")
            raise InputError(
                f"PYTHONPATH: {folder} contains modules that jobs would import instead of the installed ones "
                f"({listed}); unset PYTHONPATH, or remove the folder from it, and start again"
            )


def check_installed_package() -> None:
    """Check that a cellferry that is installed beside snakemake is this one: jobs import it first.

    Raises
    ------
    InputError
        If it differs in any file.
    """
    found = find_spec(PACKAGE.name)
    for installed in map(Path, (found and found.submodule_search_locations) or ()):
        if installed.resolve() != PACKAGE.resolve() and not _is_this_package(installed):
            version = versions([])["cellferry"]
            raise InputError(
                f"{installed} is installed beside snakemake, differs from the cellferry {version} of this "
                f"workflow ({PROJECT}), and jobs would import it; install the same, or take it out: "
                "pip uninstall cellferry"
            )


def _is_this_package(installed: Path) -> bool:
    """True if a package has all files of this one, and its copies in `project` equal the project's files."""
    within = installed / INSIDE.name
    pairs = [(file, installed / file.relative_to(PACKAGE)) for file in _files_in(PACKAGE)]
    pairs += [(PROJECT / file.relative_to(within), file) for file in _files_in(within)]
    both = all(here.is_file() and there.is_file() for here, there in pairs)
    return both and all(filecmp.cmp(*pair, shallow=False) for pair in pairs)


def _files_in(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _installed() -> set[str]:
    """Module names of the lock file's packages; empty without a lock file."""
    lock = PROJECT / "requirements.txt"
    text = lock.read_text(encoding="utf-8") if lock.exists() else ""
    return {name.lower().replace("-", "_") for name in re.findall(r"^([\w-]+)==", text, re.M)}


def _modules_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of modules and packages in a folder; empty if it is missing."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        name, _, ending = entry.name.partition(".")
        is_module = ending in ("py", "pyc") or ending.endswith("so")
        if (is_module and entry.is_file()) or (entry / "__init__.py").is_file():
            yield name, entry
