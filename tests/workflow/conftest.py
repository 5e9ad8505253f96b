"""Runs of the workflow as a user starts them, each in a folder of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def snakemake(folder, *arguments, config=None):
    """Run snakemake in `folder`; `config` is written to a file there and named on the command line."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
    ]
    if config is not None:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        command += ["--configfile", str(path)]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def run(tmp_path):
    """`snakemake` in a fresh folder."""

    def start(*arguments, config=None):
        return snakemake(tmp_path, *arguments, config=config)

    start.folder = tmp_path
    return start
