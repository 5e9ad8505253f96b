"""A run that is interrupted, and started again, leaves no job behind and nothing half-written."""

import os
import signal

import anndata as ad


def test_a_cancelled_job_is_run_again(run, cluster):
    run = run()
    process = run.start("results/inspected/atlas.json")
    cluster.ask("scancel", run.wait_for_job("inspect_dataset").number)
    assert process.wait(120) == 0, run.said()
    states = [job["State"] for job in cluster.accounted(run)]
    assert [state.split()[0] for state in states] == ["CANCELLED", "COMPLETED"]


def test_after_kill_9_the_jobs_left_behind_are_told_and_the_next_run_finishes(run, cluster):
    run = run()
    process = run.start("results/merged/atlas.h5ad")
    orphan = run.wait_for_job("convert_to_chunks")
    os.kill(run.scripts("convert_to_chunks")[0], signal.SIGSTOP)  # it shall not end before its successor
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
    assert [job["rule"] for job in cluster.accounted(run)].count("inspect_dataset") == 2  # one per dataset


def test_ctrl_c_cancels_the_jobs(run, cluster):
    run = run()
    process = run.start("results/inspected/atlas.json")
    run.wait_for_job("inspect_dataset")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(120) != 0
    assert not [job for job in cluster.queue(run.folder) if job.state != "COMPLETING"]
    code, said = run.finish("results/inspected/atlas.json")
    assert code == 0, said
