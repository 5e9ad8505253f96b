"""An interrupted and restarted run leaves no job and no half-written file."""

import contextlib
import os
import shutil
import signal

import anndata as ad


def test_a_cancelled_job_is_run_again(run, cluster):
    run = run()
    process = run.start("results/inspected/atlas.json")
    cluster.ask("scancel", run.wait_for_job("inspect_dataset").number)
    assert run.wait(process) == 0, run.said()
    states = [job["State"] for job in cluster.accounted(run)]
    assert [state.split()[0] for state in states] == ["CANCELLED", "COMPLETED"]


def test_after_kill_9_the_jobs_left_behind_are_told_and_the_next_run_finishes(run, cluster):
    run = run()
    process = run.start("results/merged/atlas.h5ad")
    orphan = run.wait_for_job("convert_to_chunks")
    os.kill(run.scripts("convert_to_chunks")[0], signal.SIGSTOP)  # it must not end before its successor
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert "--unlock" in run.finish("results/merged/atlas.h5ad")[1]
    assert run.finish("--unlock")[0] == 0
    code, said = run.finish("results/merged/atlas.h5ad")
    assert code == 1
    assert f"{orphan.number} (rule_convert_to_chunks_wildcards_atlas_0)" in said
    assert f"scancel {orphan.number}" in said

    cluster.ask("scancel", orphan.number)
    code, said = run.finish("results/merged/atlas.h5ad")
    assert code == 0, said
    assert ad.read_h5ad(run.folder / "results" / "merged" / "atlas.h5ad").n_obs == 240
    assert [job["rules"] for job in cluster.accounted(run)].count(
        ("inspect_dataset",)
    ) == 2  # one per dataset


def test_ctrl_c_cancels_the_jobs(run, cluster):
    run = run()
    process = run.start("results/inspected/atlas.json")
    run.wait_for_job("inspect_dataset")
    for script in run.scripts("inspect_dataset"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(script, signal.SIGSTOP)  # it must not end before
    os.kill(process.pid, signal.SIGINT)
    assert run.wait(process) != 0
    assert not [job for job in cluster.queue(run.folder) if job.state != "COMPLETING"]
    code, said = run.finish("results/inspected/atlas.json")
    assert code == 0, said


def hide_orphans(run, folder):
    """Put a squeue on the PATH that lists no jobs when their folders are queried."""
    folder.mkdir()
    squeue = shutil.which("squeue", path=run.variables["PATH"])
    (folder / "squeue").write_text(f'#!/bin/sh\ncase "$*" in *%Z*) exit 0;; esac\nexec {squeue} "$@"\n')
    (folder / "squeue").chmod(0o755)
    run.variables = {**run.variables, "PATH": f"{folder}:{run.variables['PATH']}"}


SPLITS = "results/reference/splits.parquet"


def leave_a_job_behind(run):
    """Kill snakemake while the script of split_reference works, and let the script finish unseen."""
    process = run.start(SPLITS)
    run.wait_for_job("split_reference")
    (script,) = run.scripts("split_reference")
    os.kill(script, signal.SIGSTOP)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    os.kill(script, signal.SIGCONT)
    run.wait_for(lambda: not run.cluster.queue(run.folder), "the job that was left to end")
    assert (run.folder / SPLITS).exists()
    assert run.finish("--unlock")[0] == 0


def test_what_a_job_finished_unseen_is_kept_and_a_later_change_is_noticed(run):
    run = run()
    leave_a_job_behind(run)
    made = (run.folder / SPLITS).stat().st_mtime_ns
    code, said = run.finish("results/genes.tsv")  # a result to be made from it
    assert code == 0, said
    assert (run.folder / SPLITS).stat().st_mtime_ns == made
    run.config["split"] = {"test": 0.3}
    code, said = run.finish(SPLITS)
    assert code == 0, said
    assert (run.folder / SPLITS).stat().st_mtime_ns > made


def test_what_a_job_finished_unseen_is_made_again_under_another_configuration(run):
    run = run()
    leave_a_job_behind(run)
    made = (run.folder / SPLITS).stat().st_mtime_ns
    run.config["split"] = {"test": 0.3}
    code, said = run.finish(SPLITS)
    assert code == 0, said
    assert (run.folder / SPLITS).stat().st_mtime_ns > made


def test_a_job_that_is_left_and_not_seen_writes_nothing(run, tmp_path):
    """If the query of the queue misses it, the next run begins beside it."""
    run = run()
    hide_orphans(run, tmp_path / "programs")
    process = run.start("results/chunks/atlas/0")
    orphan = run.wait_for_job("convert_to_chunks")
    (script,) = run.scripts("convert_to_chunks")
    os.kill(script, signal.SIGSTOP)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert run.finish("--unlock")[0] == 0
    run.config["datasets"]["atlas"]["chunks"] = 2
    code, said = run.finish("results/chunks/atlas/0")
    assert code == 0, said
    chunks = sorted((run.folder / "results" / "chunks" / "atlas" / "0").glob("*.h5ad"))
    assert len(chunks) == 2
    os.kill(script, signal.SIGCONT)
    run.wait_for(
        lambda: orphan.number not in [job.number for job in run.cluster.queue()], "the orphan to end"
    )
    assert sorted((run.folder / "results" / "chunks" / "atlas" / "0").glob("*.h5ad")) == chunks
