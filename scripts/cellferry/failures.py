"""Why jobs failed, and what to change: said at the end of a run, where it is read.

Read by the Snakefile, so it imports nothing that a login node with Snakemake alone lacks.
"""

import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from .logs import INPUT_ERROR, NO_SPACE, input_error_in
from .slurm import LEAST_FREE_MB, PROFILE, ask

# What SLURM itself writes into a job's output, for sites whose accounting is off or down.
SAID_BY_SLURM = {
    "OUT_OF_MEMORY": "oom-kill|oom_kill|Exceeded job memory limit",
    "TIMEOUT": "DUE TO TIME LIMIT",
    "NODE_FAIL": "DUE TO NODE FAILURE",
    "PREEMPTED": "DUE TO PREEMPTION",
    "CANCELLED": "CANCELLED AT",
}
REFUSALS = {
    "invalid partition": f"set cpu_partition and gpu_partition at the top of {PROFILE} (sinfo -s lists them)",
    "account": f"set account at the top of {PROFILE} (sacctmgr show associations user=$USER format=account)",
    "time limit": f"lower most_minutes at the top of {PROFILE} (sinfo -o '%P %l')",
    "memory": f"lower most_mem_mb at the top of {PROFILE} (sinfo -o '%P %m')",
    "processor|CPU count": f"lower the rule's number under set-threads in {PROFILE} (sinfo -o '%P %c')",
    "gres|node config": f"lower gpus, most_mem_mb or set-threads in {PROFILE} (sinfo -o '%P %m %c %G')",
    "limit|QOS": f"your site allows fewer jobs at a time: lower jobs in {PROFILE}, or ask its support",
    "Socket timed out|Unable to contact": "the controller was too busy or down; start snakemake again",
}


@dataclass(frozen=True)
class Attempt:
    """One SLURM job."""

    slurm_id: str
    slurm_log: str
    state: str = "FAILED"
    node: str = "?"
    ran: str = "?"
    limit: str = "?"
    used_mb: int = 0
    asked_mb: int = 0


@dataclass
class Failure:
    """A job of the workflow that failed in all its attempts."""

    rule: str
    outputs: str = ""
    log: str = ""
    message: str = ""
    attempts: list[Attempt] = field(default_factory=list)


def explain_failures(snakemake_logs: list[str]) -> str:
    """What became of the jobs that failed in a run: what SLURM knows of each attempt, and what to change.

    Parameters
    ----------
    snakemake_logs
        The main process's logs (`log` in an `onerror` hook).
    """
    failures = read_failures("".join(map(_read, snakemake_logs)))
    ids = [attempt.slurm_id for failure in failures for attempt in failure.attempts]
    accounted = accounting(ask("sacct", *SACCT, f"--jobs={','.join(ids)}") or "" if ids else "")
    for failure in failures:
        failure.attempts = [_with_state(attempt, accounted) for attempt in failure.attempts]
    if not failures:
        return ""
    # A user's mistakes come last, where the eye falls.
    told = sorted((input_error_in(_read(failure.log)) is not None, _tell(failure)) for failure in failures)
    return "\n".join(
        [f"\n{len(failures)} job(s) failed; what is finished is kept.", *(text for _, text in told)]
    )


def read_failures(text: str) -> list[Failure]:
    """The jobs that failed and never finished by a main process's log, in the order of their failure."""
    failures: dict[str, Failure] = {}
    submitted: dict[str, list[Attempt]] = {}
    for found in re.finditer(
        r"^Job (\d+) has been submitted with SLURM jobid (\d+) \(log: (.*)\)\.$", text, re.M
    ):
        submitted.setdefault(found[1], []).append(Attempt(found[2], found[3]))
    # What sbatch said may fill several lines between the rule's name and the job's number.
    blocks = r"^Error in rule (\w+):\n(.*?)^    jobid: (\d+)\n((?:    [^\n]*\n?)*)"
    for block in re.finditer(blocks, text, re.M | re.S):
        rule, before, job, after = block.groups()
        failure = failures.setdefault(job, Failure(rule, attempts=submitted.get(job, [])))
        failure.message = before.partition("message: ")[2].strip().removeprefix("None")
        failure.outputs = _value(after, "output")
        failure.log = _value(after, "log").partition(" (check")[0].split(", ")[0]
    for job in re.findall(r"^Finished jobid: (\d+) ", text, re.M):
        failures.pop(job, None)
    return list(failures.values())


def _value(block: str, key: str) -> str:
    found = re.search(rf"^    {key}: (.*)$", block, re.M)
    return found[1] if found else ""


