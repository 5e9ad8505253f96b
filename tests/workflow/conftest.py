"""Runs of the workflow as a user starts them, each in a folder of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def command_line(folder, *arguments, config=None):
    """Command that runs snakemake in `folder`; `config` is written to a file there and named in it."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
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


@pytest.fixture
def run(tmp_path):
    """`snakemake` in a fresh folder; `run.start` does not wait for it."""

    def run_here(*arguments, config=None):
        return snakemake(tmp_path, *arguments, config=config)

    def start(*arguments, config=None):
        command = command_line(tmp_path, *arguments, config=config)
        return subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    run_here.folder = tmp_path
    run_here.start = start
    return run_here
