"""Faults on a real SLURM under a job of every rule, with counts of survived ones.

    PYTHONPATH=scripts:tests .venv/bin/python tests/slurm/faults.py [--faults cancelled,preempted] [--times 3]

Prints the table of docs/slurm.md. It starts the cluster of the SLURM tests, runs the whole workflow once per
fault, and freezes the first script of each rule while the fault is made, so that it hits a working job. A
fault is survived if the run then finishes by itself (or, if snakemake itself was ended, when it is started
again), with the right labels, no half-written file, no job in the queue and no finished job run twice.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from cluster import QUIET_SECONDS, Cluster, Run, Standstill, heed_interrupts, wait_for
from content import hidden
from simulate import simulate_cells

RULES = [
    "inspect_dataset",
    "convert_to_chunks",
    "merge_h5ad",
    "split_reference",
    "select_genes",
    "subset_reference",
    "subset_common_genes",
    "shuffle_reference",
    "train_reference_model",
    "fit_query_model",
    "map_query",
    "train_classifier",
    "calibrate_classifier",
    "predict_labels",
    "gather_predictions",
    "evaluate",
    "report",
]


class Job:
    """The job whose script is frozen, on its cluster and in its run."""

    def __init__(self, run, rule, pid) -> None:
        self.run, self.cluster, self.rule, self.pid = run, run.cluster, rule, pid
        cgroups = Path(f"/proc/{pid}/cgroup").read_text()
        self.node, self.number = re.search(r"/slurm_(\w+)/uid_\d+/job_(\d+)/", cgroups).groups()

    def go_on(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def wait_until_ended(self, seconds=180) -> None:
        wait_for(lambda: not Path(f"/proc/{self.pid}").exists(), seconds, f"the job of {self.rule} to end")


# ---- Faults: each returns the snakemake that continues, if it is another one -----------------------------


def out_of_memory(job, snakemake):
    job.cluster.take_memory_away(job.number)
    job.go_on()


def time_limit(job, snakemake):
    job.cluster.ask("scontrol", "update", f"JobId={job.number}", "TimeLimit=1")
    job.wait_until_ended()


def cancelled(job, snakemake):
    job.cluster.ask("scancel", job.number)


def node_failure(job, snakemake):
    job.cluster.kill_node(job.node)
    running = ["squeue", "--noheader", f"--nodelist={job.node}", "--states=RUNNING", "--format=%i"]
    wait_for(lambda: not job.cluster.ask(*running), 120, f"SLURM to notice that {job.node} is down")
    job.cluster.start_node(job.node)
    job.cluster.wait_until_ready()


def node_drained(job, snakemake):
    job.cluster.ask("scontrol", "update", f"NodeName={job.node}", "State=DRAIN", "Reason=test")
    job.go_on()
    job.wait_until_ended()
    time.sleep(10)
    job.cluster.ask("scontrol", "update", f"NodeName={job.node}", "State=RESUME")


def controller_restarted(job, snakemake):
    job.cluster.stop_daemon("slurmctld")
    job.go_on()
    time.sleep(20)
    job.cluster.start_daemon("slurmctld")
    # SLURM 22.05 miscounts the GPUs of jobs that ran while its controller was restarted, and lets the
    # next ones wait forever; with this command an administrator makes it count again.
    time.sleep(5)
    job.cluster.ask("scontrol", "reconfigure")


def accounting_down(job, snakemake):
    job.cluster.stop_daemon("slurmdbd")
    job.go_on()
    time.sleep(60)
    job.cluster.start_daemon("slurmdbd")


def preempted(job, snakemake):
    urgent = ["sbatch", "-p", "urgent", "-A", "default", "-w", job.node, "--exclusive", "-o", "/dev/null"]
    job.cluster.ask(*urgent, "--wrap", "sleep 5")
    job.wait_until_ended()


def snakemake_interrupted(job, snakemake):
    os.kill(snakemake.pid, signal.SIGINT)
    job.run.wait(snakemake)
    return job.run.start()


def snakemake_killed(job, snakemake):
    os.killpg(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    job.run.finish("--unlock")
    said = job.run.finish()[1]  # refused, since its jobs still run
    ids = re.findall(r"or cancel them: scancel ([\d ]+)", said)[-1].split()
    job.cluster.ask("scancel", *ids)
    wait_for(lambda: not job.cluster.queue(job.run.folder), 60, "the cancelled jobs to be gone")
    return job.run.start()


def two_writers(job, snakemake):
    """Killed and started again without the check for old jobs: an old and a new one write the same."""
    os.killpg(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    job.run.finish("--unlock")
    again = job.run.start("--no-hooks")
    wait_for(
        lambda: [pid for pid in job.run.scripts(job.rule) if pid != job.pid] or again.poll() is not None,
        180,
        f"the second writer of {job.rule}",
    )
    job.go_on()
    job.wait_until_ended()
    # In a group's job that continues, the next rules would be hit instead.
    with contextlib.suppress(subprocess.CalledProcessError):  # it has ended
        job.cluster.ask("scancel", job.number)
    return again


FAULTS = {
    out_of_memory: "killed for memory",
    time_limit: "time limit",
    cancelled: "`scancel`",
    snakemake_interrupted: "Ctrl-C",
    snakemake_killed: "`kill -9`",
    two_writers: "two writers",
    node_failure: "node failure",
    node_drained: "node drained",
    preempted: "preempted",
    controller_restarted: "slurmctld down",
    accounting_down: "slurmdbd down",
}
# Faults of whole nodes; runs with other faults are started side by side.
ALONE = [node_failure, node_drained, preempted, controller_restarted, accounting_down]


# ---- Loop ------------------------------------------------------------------------------------------------


def make_run(cluster, folder):
    """The workflow on simulated cells with well-separated labels."""
    simulate_cells(240, batches=("a", "b")).write_h5ad(folder / "reference.h5ad")
    simulate_cells(60, seed=1).write_h5ad(folder / "query.h5ad")
    atlas = {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "batch": "sample"}
    patients = {"role": "query", "path": "query.h5ad"}
    config = {
        "datasets": {"atlas": {**atlas, "chunks": 1}, "patients": {**patients, "chunks": 1}},
        "genes": {"n_variable": 150},
        "model": {"epochs": 30, "n_latent": 5, "n_hidden": 16, "n_layers": 1},
        "surgery": {"epochs": 5},
        "prediction": {"n_trees": 20},
    }
    # Few threads: a frozen job keeps its cores from other jobs. Rules of a group are hit one by
    # one in attempts of the same job, which must not run out.
    return Run(cluster, folder, config, retries=5, **{"set-threads": {"train_classifier": 2}})


def run_with(fault, cluster, rules):
    """One run in which the fault hits a job of each rule; returns results and problems."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    run = make_run(cluster, folder)
    snakemake, outcome, starts_by_hand = run.start(), {}, 0
    standstill = Standstill(QUIET_SECONDS, run.progress)
    while not standstill:
        if snakemake.poll() is not None:
            if snakemake.returncode == 0:
                break
            told = run.said().rpartition("job(s) failed")[2]
            failed = re.findall(r"^(\w+)(?: \(.*\))?: results/", told, re.M)
            if not failed or starts_by_hand == len(rules):
                return outcome, [f"does not finish; see {folder}"]
            outcome |= dict.fromkeys(failed, "finished by hand")
            starts_by_hand += 1
            snakemake = run.start()
        for rule in rules:
            if rule not in outcome and (pids := run.scripts(rule)):
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    os.kill(pids[0], signal.SIGSTOP)
                    job = Job(run, rule, pids[0])
                    print(f"{fault.__name__}: {rule}, SLURM job {job.number} on {job.node}", flush=True)
                    snakemake = fault(job, snakemake) or snakemake
                    outcome[rule] = "survived"
        time.sleep(0.2)
    problems = wrong(run, fault)
    if not problems:
        shutil.rmtree(folder)
    return outcome, problems


