"""Logs of jobs: input error as the last line with its exit code, tracebacks, and peak memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cellferry.core.logs import input_error_in, peak_in

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(folder, body, **variables):
    """A script that does `body` under `logged`, in a separate process like a rule."""
    code = (
        "from cellferry.errors import RetryableError, InputError\n"
        "from cellferry.core.logs import logged\n"
        f"with logged('rule.log'):\n    {body}\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def last_line(folder):
    return (folder / "rule.log").read_text().splitlines()[-1]


MISTAKE = "print('reading'); raise InputError('cells.h5ad: is broken')"


def test_what_python_and_its_children_print_goes_to_the_log(tmp_path):
    result = run(tmp_path, "import os; print('from python', flush=True); os.system('echo from a child')")
    assert result.returncode == 0
    assert result.stdout + result.stderr == ""
    assert (tmp_path / "rule.log").read_text().splitlines()[:-1] == ["from python", "from a child"]


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [("InputError", "error: too bad", 2), ("RetryableError", "cannot go on: too bad", 3)],
)
def test_a_mistake_is_the_last_line_and_has_an_exit_code_of_its_own(tmp_path, error, line, code):
    result = run(tmp_path, f"raise {error}('too bad')")
    assert result.returncode == code
    assert last_line(tmp_path) == line
    assert result.stderr == f"{line}\n"


def test_any_other_error_keeps_its_traceback(tmp_path):
    result = run(tmp_path, "1 / 0")
    assert result.returncode == 1
    assert last_line(tmp_path) == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "error",
    [
        "OSError(28, 'No space left on device')",
        "OSError(122, 'Disk quota exceeded')",
        "RuntimeError('file write failed: errno = 28, error message = \\'No space left on device\\'')",
    ],
)
def test_a_full_disk_is_said_in_plain_words(tmp_path, error):
    result = run(tmp_path, f"raise {error}")
    assert result.returncode == 1
    assert "the disk is full or a quota is used up in" in last_line(tmp_path)


def test_the_next_attempt_of_a_run_does_not_look_for_the_mistake_again(tmp_path):
    run(tmp_path, MISTAKE, CELLFERRY_RUN="one")
    (tmp_path / "rule.log").unlink()  # as Snakemake does before each attempt
    again = run(tmp_path, "print('hours of work')", CELLFERRY_RUN="one")
    assert again.returncode == 2
    assert (tmp_path / "rule.log").read_text() == "error: cells.h5ad: is broken\n"


def test_another_run_looks_again_and_leaves_no_note(tmp_path):
    run(tmp_path, MISTAKE, CELLFERRY_RUN="one")
    assert run(tmp_path, "print('mended')", CELLFERRY_RUN="two").returncode == 0
    assert "mended" in (tmp_path / "rule.log").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["rule.log"]


def test_somebody_elses_error_is_no_mistake_of_the_user():
    assert input_error_in("reading\nerror: no\n") == "no"
    assert input_error_in("error: two problems\n  - one\n  - two\n") == "two problems\n  - one\n  - two"
    assert input_error_in("error: H5Dread\nTraceback (most recent call last):\n") is None
    assert input_error_in("an error: no\n") is None
    assert input_error_in("") is None


@pytest.mark.parametrize("body", ["raise RetryableError('too little')", "1 / 0"])
def test_a_passing_fault_is_tried_again(tmp_path, body):
    run(tmp_path, body, CELLFERRY_RUN="one")
    assert run(tmp_path, "print('enough now')", CELLFERRY_RUN="one").returncode == 0


def test_a_finished_log_ends_with_the_peak_of_its_memory(tmp_path):
    run(tmp_path, "held = bytearray(200 * 2**20)")
    assert 200 < peak_in((tmp_path / "rule.log").read_text()) < 300
    run(tmp_path, MISTAKE)
    assert peak_in((tmp_path / "rule.log").read_text()) is None
