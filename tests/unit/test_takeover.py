"""Outputs of an earlier run: adopted, repeated, or not touched."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from cellferry.core.run_record import RECORD, other_runs, register_run
from cellferry.errors import InputError
from cellferry.runs import takeover
from snakemake.io import IOFile
from snakemake.persistence.file import FilePersistence

LONG_AGO = 1_700_000_000.0


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(RECORD, "")  # restored at the end, with any value
    return tmp_path


def earlier_run(made_from, outputs):
    register_run("old", made_from, outputs)
    return Path(os.environ.pop(RECORD))


def incomplete(*paths):
    return FilePersistence()._filter_incomplete_keys(paths)


class Persistence:
    """Replacement for Snakemake's records, as `supersede_other_runs` uses them."""

    def __init__(self, recorded=(), *, inputs=(), outputs=()):
        self.recorded, self.incomplete = dict.fromkeys(recorded, LONG_AGO), set()
        self._inputs, self._outputs = inputs, outputs

    def all_inputfiles(self):
        return self._inputs

    def all_outputfiles(self):
        return self._outputs

    def metadata(self, path):
        return SimpleNamespace(endtime=self.recorded[path]) if path in self.recorded else None

    def started(self, job):
        self.incomplete |= set(map(str, job.output))

    async def finished(self, job):
        self.recorded |= {path: Path(path).stat().st_mtime for path in job.output}


def write(*paths, written=LONG_AGO):
    for path in paths:
        Path(path).touch()
        os.utime(path, (written, written))


def supersede_other_runs(persistence, *, jobs=(), needed=(), made_from="a"):
    dag = SimpleNamespace(jobs=jobs, needrun=lambda job: job in needed)
    workflow = SimpleNamespace(persistence=persistence, dag=dag, async_run=asyncio.run)
    takeover.supersede_other_runs(workflow, "new", made_from)


def job(*outputs):
    return SimpleNamespace(output=list(outputs))


def test_what_a_job_finished_unseen_is_adopted_or_made_again():
    write("adopted", "not_asked_for", "remade", "recorded")
    old = earlier_run("a", ["adopted", "not_asked_for", "remade", "recorded", "missing"])
    jobs = [job("adopted"), job("remade"), job("recorded")]
    persistence = Persistence(["recorded"], inputs=["adopted"], outputs=["remade"])
    supersede_other_runs(persistence, jobs=jobs, needed=[jobs[1]])
    assert set(persistence.recorded) == {"recorded", "adopted"}
    assert persistence.incomplete == {"not_asked_for"}
    assert not old.exists()
    assert Path(os.environ[RECORD]).exists()


def test_a_record_of_a_result_that_was_replaced_unseen_does_not_hold():
    write("out", written=LONG_AGO + 60)
    earlier_run("a", ["out"])
    takeover.invalidate_unrecorded("b")
    assert incomplete("out") == {"out"}
    persistence = Persistence(["out"], inputs=["out"])
    supersede_other_runs(persistence, jobs=[job("out")])
    assert persistence.recorded == {"out": LONG_AGO + 60}


def test_what_is_finished_between_plan_and_start_from_something_else_ends_the_run():
    write("out")
    old = earlier_run("b", ["out"])
    persistence = Persistence(inputs=["out"])
    with pytest.raises(InputError, match="finished out while this run was planned; start again"):
        supersede_other_runs(persistence, jobs=[job("out")])
    assert persistence.incomplete == {"out"}
    assert not old.exists()
    assert RECORD not in os.environ


def test_a_run_that_makes_other_things_counts_on():
    old = earlier_run("a", ["theirs"])
    supersede_other_runs(Persistence(inputs=["ours"], outputs=["too"]))
    assert old.exists()


def test_what_was_made_from_something_else_is_distrusted_as_long_as_that_holds():
    write("out", "begun")
    FilePersistence().started(SimpleNamespace(output=[IOFile("begun")]))
    earlier_run("a", ["out", "begun", "missing"])
    takeover.invalidate_unrecorded("a")
    assert incomplete("out", "begun", "missing") == {"begun"}
    takeover.invalidate_unrecorded("b")
    takeover.invalidate_unrecorded("c")
    assert incomplete("out", "begun", "missing") == {"out", "begun"}
    assert other_runs()[0].marked == {"out"}
    takeover.invalidate_unrecorded("a")
    assert incomplete("out", "begun", "missing") == {"begun"}
    assert not other_runs()[0].marked


def test_only_what_was_written_since_the_start_is_recorded(folder):
    """A refused or cancelled job leaves an old result, which Snakemake would record as new."""
    write("kept", "replaced")
    (folder / "folder").mkdir()
    write("folder/.snakemake_timestamp")
    persistence = Persistence(outputs=["kept", "replaced", "folder", "new"])
    supersede_other_runs(persistence)
    write("replaced", "new", written=LONG_AGO + 60)
    for name in ("kept", "replaced", "folder", "new"):
        asyncio.run(persistence.finished(job(name)))
    assert set(persistence.recorded) == {"replaced", "new"}
    write("folder/.snakemake_timestamp", written=LONG_AGO + 60)
    asyncio.run(persistence.finished(job("folder")))
    assert "folder" in persistence.recorded
