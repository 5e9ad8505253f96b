"""Whether the rules' packages are there when no conda makes an environment for each rule.

Read by the Snakefile, so it imports nothing that a login node with Snakemake alone lacks.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from ..core.project import PROJECT
from ..errors import InputError

ENVIRONMENTS = PROJECT / "envs"


def check_environments(files: Iterable[str]) -> None:
    """Check that the environment snakemake runs in holds what jobs import.

    Parameters
    ----------
    files
        Environment files of their rules.

    Raises
    ------
    InputError
        If packages are missing; the message says the ways to have them.
    """
    missing = sorted(name for name in _pinned(files) if not _is_installed(name))
    if missing:
        raise InputError(
            f"jobs would run in the environment that snakemake runs in, and it lacks {', '.join(missing)}. "
            "Either put conda on the PATH and give --software-deployment-method conda (profiles/slurm does "
            "so then), which makes an environment for each rule; or start snakemake from the environment "
            "that `make demo` makes, which holds everything: .venv/bin/snakemake"
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
