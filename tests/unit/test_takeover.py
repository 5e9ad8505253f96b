"""takeover: what jobs of an earlier run left is adopted, made again, or none of this run's business."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from cellferry import takeover
from cellferry.runs import RECORD, register_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(RECORD, "")  # taken back at the end, whatever it is then
    return tmp_path


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
    takeover.supersede_other_runs(workflow, "new", "a")


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
    takeover.invalidate_unrecorded("a")
    assert not incomplete.exists()
    takeover.invalidate_unrecorded("b")
    assert len(list(incomplete.iterdir())) == 1
