"""Causes of failed jobs and remedies, printed at the end of a run.

Imported by the Snakefile: standard library only.
"""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.disk import fullest_folder
from ..core.logs import INPUT_ERROR, NO_SPACE, RETRYABLE_ERROR, input_error_in
from .slurm import MIN_FREE_MB, PROFILE, ask, fields

# SLURM's own lines in a job's output, for sites without accounting.
SAID_BY_SLURM = {
    "OUT_OF_MEMORY": "oom-kill|oom_kill|Exceeded job memory limit",
    "TIMEOUT": "DUE TO TIME LIMIT",
    "NODE_FAIL": "DUE TO NODE FAILURE",
    "PREEMPTED": "DUE TO PREEMPTION",
    "CANCELLED": "CANCELLED AT",
}
REFUSALS = {
    "policy|MaxSubmit|MaxJobs": f"the limit on simultaneous jobs is lower: lower jobs in {PROFILE}",
    "invalid qos": f"set qos under default-resources in {PROFILE} (sacctmgr show qos format=name)",
    "invalid account": f"set account at the top of {PROFILE} (sacctmgr show associations user=$USER)",
    "invalid partition": f"set cpu_partition and gpu_partition at the top of {PROFILE} (sinfo -s)",
    "time limit": f"lower max_minutes at the top of {PROFILE} (sinfo -o '%P %l')",
    "memory": f"lower max_mem_mb at the top of {PROFILE} (sinfo -o '%P %m'); if it prints 1, set "
    "request_memory there to false",
    "processor|CPU count": f"lower the rule's number under set-threads in {PROFILE} (sinfo -o '%P %c')",
    "gres|node config": f"lower gpus, max_mem_mb or set-threads in {PROFILE} (sinfo -o '%P %m %c %G')",
    "Socket timed out|Unable to contact": "the controller was too busy or down; start snakemake again",
}


REFUSED = r"message: (?:SLURM sbatch failed.*?'|Job submission failed[^:]*:)(.*?)(?:'\.$|'\.\n|For further|$)"
# The last line of a traceback, or of a job with too little memory; not Snakemake's own errors.
ERROR = (
    r"^(?!RuleException|CalledProcessError|WorkflowError)"
    rf"(?:\w[\w.]*(?:Error|Exception)\b|{RETRYABLE_ERROR}).*$"
)


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
    """A job that failed in all attempts; `beside` are the other rules of its SLURM job."""

    rule: str
    outputs: str
    log: str
    refusal: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    beside: str = ""


def explain_failures(jobs: Iterable[Any], jobid: Callable[[Any], int], snakemake_logs: list[str]) -> str:
    """Describe a run's failed jobs: SLURM's state of each attempt, and a remedy.

    Parameters
    ----------
    jobs
        Snakemake's jobs that failed in all attempts.
    jobid
        A job's number in the log.
    snakemake_logs
        The main process's logs (`log` in an `onerror` hook).
    """
    log = "".join(map(_read, snakemake_logs))
    failures = [
        failure for job in jobs for failure in _failures_of(job, *read_attempts(log, str(jobid(job))))
    ]
    if not failures:
        return ""
    ids = [attempt.slurm_id for failure in failures for attempt in failure.attempts]
    accounted = accounting(ask("sacct", *SACCT, f"--jobs={','.join(ids)}") or "" if ids else "")
    for failure in failures:
        failure.attempts = [_with_state(attempt, accounted) for attempt in failure.attempts]
    # Users' mistakes are printed last, where they are noticed.
    explained = sorted(
        (input_error_in(_read(failure.log)) is not None, _tell(failure)) for failure in failures
    )
    return "\n".join(
        [f"\n{len(failures)} job(s) failed; finished results are kept.", *(text for _, text in explained)]
    )


def _failures_of(job: Any, refusal: str, attempts: list[Attempt]) -> list[Failure]:
    """Failures of a job; of a group, those of its rules, or of the group if no rule had started."""
    if not job.is_group():
        return [_failure(job, refusal, attempts)]
    members = list(job)
    rules = list(dict.fromkeys(member.rule.name for member in members))
    failed = [] if refusal or not attempts else _failed_rules(_read(attempts[-1].slurm_log), rules)
    if not failed and len(members) > 1:
        outputs = ", ".join(path for member in members for path in member.output)
        logs = ", ".join(path for member in members for path in member.log)
        return [Failure(f"{job.groupid} ({', '.join(rules)})", outputs, logs, refusal, attempts)]
    return [
        _failure(
            member, refusal, attempts, beside=", ".join(rule for rule in rules if rule != member.rule.name)
        )
        for member in members
        if member.rule.name in failed or len(members) == 1
    ]


def _failure(job: Any, refusal: str, attempts: list[Attempt], beside: str = "") -> Failure:
    return Failure(
        job.rule.name, ", ".join(job.output), next(iter(job.log), ""), refusal, list(attempts), beside
    )


def _failed_rules(slurm_log: str, rules: list[str]) -> list[str]:
    """Failed rules of a group, by its job's snakemake log; empty without messages.

    If the job was killed, the first unfinished rule.
    """
    if failed := re.findall(r"^Error in rule (\w+):", slurm_log, re.M):
        return failed
    finished = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", slurm_log, re.M)
    begun = re.search(r"^Execute \d+ jobs", slurm_log, re.M)
    return [rule for rule in rules if rule not in finished][:1] if begun else []


