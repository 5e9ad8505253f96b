"""Forks of the warm process are like processes of their own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import finished, warm


@pytest.fixture
def script(tmp_path):
    """A function that writes a file with the name of a script that Snakemake runs."""

    def write(code):
        path = tmp_path / ".snakemake" / "scripts" / "tmpabc.some_rule.py"
        path.parent.mkdir(parents=True)
        path.write_text(code)
        return [sys.executable, path]

    return write


def test_a_fork_has_the_streams_folder_environment_and_exit_code(script, tmp_path):
    code = (
        "import os, sys\n"
        "print('scvi' in sys.modules, os.getcwd(), os.environ['OF_A_TEST'], __name__, sys.argv)\n"
        "print('problem', file=sys.stderr)\n"
        "sys.exit(3)"
    )
    command = script(code)
    result = finished(command, cwd=tmp_path, env={**warm(), "OF_A_TEST": "set"})
    assert result.returncode == 3
    assert result.stdout == f"True {tmp_path} set __main__ ['{command[1]}']\n"
    assert result.stderr == "problem\n"


def test_an_exception_is_printed(script):
    result = finished(script("1 / 0"))
    assert result.returncode == 1
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_killed_fork_fails_its_job(script):
    assert finished(script("import os; os.kill(os.getpid(), 9)")).returncode == 128 + signal.SIGKILL


def test_a_fork_ends_with_its_client(script, tmp_path):
    command = script("import os, time; open('number', 'w').write(str(os.getpid())); time.sleep(600)")
    number = tmp_path / "number"
    with subprocess.Popen(command, cwd=tmp_path, env=warm()) as client:
        while not (number.exists() and number.read_text()):
            time.sleep(0.05)
        client.kill()
    fork = Path("/proc", number.read_text())
    give_up = time.monotonic() + 30
    while fork.exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_process_without_a_fork_does_nothing(script, tmp_path):
    command = script("open('done', 'w')")
    result = finished(command, cwd=tmp_path, env={**warm(), "CELLFERRY_WARM": "/no/socket"})
    assert result.returncode == 1
    assert result.stderr.startswith("no fork of the warm process: FileNotFoundError")
    assert not (tmp_path / "done").exists()
