"""runs: a job whose run has no record any more puts nothing in place."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cellferry import runs
from cellferry.errors import SupersededError
from cellferry.files import complete, mark_as_damaged
from cellferry.runs import RECORD, Run, check_run_is_current, other_runs, register_run, unregister_run

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(RECORD, "")  # taken back at the end, whatever it is then
    monkeypatch.setattr(runs, "SECONDS_BETWEEN_ATTEMPTS", 0.0)
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
    monkeypatch.setattr(runs.time, "sleep", lambda seconds: record.write_text(text))
    check_run_is_current()


def test_other_runs_are_told_apart_from_ones_own():
    register_run("one", "a", ["x", "y"])
    first = os.environ.pop(RECORD)
    register_run("two", "b", ["z"])
    assert other_runs() == [Run(Path(first), "a", frozenset("xy"))]


def test_a_script_of_such_a_run_ends_at_once_and_leaves_the_log_alone(folder):
    (folder / "rule.log").write_text("of another job")
    code = "from cellferry.logs import logged\nwith logged('rule.log'):\n    print('hours of work')\n"
    variables = {**os.environ, "PYTHONPATH": str(SCRIPTS), RECORD: "results/.runs/gone.json"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "belongs to an earlier run" in done.stderr
    assert (folder / "rule.log").read_text() == "of another job"


class Persistence:
    """What `supersede_other_runs` asks Snakemake's records."""

    def __init__(self, recorded, *, inputs=(), outputs=()):
        self.recorded, self.incomplete = set(recorded), set()
        self._inputs, self._outputs = inputs, outputs

    def all_inputfiles(self):
        return self._inputs

    def all_outputfiles(self):
        return self._outputs

    def metadata(self, path):
        return {} if path in self.recorded else None

    def started(self, job):
        self.incomplete |= set(map(str, job.output))

    def finished(self, job):
        self.recorded |= set(job.output)


def supersede_other_runs(persistence, *, jobs, needed=()):
    dag = SimpleNamespace(jobs=jobs, needrun=lambda job: job in needed)
    workflow = SimpleNamespace(persistence=persistence, dag=dag, async_run=lambda nothing: None)
    runs.supersede_other_runs(workflow, "new", "a")


def test_what_a_job_finished_unseen_is_adopted_or_made_again(folder):
    for name in ("adopted", "not_asked_for", "remade", "recorded"):
        (folder / name).touch()
    register_run("old", "a", ["adopted", "not_asked_for", "remade", "recorded", "missing"])
    old = Path(os.environ.pop(RECORD))
    jobs = [SimpleNamespace(output=[name]) for name in ("adopted", "remade", "recorded")]
    persistence = Persistence(["recorded"], inputs=["adopted"], outputs=["remade"])
    supersede_other_runs(persistence, jobs=jobs, needed=[jobs[1]])
    assert persistence.recorded == {"recorded", "adopted"}
    assert persistence.incomplete == {"not_asked_for"}
    assert not old.exists()
    assert Path(os.environ[RECORD]).exists()


def test_a_run_that_makes_other_things_counts_on():
    register_run("old", "a", ["theirs"])
    old = Path(os.environ.pop(RECORD))
    supersede_other_runs(Persistence([], inputs=["ours"], outputs=["too"]), jobs=[])
    assert old.exists()


def test_what_was_made_from_something_else_is_distrusted(folder):
    (folder / "out.txt").touch()
    register_run("old", "a", ["out.txt", "missing"])
    os.environ.pop(RECORD)
    incomplete = folder / ".snakemake" / "incomplete"
    runs.invalidate_unrecorded("a")
    assert not incomplete.exists()
    runs.invalidate_unrecorded("b")
    assert len(list(incomplete.iterdir())) == 1