def read_attempts(log: str, job: str) -> tuple[str, list[Attempt]]:
    """Last refusal of a job's submission, if any, and its SLURM jobs, from the main log."""
    submitted = rf"^Job {job} has been submitted with SLURM jobid (\d+) \(log: (.*)\)\.$"
    refusal, attempts = "", []
    for part in re.split(r"^Error in (?:rule|group) \w+:\n", f"\n{log}", flags=re.M):
        # sbatch's output is in the lines before the job's number.
        message, _, number = part.partition("\n    jobid: ")
        if re.match(rf"{job}\b", number) and (match := re.search(REFUSED, message, re.S)):
            refusal = match[1].strip()
        for match in re.finditer(submitted, part, re.M):
            attempts.append(Attempt(*match.groups()))
            refusal = ""
    return refusal, attempts


SACCT = [
    "--noheader",
    "--parsable2",
    "--units=M",
    "--format=JobID,State,NodeList,Elapsed,Timelimit,MaxRSS,ReqMem",
]


def accounting(text: str) -> dict[str, Attempt]:
    """Attempts by SLURM job from `sacct`, with its steps.

    A submitted job is a snakemake process that starts the rule in a separate step. If the step is killed for
    its memory, the job's state is FAILED, and only the step's is OUT_OF_MEMORY.
    """
    jobs: dict[str, Attempt] = {}
    for name, state, node, ran, limit, used, asked in fields(text, 7):
        job, _, step = name.partition(".")
        attempt = jobs.setdefault(job, Attempt(job, ""))
        attempt = replace(attempt, used_mb=max(attempt.used_mb, _megabytes(used)))
        if not step:
            attempt = replace(
                attempt,
                state=(state.split() or ["?"])[0],
                node=node,
                ran=ran,
                limit=limit,
                asked_mb=_megabytes(asked),
            )
        elif state.startswith("OUT_OF_ME"):
            attempt = replace(attempt, state="OUT_OF_MEMORY")
        jobs[job] = attempt
    return jobs


def _megabytes(text: str) -> int:
    number = re.match(r"[\d.]+", text)
    return round(float(number[0])) if number else 0


def _with_state(attempt: Attempt, accounted: dict[str, Attempt]) -> Attempt:
    known = accounted.get(attempt.slurm_id, attempt)
    slurm_log = _read(attempt.slurm_log)
    state = known.state
    if attempt.slurm_id not in accounted or state in ("FAILED", "RUNNING", "PENDING", "COMPLETING"):
        state = next(
            (state for state, words in SAID_BY_SLURM.items() if re.search(words, slurm_log)), "FAILED"
        )
    return replace(known, slurm_log=attempt.slurm_log, state=state)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _tell(failure: Failure) -> str:
    lines = ["", f"{failure.rule}: {failure.outputs}", f"  log: {failure.log}"]
    if failure.beside:
        lines.append(f"  in the same job: {failure.beside}")
    for number, attempt in enumerate(failure.attempts, start=1):
        memory = f", {attempt.used_mb} of {attempt.asked_mb} MB" if attempt.asked_mb else ""
        lines.append(
            f"  attempt {number}: {attempt.state} on {attempt.node}, {attempt.ran} of {attempt.limit}{memory}"
            f" (SLURM job {attempt.slurm_id}, {attempt.slurm_log})"
        )
    lines.append(f"  {_remedy(failure)}")
    return "\n".join(lines)


def _remedy(failure: Failure) -> str:
    rule, log = failure.rule, _read(failure.log)
    if mistake := input_error_in(log):
        return INPUT_ERROR + mistake
    if failure.refusal:
        remedies = (way for words, way in REFUSALS.items() if re.search(words, failure.refusal, re.I))
        return f"SLURM refused it ({failure.refusal}): {next(remedies, 'see `man sbatch`')}"
    last = failure.attempts[-1] if failure.attempts else Attempt("", "")
    slurm_log = _read(last.slurm_log)
    if no_space := re.search(f"^{NO_SPACE}.*$", log + slurm_log, re.M):
        return no_space[0]
    if re.search("No space left on device|Disk quota exceeded", log + slurm_log):
        return f"{NO_SPACE} in {fullest_folder()}: free some space, then start snakemake again"
    if last.state == "OUT_OF_MEMORY":
        return (
            f"it needs more than its {last.asked_mb or 'requested'} MB: raise mem_mb of {rule} in {PROFILE} "
            "(and max_mem_mb, if a node has more)"
        )
    if last.state == "TIMEOUT":
        more = "; it resumes from its last state" if rule == "train_reference_model" else ""
        alone = f", remove {rule} from groups there" if failure.beside else ""
        return (
            f"it needs longer than {last.limit}: raise runtime of {rule} in {PROFILE} (and max_minutes, "
            f"if the partition allows more){alone}, or use more `chunks`{more}"
        )
    if last.state == "NODE_FAIL":
        return f"its node failed: start snakemake again with --slurm-exclude-failed-nodes {last.node}"
    if last.state in ("CANCELLED", "PREEMPTED", "REVOKED", "DEADLINE"):
        return f"it was ended from outside ({last.state}): start snakemake again"
    # The rule's own error, or that of the process that started it.
    for text in (log, slurm_log):
        if errors := re.findall(ERROR, text, re.M):
            return errors[-1]
    fullest = fullest_folder()
    free_mb = shutil.disk_usage(fullest).free // 2**20
    if free_mb < MIN_FREE_MB:
        left = f"the disk of {fullest} has {free_mb} MB left"
        return f"{left}: free some space, then start snakemake again"
    return "its logs contain no reason; start snakemake again"
