"""Time of planning many datasets, and of the part that every cluster job repeats.

    python benchmarks/dag.py

Nothing is run: the datasets are dummies in a temporary folder. Other work on the machine falsifies the times.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
COLUMNS = ["datasets", "chunks", "jobs", "sbatch calls", "dry run, slurm profile, s", "dry run, s"]
COLUMNS += ["one job's start-up, s", "one job's start-up, MB"]
# Options of the slurm executor's jobs that affect the plan.
ONE_JOB = ["--target-jobs", "map_query:part=query1,chunk=0", "--allowed-rules", "map_query", "--force"]
ONE_JOB += ["--mode", "remote", "--nolock", "--ignore-incomplete", "--max-inventory-time", "0"]


def make_config(folder: Path, datasets: int, chunks: int) -> None:
    """Write a configuration of one reference and `datasets - 1` queries, and its dummy files."""
    names = ["atlas", *(f"query{number}" for number in range(1, datasets))]
    config = {name: {"role": "query", "path": f"{name}.csv", "chunks": chunks} for name in names}
    config["atlas"] |= {"role": "reference", "obs": "obs.csv", "label": "cell_type"}
    for name in names:
        (folder / f"{name}.csv").write_text("x")
    (folder / "obs.csv").write_text("cell,cell_type\na,b\n")
    (folder / "config.yaml").write_text(yaml.safe_dump({"datasets": config}))
    # One job is planned with all earlier jobs finished.
    (folder / "results" / "common").mkdir(parents=True)
    (folder / "results" / "common" / "query1.h5ad").touch()
    (folder / "results" / "mapped" / "query1" / "model").mkdir(parents=True)


def plan(folder: Path, *arguments: str) -> tuple[str, float, float]:
    """Output of a dry run in `folder`, its seconds, and its peak MB."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "all"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *arguments]
    command += ["--configfile", str(folder / "config.yaml")]
    with tempfile.TemporaryFile("w+") as output:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        # The memory of this child alone.
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if child.returncode != 0:
        raise SystemExit(printed)
    kilobyte = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return printed, seconds, usage.ru_maxrss * kilobyte / 1e6


def planned_jobs(printed: str) -> dict[str, int]:
    """Number of jobs of each rule, and in `total`, from the output of a dry run."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", printed, re.M)}


def saved_calls(printed: str) -> int:
    """Number of sbatch calls saved by the profile's groups, from the output of a dry run."""
    return len(re.findall(r"^ +Job \d+: ", printed, re.M)) - len(re.findall(" Group job ", printed))


def row(datasets: int, chunks: int, repeats: int) -> str:
    """One row of the table: the fastest of several runs, least disturbed by other work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_config(folder, datasets, chunks)
        slurm = ["--profile", str(ROOT / "profiles" / "slurm")]
        on_slurm = [plan(folder, "all", *slurm, "--forceall") for _ in range(repeats)]
        plain = [plan(folder, "all", "--forceall") for _ in range(repeats)]
        job = [plan(folder, *ONE_JOB) for _ in range(repeats)]
    jobs = planned_jobs(on_slurm[0][0])
    assert planned_jobs(job[0][0]) == {"map_query": 1, "total": 1}
    seconds = [min(run[1] for run in runs) for runs in (on_slurm, plain, job)]
    megabytes = max(run[2] for run in job)
    # Local rules: they run in snakemake's own process.
    local = sum(jobs[rule] for rule in ("all", "check_datasets", "gather_scores"))
    return (
        f"| {datasets} | {chunks} | {jobs['total']} | {jobs['total'] - local - saved_calls(on_slurm[0][0])} "
        f"| {' | '.join(f'{value:.1f}' for value in seconds)} | {megabytes:.0f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", type=int, nargs="+", default=[2, 10, 100], help="numbers of datasets")
    parser.add_argument("--chunks", type=int, default=25, help="chunks of each dataset")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the fastest counts")
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", sep="\n")
    for datasets in options.datasets:
        print(row(datasets, options.chunks, options.repeats), flush=True)