SACCT = [
    "--noheader",
    "--parsable2",
    "--units=M",
    "--format=JobID,State,NodeList,Elapsed,Timelimit,MaxRSS,ReqMem",
]


def accounting(text: str) -> dict[str, Attempt]:
    """What `sacct` knows, per SLURM job; its steps are looked at too.

    The job that snakemake sends is a snakemake itself, which starts the rule in a step of its own. When the
    step is killed for its memory, the job around it has merely failed: only the step says OUT_OF_MEMORY.
    """
    jobs: dict[str, Attempt] = {}
    for line in text.splitlines():
        name, state, node, ran, limit, used, asked = line.split("|")
        job, _, step = name.partition(".")
        attempt = jobs.setdefault(job, Attempt(job, ""))
        attempt = replace(attempt, used_mb=max(attempt.used_mb, _megabytes(used)))
        if not step:
            attempt = replace(
                attempt, state=state.split()[0], node=node, ran=ran, limit=limit, asked_mb=_megabytes(asked)
            )
        elif state.startswith("OUT_OF_ME"):
            attempt = replace(attempt, state="OUT_OF_MEMORY")
        jobs[job] = attempt
    return jobs


def _megabytes(text: str) -> int:
    found = re.match(r"[\d.]+", text)
    return round(float(found[0])) if found else 0


def _with_state(attempt: Attempt, accounted: dict[str, Attempt]) -> Attempt:
    known = accounted.get(attempt.slurm_id, attempt)
    said = _read(attempt.slurm_log)
    state = known.state
    if attempt.slurm_id not in accounted or state in ("FAILED", "RUNNING", "PENDING", "COMPLETING"):
        state = next((state for state, words in SAID_BY_SLURM.items() if re.search(words, said)), "FAILED")
    return replace(known, slurm_log=attempt.slurm_log, state=state)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _tell(failure: Failure) -> str:
    lines = ["", f"{failure.rule}: {failure.outputs}", f"  log: {failure.log}"]
    for number, attempt in enumerate(failure.attempts, start=1):
        memory = f", {attempt.used_mb} of {attempt.asked_mb} MB" if attempt.asked_mb else ""
        lines.append(
            f"  attempt {number}: {attempt.state} on {attempt.node}, {attempt.ran} of {attempt.limit}{memory}"
            f" (SLURM job {attempt.slurm_id}, {attempt.slurm_log})"
        )
    lines.append(f"  {_remedy(failure)}")
    return "\n".join(lines)


def _remedy(failure: Failure) -> str:
    rule = failure.rule
    if mistake := input_error_in(_read(failure.log)):
        return INPUT_ERROR + mistake
    if not failure.attempts and "sbatch failed" in failure.message:
        said = failure.message.partition("The error message was '")[2].partition("'.")[0]
        remedy = next(
            (way for words, way in REFUSALS.items() if re.search(words, said, re.I)), "see `man sbatch`"
        )
        return f"SLURM did not take it ({said}): {remedy}"
    if not failure.attempts and failure.message:
        return f"it could not be submitted: {failure.message.partition('For further error')[0]}"
    last = failure.attempts[-1] if failure.attempts else Attempt("", "")
    everything = _read(failure.log) + _read(last.slurm_log)
    if re.search(f"{NO_SPACE}|No space left on device|Disk quota exceeded", everything):
        return f"{NO_SPACE}: free some space, then start snakemake again"
    if last.state == "OUT_OF_MEMORY":
        return (
            f"it needs more than {last.asked_mb or 'its'} MB: raise mem_mb of {rule} in {PROFILE} "
            "(and most_mem_mb, if a node has more)"
        )
    if last.state == "TIMEOUT":
        more = "; it resumes where it was" if rule == "train_reference_model" else ""
        return (
            f"it needs longer than {last.limit}: raise runtime of {rule} in {PROFILE} (and most_minutes, "
            f"if the partition allows more), or cut the dataset into more `chunks`{more}"
        )
    if last.state == "NODE_FAIL":
        return f"its node failed: start snakemake again with --slurm-exclude-failed-nodes {last.node}"
    if last.state in ("CANCELLED", "PREEMPTED", "REVOKED", "DEADLINE"):
        return f"somebody or something else ended it ({last.state}): start snakemake again"
    errors = re.findall(r"^\w[\w.]*(?:Error|Exception)\b.*$", everything, re.M)
    free_mb = shutil.disk_usage(".").free // 2**20
    if not errors and free_mb < LEAST_FREE_MB:
        return f"there are {free_mb} MB left on the disk: free some space, then start snakemake again"
    lines = [line for line in everything.splitlines() if line.strip()]
    return (errors or lines or ["its logs do not say why; start snakemake again"])[-1]
