"""The workflow as a user starts it, in a folder of its own."""

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def command_line(folder, *arguments, config=None, program=(sys.executable, "-m", "snakemake")):
    """Command that runs snakemake in `folder`; `config` is written to a file there and named in it."""
    command = [*program, "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += arguments
    if config is not None:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        command += ["--configfile", path]
    return list(map(str, command))


def snakemake(folder, *arguments, config=None):
    """Run snakemake in `folder` and wait for it."""
    command = command_line(folder, *arguments, config=config)
    return subprocess.run(command, capture_output=True, text=True, check=False)
