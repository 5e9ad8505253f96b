"""`make doctor` on a cluster: what the profile lacks, and a job that checks a GPU node."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def doctor(cluster, folder, *arguments, **values):
    """Exit status and output of the doctor, with values set at the top of the shipped profile."""
    text = (ROOT / "profiles" / "slurm" / "config.yaml").read_text()
    for name, value in {"max_mem_mb": 60000, **values}.items():
        text, found = re.subn(rf"^  {name}: .*$", f"  {name}: {value}", text, flags=re.M)
        assert found == 1
    folder.mkdir(exist_ok=True)
    profile = folder / "profile.yaml"
    profile.write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cellferry.commands.doctor",
            "--profile",
            profile,
            "--directory",
            folder,
            *arguments,
        ],
        env={**cluster.variables, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert sorted(os.listdir(folder)) == ["profile.yaml"]  # it tidies up
    return done.returncode, " ".join(done.stdout.split())


def test_a_profile_that_fits_and_one_that_does_not(cluster, tmp_path):
    code, said = doctor(cluster, tmp_path)
    assert "sbatch, sinfo and squeue answer" in said
    assert "ok accounting sacct answers" in said
    assert "ok cpu 2 nodes, up to 64000 MB and 16 CPUs, 2 days, no GPU" in said
    assert "ok gpu 1 node, up to 64000 MB and 16 CPUs, 2 days, fake:2" in said
    assert re.search(r"ok profile account default; the requests of all \d+ rules fit the cluster", said)
    assert (code, "FAILS profile" in said) == (0, False)

    code, said = doctor(
        cluster, tmp_path, account="nobody", cpu_partition="main", gpu_kind="h100", max_minutes=5000
    )
    assert code == 1
    assert "there is no partition 'main'; this cluster has cpu, gpu, urgent -> Set cpu_partition" in said
    assert "requests h100:1, but partition gpu has fake:2 -> Set gpu_partition, gpu_kind" in said
    assert re.search("there is no account 'nobody' for you; you have .*default.* -> Set account", said)


def test_a_job_on_the_gpu_partition_says_what_it_finds_there(cluster, tmp_path):
    code, said = doctor(cluster, tmp_path, "--gpu", gpu_kind="fake")
    # The cluster's GPUs are fake.
    assert "FAILS GPU job no NVIDIA driver answers on" in said
    assert re.search(rf"ok GPU job {tmp_path} is visible on \w+g1", said)
    assert code == 1


def test_a_job_that_waits_for_too_long_is_cancelled(cluster, tmp_path):
    everything = ["--partition=gpu", "--gpus=2", "--output=/dev/null", "--wrap=sleep 300"]
    job = cluster.ask("sbatch", "--parsable", *everything).strip()
    try:
        code, said = doctor(cluster, tmp_path, "--gpu", "--wait", "4")
    finally:
        cluster.ask("scancel", job)
    assert "note GPU job not started after 4 s" in said
    assert code == 0
    assert not re.search("cellferry_doctor", cluster.ask("squeue", "--noheader", "--format=%j|%T"))


def test_a_job_that_slurm_does_not_take(cluster, tmp_path):
    code, said = doctor(cluster, tmp_path, "--gpu", gpu_partition="main")
    assert re.search("FAILS GPU job SLURM refused it: .*[Ii]nvalid partition", said)
    assert code == 1
