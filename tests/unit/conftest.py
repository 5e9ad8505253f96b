"""Programs and SLURM commands of a simulated machine."""

import shutil

import pytest
from machines import SINFO


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Function that puts a shell script on a PATH with a few basic programs only."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "sleep", "hostname"):
        (folder / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(folder))

    def add(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return add


@pytest.fixture
def cluster(programs):
    """SLURM's commands, all answering; the same function as `programs`."""
    programs("sbatch", "echo slurm 23.11.4")
    programs("sinfo", f"cat <<'END'\n{SINFO}\nEND")
    programs("squeue", "true")
    programs("sacct", "true")
    programs("sacctmgr", "echo default")
    programs("scontrol", "echo 'MinJobAge = 300 sec'")
    return programs
