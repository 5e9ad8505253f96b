"""Runs of the workflow as a user starts them, each in a separate folder."""

import subprocess

import pytest
from running import command_line, snakemake


@pytest.fixture
def run(tmp_path):
    """`snakemake` in a new folder; `run.start` does not wait for it."""

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
