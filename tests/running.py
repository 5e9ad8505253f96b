"""The workflow as a user starts it, in a separate folder."""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import yaml
import yte

ROOT = Path(__file__).parents[1]
DYING = ROOT / "tests" / "workflow" / "dying"
WARM = ROOT / "tests" / "warm"
MAX_RENAMES = 10


def slurm_profile(**site) -> dict:
    """The SLURM profile as snakemake reads it; `site` changes the variables at its top."""
    text = (ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    for name, value in site.items():
        text, found = re.subn(rf"^  {name}: .*$", f"  {name}: {json.dumps(value)}", text, flags=re.M)
        if found != 1:
            raise KeyError(name)
    return yte.process_yaml(text, require_use_yte=True)


def command_line(folder, *arguments, config=None, program=(sys.executable, "-m", "snakemake")):
    """Command that runs snakemake in `folder`; `config` is written to a file there and named in it."""
    command = [*program, "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += arguments
    if config is not None:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        command += ["--configfile", path]
    return list(map(str, command))


def snakemake(folder, *arguments, config=None, env=None):
    """Run snakemake in `folder` and wait for it; without `env`, in forks of a warm process."""
    return finished(command_line(folder, *arguments, config=config), env=env)


def finished(command, *, env=None, **options):
    """Run a command and wait for it; without `env`, snakemake and its scripts are forks of a warm process."""
    return subprocess.run(command, env=env or warm(), capture_output=True, text=True, check=False, **options)


def warm():
    """Environment in which snakemake and its scripts are forks of a process that has imported their packages.

    Their memory then includes that of all packages.
    """
    return {**os.environ, "PYTHONPATH": str(WARM), "CELLFERRY_WARM": str(_socket_of_warm_process())}


@cache
def _socket_of_warm_process():
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    atexit.register(shutil.rmtree, folder)
    address = folder / "socket"
    subprocess.Popen([sys.executable, WARM / "process.py", address])
    while not address.exists():
        time.sleep(0.01)
    return address


def without_torch():
    """Environment in which Python finds no package for training."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "workflow" / "without_torch")}


def dying(notes, renames):
    """Environment in which scripts are killed once before they rename an output.

    `renames` are the scripts and which of their renames; `notes` is a folder for a note per kill.
    """
    notes.mkdir()
    for script in (ROOT / "scripts").glob("*.py"):
        for rename in ("checkpoint", *range(1, MAX_RENAMES)):
            if rename not in renames.get(script.stem, ()):
                (notes / f"{script.stem}.{rename}").touch()
    return {**warm(), "PYTHONPATH": f"{WARM}{os.pathsep}{DYING}", "CELLFERRY_DEATHS": str(notes)}
