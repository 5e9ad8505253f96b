"""A user's environment on a login node, with a conda (tests/stand_in).

Snakemake appends its own environment's packages to those of a script. The environment of the tests contains
everything, and would hide packages that the environment of a script lacks.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONDA = ROOT / "tests" / "stand_in" / "bin" / "conda"


def make_launcher(folder: Path) -> Path:
    """Make the environment of environment.yaml in `folder`; returns its folder of programs."""
    prefix = Path(folder) / "launcher"
    arguments = ["env", "create", "--file", ROOT / "environment.yaml", "--prefix", prefix]
    subprocess.run([sys.executable, CONDA, *arguments], check=True)
    return prefix / "bin"


def launcher_variables(programs: Path) -> dict[str, str]:
    """Environment variables of a shell in which the launcher is active and nothing else of Python or conda.

    Byte code is written: the first import of scvi-tools takes 30 seconds, and every job imports it.
    """
    dropped = ("CONDA", "PYTHON", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    variables["PATH"] = os.pathsep.join(map(str, [CONDA.parent, programs, os.environ["PATH"]]))
    return variables


class Launcher:
    """Starts snakemake on a login node's environment; all runs share the rules' environments."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = make_launcher(folder)
        self.variables = launcher_variables(self.programs)

    def command(self, *command, cwd=None):
        return subprocess.run(
            list(map(str, command)), cwd=cwd, env=self.variables, capture_output=True, text=True, check=False
        )

    def snakemake(self, folder, *arguments, project=ROOT):
        where = ["--snakefile", project / "Snakefile", "--directory", folder]
        conda = ["--software-deployment-method", "conda", "--conda-prefix", self.folder / "conda"]
        config = ["--cores", "2", "--configfile", project / "config" / "config.yaml"]
        return self.command(self.programs / "snakemake", *where, *conda, *arguments, *config)
