"""Jobs that are run again on a real SLURM after they exceeded their limits."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import anndata as ad
import h5py
import pandas as pd
from cellferry.resources.budget import SNAKEMAKE_MB
from cellferry.resources.memory import BLOCK_BYTES, MB, MEMORY_MODELS
from running import snakemake
from simulate import simulate_cells


def asked(jobs, rule, column):
    return [job[column] for job in jobs if rule in job["rules"]]


def killed_for_memory(run, rule, target):
    """Summary of a run without retries, after a job was killed for its memory."""
    process = run.start(target)
    job = run.wait_for_job(rule)
    run.cluster.take_memory_away(job.number)
    assert run.wait(process) == 1
    said = run.said().partition("job(s) failed")[2]
    assert f"attempt 1: OUT_OF_MEMORY on {job.node}" in said
    assert f"(SLURM job {job.number}, " in said
    assert f"raise mem_mb of {rule} in profiles/slurm/config.yaml" in said
    return said


def test_a_job_killed_for_its_memory_gets_more_and_at_the_limit_works_in_smaller_blocks(
    run, cluster, memory_limits
):
    run = run(resources={"convert_to_chunks": {"mem_mb": "min(800 * attempt, 850)"}})
    process = run.start("results/merged/atlas.h5ad")
    first = run.wait_for_job("convert_to_chunks")
    cluster.take_memory_away(first.number)
    second = run.wait_for_job("convert_to_chunks", known=[first.number])
    cluster.take_memory_away(second.number)
    assert run.wait(process) == 0, run.said()
    jobs = cluster.accounted(run)
    assert asked(jobs, "convert_to_chunks", "ReqMem") == ["800M", "850M", "850M"]
    log = (run.folder / "logs" / "convert_to_chunks" / "atlas_0.log").read_text()
    need = MEMORY_MODELS["convert_to_chunks"]
    third = (850 - SNAKEMAKE_MB - need.held_mb()) // 3 / need.blocks
    assert third < BLOCK_BYTES / MB
    assert f"attempt 3: blocks of {third:.0f} MB" in log
    assert ad.read_h5ad(run.folder / "results" / "merged" / "atlas.h5ad").n_obs == 240
    assert not [
        path for path in run.folder.glob("results/chunks/*/.*") if path.name != ".snakemake_timestamp"
    ]


def test_what_slurm_knows_is_said_when_all_attempts_were_killed(run, memory_limits):
    killed_for_memory(run(retries=0), "inspect_dataset", "results/inspected/atlas.json")


def test_training_at_its_time_limit_writes_its_state_and_resumes(run, cluster):
    model = {"epochs": 900, "n_latent": 5, "n_hidden": 16, "n_layers": 1, "early_stopping": False}
    run = run(config={"model": model}, resources={"train_reference_model": {"runtime": "2 * attempt"}})
    prepared = snakemake(run.folder, "results/reference/store.zarr", "--cores", "2", config=run.config)
    assert prepared.returncode == 0, prepared.stderr
    log = run.folder / "logs" / "train_reference_model" / "train_reference_model.log"

    process = run.start("results/reference/model")
    run.wait_for_job("train_reference_model")
    (script,) = run.scripts("train_reference_model")
    run.wait_for(lambda: log.exists() and "epoch 1 of" in log.read_text(), "the training to begin")
    # As on a slow node: the script runs for a twentieth of the time, until SLURM ends it.
    while script in run.scripts("train_reference_model"):
        said = log.read_text()
        with contextlib.suppress(ProcessLookupError):
            os.kill(script, signal.SIGSTOP)
            time.sleep(1.9)
            os.kill(script, signal.SIGCONT)
            time.sleep(0.1)
    assert "time is short: writing the state in epoch" in said

    assert run.wait(process) == 0, run.said()
    assert asked(cluster.accounted(run), "train_reference_model", "State") == ["TIMEOUT", "COMPLETED"]
    assert int(re.search(r"resuming after epoch (\d+)", log.read_text())[1]) > 0
    history = pd.read_csv(run.folder / "results" / "reference" / "history.csv")
    assert list(history["epoch"]) == list(range(900))


def test_a_mistake_is_looked_for_once_and_named_last(run, cluster):
    run = run()
    # Too many for the check at the beginning.
    simulate_cells(8000, seed=1).write_h5ad(run.folder / "query.h5ad")
    with h5py.File(run.folder / "query.h5ad", "r+") as file:
        file["X/data"][-1] = 0.5
    code, said = run.finish("results/merged/patients.h5ad")
    assert code == 1
    mistake = "error: query.h5ad: X does not hold raw counts: 0.5 in cell 'cell1_7999'"
    log = (run.folder / "logs" / "convert_to_chunks" / "patients_0.log").read_text()
    assert log.splitlines()[-1].startswith(mistake)
    # The last attempt did not begin the work again.
    assert len(log.splitlines()) == 1
    told = said.partition("job(s) failed")[2]
    assert "convert_to_chunks: results/chunks/patients/0" in told
    assert mistake in told
    assert not list((run.folder / "results" / "chunks" / "patients").glob("**/*.h5ad"))


def test_a_mistake_that_a_rule_finds_in_the_job_of_several_is_looked_for_once(run, cluster):
    run = run(config={"genes": {"retrain_on_common": True}})
    merged = [f"results/merged/{name}.h5ad" for name in ("atlas", "patients")]
    prepared = snakemake(run.folder, *merged, "--cores", "2", config=run.config)
    assert prepared.returncode == 0, prepared.stderr
    # The first rule of the job does not read it.
    with open(run.folder / merged[1], "ab") as file:
        file.write(b"\0")
    code, said = run.finish("results/reference/store.zarr")
    assert code == 1
    told = said.partition("job(s) failed")[2]
    assert "\nselect_genes: results/genes.tsv" in told
    assert f"error: {merged[1]}" in told
    assert not re.search("^(split|subset|shuffle)_reference:", told, re.M)
    _, *later = re.findall(r"attempt \d: .*\(SLURM job \d+, (.*)\)", told)
    assert len(later) == 2
    for log in later:
        said = Path(log).read_text()
        assert f"Error in rule select_genes: as in an earlier attempt\nerror: {merged[1]}" in said
        # The rule before did not begin again.
        assert "Execute" not in said


def test_a_rule_killed_for_its_memory_is_named_and_those_before_it_are_kept(run, cluster, memory_limits):
    run = run(retries=0)
    told = killed_for_memory(run, "subset_reference", "results/reference/store.zarr")
    assert "\nsubset_reference: results/common/reference.h5ad" in told
    assert "  in the same job: split_reference, select_genes, shuffle_reference" in told

    code, said = run.finish("results/reference/store.zarr")
    assert code == 0, said
    assert set(cluster.accounted(run)[-1]["rules"]) == {"subset_reference", "shuffle_reference"}
