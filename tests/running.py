"""The workflow as a user starts it, in a separate folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
import yte

ROOT = Path(__file__).parents[1]
DYING = ROOT / "tests" / "workflow" / "dying"
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
    """Run snakemake in `folder` and wait for it."""
    command = command_line(folder, *arguments, config=config)
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


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
    return {**os.environ, "PYTHONPATH": str(DYING), "CELLFERRY_DEATHS": str(notes)}