def wrong(run, fault):
    """Problems of a finished run."""
    results, problems = run.folder / "results", []
    wait_for(lambda: not run.cluster.queue(run.folder), 60, "the queue to be empty")
    # The hooks at the end of a run remove its marks (.runs); the run of two writers has no hooks.
    kept = {".runs"} if fault is two_writers else set()
    remnants = [path for path in hidden(results) if path.name not in kept]
    problems += [f"left behind: {path}" for path in remnants]
    truth = simulate_cells(60, seed=1).obs["cell_type"]
    predictions = pd.read_parquet(results / "predictions" / "patients.parquet")
    labeled = ad.read_h5ad(results / "labeled" / "patients.h5ad")
    if list(predictions["cell"]) != list(truth.index) or list(labeled.obs_names) != list(truth.index):
        problems.append("cells are missing or out of order")
    if np.mean(predictions["best_label"].to_numpy() == truth.to_numpy()) < 0.9:
        problems.append("labels are wrong")
    completed = Counter(job["Comment"] for job in run.cluster.accounted(run) if job["State"] == "COMPLETED")
    if fault is not two_writers:
        problems += [f"run twice: {job}" for job, times in completed.items() if times > 1]
    if "Nothing to be done" not in run.finish()[1].rpartition("Building DAG")[2]:
        problems.append("another run finds something to do")
    return problems


def table(counts):
    """Markdown: rules × faults, survived/tried."""
    lines = ["| rule | " + " | ".join(FAULTS.values()) + " |", "|---" * (len(FAULTS) + 1) + "|"]

    def cell(outcomes):
        return f"{outcomes.get('survived', 0)}/{sum(outcomes.values())}" if outcomes else "-"

    for rule in RULES:
        cells = [cell(counts.get(fault.__name__, {}).get(rule)) for fault in FAULTS]
        lines.append(f"| `{rule}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    names = {fault.__name__: fault for fault in FAULTS}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", default=",".join(names), help=f"of {', '.join(names)}")
    parser.add_argument("--rules", default=",".join(RULES), help="under whose jobs")
    parser.add_argument("--times", type=int, default=1, help="how often each")
    parser.add_argument("--json", type=Path, help="file to add the counts to; the table is of all in it")
    arguments = parser.parse_args()
    faults = [names[name] for name in arguments.faults.split(",") for _ in range(arguments.times)]
    counts = {}
    if arguments.json and arguments.json.exists():
        counts = json.loads(arguments.json.read_text())
    heed_interrupts()  # here, since runs are started in threads
    cluster, problems = Cluster.start(), []

    def count(fault):
        outcome, found = run_with(fault, cluster, arguments.rules.split(","))
        by_rule = counts.setdefault(fault.__name__, {})
        for rule, what in outcome.items():
            outcomes = by_rule.setdefault(rule, {})
            what = "wrong" if found else what
            outcomes[what] = outcomes.get(what, 0) + 1
        for problem in found:
            print(f"{fault.__name__}: WRONG: {problem}", flush=True)
        problems.extend(found)
        if arguments.json:
            arguments.json.write_text(json.dumps(counts, indent=1))

    try:
        with ThreadPoolExecutor(max_workers=3) as side_by_side:
            list(side_by_side.map(count, [fault for fault in faults if fault not in ALONE]))
        for fault in faults:
            if fault in ALONE:
                count(fault)
    finally:
        cluster.stop()
    print(table(counts))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
