"""Requests that a cluster cannot fulfill are reported before submission, with the remedy."""

import os
import subprocess

import pytest
from running import slurm_profile


def refused(run, *, target="results/inspected/atlas.json"):
    """Output of a run that must stop before it submits a job."""
    code, said = run.finish(target)
    assert code == 1
    assert "has been submitted" not in said
    assert "Traceback" not in said
    return said


def test_all_that_is_too_large_or_missing_is_told_at_once(run):
    changes = {
        "inspect_dataset": {"slurm_partition": "main"},
        "convert_to_chunks": {"mem_mb": "40000 * attempt"},
        "merge_h5ad": {"runtime": "9000"},
        "subset_reference": {"runtime": "2800"},
        "fit_query_model": {"slurm_partition": "cpu"},
        "train_classifier": {"slurm_account": "nobody"},
        "calibrate_classifier": {"slurm_account": "nobody"},
        "evaluate": {"slurm_partition": "gpu"},
    }
    said = refused(run(resources=changes, **{"set-threads": {"train_classifier": 99}}), target="all")
    assert "the cluster cannot run this (8 problem(s))" in said
    assert "inspect_dataset: there is no partition 'main'; this cluster has cpu, gpu, urgent." in said
    assert "convert_to_chunks: requests 120000 MB on attempt 3, but the largest node of partition cpu" in said
    assert "Set max_mem_mb at the top of profiles/slurm/config.yaml to 64000 or less" in said
    assert "merge_h5ad: requests 9000 minutes, but partition cpu allows 2880" in said
    assert "there is no account 'nobody' for you; you have default" in said
    assert "fit_query_model: requests gpu:1, but partition cpu has no GPU" in said
    # Rules that share a job.
    together = "reference_cells (split_reference, select_genes, subset_reference, shuffle_reference)"
    assert f"{together}: requests 3010 minutes together, but partition cpu allows 2880. Set max_min" in said
    assert "classifier (train_classifier, calibrate_classifier): requests 99 CPUs" in said
    assert (
        "answers (gather_predictions, evaluate): its rules share a job but differ in their requests" in said
    )
    assert (
        "(slurm_partition: cpu, gpu). Give them the same values, or remove differing rules from groups"
        in said
    )


def test_no_sbatch_on_the_path(run, tmp_path):
    run = run()
    # Everything but SLURM's commands.
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in os.scandir(folder):
            if not (programs / program.name).exists() and not program.name.startswith(("s", "m")):
                (programs / program.name).symlink_to(program.path)
    (programs / "sh").symlink_to("/bin/sh")
    run.variables = {**run.variables, "PATH": str(programs)}
    said = refused(run)
    assert "there is no sbatch on the PATH" in said
    assert "--profile profiles/local" in said


def test_results_on_a_full_file_system(run, tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", tmp_path], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        said = refused(run())
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert f"the file system of {tmp_path} has" in said
    assert "free some space" in said


def test_a_refusal_at_submission_is_told_in_slurms_words(run):
    """A refusal that the limits of the partitions do not show."""
    run = run(resources={"inspect_dataset": {"slurm_extra": "--nodelist=c9"}}, retries=0)
    code, said = run.finish("results/inspected/atlas.json")
    told = said.partition("job(s) failed")[2]
    assert code == 1
    assert "SLURM refused it (sbatch: error" in told
    assert "Invalid node name specified" in told


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("--nodelist=c9", ["SLURM refused it (sbatch: error", "Invalid node name specified"]),
        # The plugin itself stops at an error, and needs the job's rule for its message.
        ("--account=default", ["SLURM refused it ("]),
    ],
)
def test_a_job_of_several_rules_that_is_refused_is_told_and_not_waited_for(run, extra, words):
    group = ("split_reference", "select_genes", "subset_reference", "shuffle_reference")
    run = run(resources={rule: {"slurm_extra": extra} for rule in group}, retries=0)
    code, said = run.finish("results/reference/store.zarr")
    told = said.partition("job(s) failed")[2]
    assert code == 1
    assert f"\nreference_cells ({', '.join(group)}): results/reference/splits.parquet" in told
    for word in words:
        assert word in told


def test_a_cluster_that_does_not_know_its_memory(run, tmp_path, cluster_without_memory):
    """SLURM's refusal is predicted; without a request the script obeys its mem_mb."""
    cluster = cluster_without_memory
    said = refused(run(cluster=cluster))
    assert "inspect_dataset: requests memory, but the nodes of" in said
    assert "Set request_memory at the top of profiles/slurm/config.yaml to false" in said
    submitted = ["sbatch", "--account=default", "--mem=1000", "--output=/dev/null", "--wrap=true"]
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        cluster.ask(*submitted)
    assert "Memory specification can not be satisfied" in refusal.value.stderr

    profile = slurm_profile(request_memory=False)
    run = run(cluster=cluster, **{"default-resources": profile["default-resources"]})
    code, said = run.finish("results/inspected/atlas.json")
    assert code == 0, said
    (job,) = cluster.accounted(run)
    assert job["State"] == "COMPLETED"
    assert "mem=" not in job["AllocTRES"]
    # The script's resources, as the job wrote them.
    benchmark = (tmp_path / "results/benchmarks/inspect_dataset/atlas.tsv").read_text()
    assert "'mem_mb': 1000" in benchmark
