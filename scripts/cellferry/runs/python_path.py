"""Folders in PYTHONPATH, whose modules every Python takes before the installed ones: jobs inherit them.

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
"""This package, and modules that are not called like what is installed."""

RUN_AT_THE_START = ("sitecustomize", "usercustomize")
"""Modules that every Python runs. Clusters have some, so they are told and not refused."""

MAX_SAID = 5


def check_python_path() -> None:
    """Check that no folder in PYTHONPATH holds modules of the names that jobs import; print what runs there.

    Raises
    ------
    InputError
        If one does: results would be made by other code than that which is installed.
    """
    imported = NAMED_OTHERWISE | sys.stdlib_module_names | _installed()
    installed = {Path(folder).resolve() for folder in sysconfig.get_paths().values()}
    for folder in map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))):
        if folder.resolve() in installed or folder.resolve().is_relative_to(PROJECT.resolve()):
            continue
        modules = dict(_modules_in(folder))
        for name in modules.keys() & set(RUN_AT_THE_START):
            print(
                f"note: {modules[name]} runs in every job, since PYTHONPATH names its folder", file=sys.stderr
            )
        if found := sorted(modules.keys() & imported):
            listed = ", ".join(found[:MAX_SAID]) + ("" if len(found) <= MAX_SAID else " and others")
            raise InputError(
                f"PYTHONPATH: {folder} holds modules that every job would import in the place of those that "
                f"are installed ({listed}); unset PYTHONPATH, or take the folder out of it, and start again"
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
    """Whether a package has the same files as this one; byte code aside, and what only one of them has."""
    within = installed / INSIDE.name
    pairs = [(file, installed / file.relative_to(PACKAGE)) for file in _files_in(PACKAGE)]
    pairs += [(PROJECT / file.relative_to(within), file) for file in _files_in(within)]
    both = all(here.is_file() and there.is_file() for here, there in pairs)
    return both and all(filecmp.cmp(*pair, shallow=False) for pair in pairs)


def _files_in(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _installed() -> set[str]:
    """Packages of the lock file, as modules are called; none in a copy of what a run needs."""
    lock = PROJECT / "requirements.txt"
    text = lock.read_text(encoding="utf-8") if lock.exists() else ""
    return {name.lower().replace("-", "_") for name in re.findall(r"^([\w-]+)==", text, re.M)}


def _modules_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of the modules and packages in a folder; none if it is not there."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        name, _, ending = entry.name.partition(".")
        is_module = ending in ("py", "pyc") or ending.endswith("so")
        if (is_module and entry.is_file()) or (entry / "__init__.py").is_file():
            yield name, entry
