"""Check for the rules' packages if conda makes no environment per rule.

Imported by the Snakefile: standard library and yaml only.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from ..core.project import PROJECT
from ..errors import InputError

ENVIRONMENTS = PROJECT / "envs"


def check_environments(files: Iterable[str]) -> None:
    """Check that snakemake's environment contains the packages that jobs import.

    Parameters
    ----------
    files
        Environment files of their rules.

    Raises
    ------
    InputError
        If packages are missing; the message lists the ways to get them.
    """
    missing = sorted(name for name in _pinned(files) if not _is_installed(name))
    if missing:
        raise InputError(
            f"jobs would run in snakemake's own environment, which lacks {', '.join(missing)}. Start "
            ".venv/bin/snakemake (`make demo` installs all packages there), or put conda on the PATH and "
            "give --software-deployment-method conda (as profiles/slurm does), for an environment per rule"
        )


def _pinned(files: Iterable[str]) -> set[str]:
    names = set()
    for path in (ENVIRONMENTS / Path(file).name for file in set(files)):
        *_, last = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
        names |= {pin.partition("==")[0] for pin in last["pip"]}
    return names


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
