"""An environment as a user has it on a login node, and in it a conda (tests/stand_in).

Snakemake appends its own environment's packages to those of a script. Started from the environment that
the tests run in, which holds everything, no script would miss a package that its own environment lacks.
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

    Byte code is written: the first import of scvi-tools takes 30 seconds, and every job imports anew.
    """
    dropped = ("CONDA", "PYTHON", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    variables["PATH"] = os.pathsep.join(map(str, [CONDA.parent, programs, os.environ["PATH"]]))
    return variables
