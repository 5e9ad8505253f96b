"""Records of runs: a job of a run without a record discards its output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cellferry.core import run_record
from cellferry.core.atomic import complete, mark_as_damaged
from cellferry.core.run_record import (
    RECORD,
    Run,
    check_run_is_current,
    mark_run,
    other_runs,
    register_run,
    unregister_run,
)
from cellferry.errors import InputError, SupersededError

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(RECORD, "")  # restored at the end, with any value
    monkeypatch.setattr(run_record, "SECONDS_BETWEEN_ATTEMPTS", 0.0)
    return tmp_path


def write(path, text="whole"):
    with complete(path) as temporary:
        temporary.write_text(text)


def test_without_a_record_nothing_is_looked_for(folder):
    write("out.txt")
    assert (folder / "out.txt").read_text() == "whole"


def test_files_and_folders_are_put_in_place_while_the_run_counts(folder):
    register_run("one", "a", ["out.txt"])
    write("out.txt")
    with complete("chunks") as temporary:
        temporary.mkdir()
        (temporary / "0").touch()
    assert (folder / "chunks" / "0").exists()
    unregister_run()
    assert RECORD not in os.environ
    assert not (folder / "results" / ".runs").exists()


def test_nothing_is_put_in_place_when_it_does_not(folder):
    register_run("one", "a", ["out.txt"])
    write("out.txt", "former")
    (run,) = (folder / "results" / ".runs").iterdir()
    run.unlink()
    with pytest.raises(SupersededError, match="belongs to an earlier run"):
        write("out.txt")
    with pytest.raises(SupersededError), complete("chunks") as temporary:
        temporary.mkdir()
    with pytest.raises(SupersededError):
        mark_as_damaged(Path("out.txt"))
    assert sorted(path.name for path in folder.iterdir()) == ["out.txt", "results"]
    assert (folder / "out.txt").read_text() == "former"


def test_a_record_that_a_file_server_shows_late_counts(monkeypatch):
    register_run("one", "a", [])
    record = Path(os.environ[RECORD])
    text = record.read_text()
    record.unlink()
    monkeypatch.setattr(run_record.time, "sleep", lambda seconds: record.write_text(text))
    check_run_is_current()


def test_other_runs_are_told_apart_from_ones_own():
    register_run("one", "a", ["x", "y"])
    first = os.environ.pop(RECORD)
    register_run("two", "b", ["z"])
    assert other_runs() == [Run(Path(first), "a", frozenset("xy"))]
    mark_run(other_runs()[0], ["x"])
    assert other_runs() == [Run(Path(first), "a", frozenset("xy"), frozenset("x"))]


def test_a_damaged_record_is_named_with_the_way_out():
    register_run("one", "a", ["x"])
    record = Path(os.environ.pop(RECORD))
    for text in ("", record.read_text()[:-5], "[]", '{"made_from": "a"}', '{"outputs": 1, "marked": []}'):
        record.write_text(text)
        with pytest.raises(
            InputError, match=r"one\.json: the record of an earlier run is damaged .* delete it"
        ):
            other_runs()


def test_results_that_cannot_be_written_are_named(folder):
    (folder / "results").touch()
    with pytest.raises(InputError, match=r"results/\.runs/one\.json cannot be written .* start again"):
        register_run("one", "a", ["x"])


def test_a_script_of_such_a_run_ends_at_once_and_leaves_the_log_alone(folder):
    (folder / "rule.log").write_text("of another job")
    code = "from cellferry.core.logs import logged\nwith logged('rule.log'):\n    print('hours of work')\n"
    variables = {**os.environ, "PYTHONPATH": str(SCRIPTS), RECORD: "results/.runs/gone.json"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "belongs to an earlier run" in done.stderr
    assert (folder / "rule.log").read_text() == "of another job"
