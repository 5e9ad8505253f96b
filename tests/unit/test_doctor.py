"""`make doctor`: it runs with an old Python, prints all findings, and continues after a failing check."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cellferry.commands.doctor import __main__ as doctor
from cellferry.commands.doctor.findings import Finding, lines_of
from cellferry.core import project
from machines import PROFILE

SCRIPTS = Path(doctor.__file__).parents[3]
MODULES = sorted(Path(doctor.__file__).parent.glob("*.py"))


@pytest.mark.parametrize(
    ("module", "version"),
    [
        ("commands/__init__", (3, 6)),
        *((f"commands/doctor/{path.stem}", (3, 6)) for path in MODULES),
        ("__init__", (3, 6)),
        ("errors", (3, 6)),
        ("core/__init__", (3, 6)),
        ("core/project", (3, 6)),
        ("core/problems", (3, 8)),
        ("cluster/__init__", (3, 6)),
        ("cluster/slurm", (3, 8)),
        ("cluster/request", (3, 8)),
        ("cluster/checks", (3, 8)),
    ],
)
def test_an_old_python_can_read_it(module, version):
    ast.parse((SCRIPTS / "cellferry" / f"{module}.py").read_text(), feature_version=version)


@pytest.mark.parametrize("path", [*MODULES, Path(project.__file__)], ids=lambda path: path.stem)
def test_it_imports_the_standard_library_alone(path):
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            # Its own modules, and one with a test above.
            assert statement.level in (0, 1) or statement.module == "core.project"
            names = [] if statement.level else [statement.module]
        else:
            continue
        assert set(names) <= sys.stdlib_module_names


def run(python, *arguments):
    command = [*python, "-m", "cellferry.commands.doctor", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_runs_where_nothing_is_installed(tmp_path):
    done = run([sys.executable, "-S"], "--directory", str(tmp_path))
    assert done.stderr == ""
    assert "check failed" not in done.stdout
    assert "the workflow installs its own 3.12" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", ["python3.6", "python3.7", "python3.8", "python3.9", "python3.11"])
def test_it_runs_with_old_pythons(name, tmp_path):
    if (
        not shutil.which(name)
        or subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"no {name} here")
    done = run([name], "--directory", str(tmp_path))
    assert done.stderr == ""
    assert "check failed" not in done.stdout


def test_exit_status_and_the_last_line(tmp_path):
    (tmp_path / "file").touch()
    done = run([sys.executable], "--directory", str(tmp_path / "file"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("FAILS")
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away(tmp_path):
    command = [sys.executable, "-m", "cellferry.commands.doctor", "--directory", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait()


def test_a_check_that_breaks_does_not_keep_the_others_from_being_made(monkeypatch, capsys, tmp_path):
    def breaks():
        raise ZeroDivisionError("strange machine")

    monkeypatch.setattr(doctor, "check_conda", breaks)
    doctor.examine(PROFILE, tmp_path, gpu=False, wait_seconds=0)
    said = capsys.readouterr().out
    assert "check failed (ZeroDivisionError: strange machine)" in said
    assert "cores" in said


def test_long_findings_are_wrapped_and_aligned():
    lines = lines_of(Finding("FAILS", "profile", "word " * 40, "remedy " * 20))
    assert max(map(len, lines)) <= 100
    assert {len(line) - len(line.lstrip()) for line in lines[1:]} == {22, 25}
    assert lines[0].startswith("FAILS  profile        word")
