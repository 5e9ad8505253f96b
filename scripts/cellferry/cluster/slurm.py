"""What SLURM can give, checked before jobs are sent to it, and what it has to say about those that failed.

Read by the Snakefile, so it imports nothing that a login node with Snakemake alone lacks.
"""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

import getpass
import math
import os
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

LEAST_FREE_MB = 500
UNKNOWN_MEM_MB = 1  # what SLURM says of a node whose RealMemory is not configured
LONGEST_LOOK_SECONDS = 195  # the plugin asks every 180 seconds at the longest
PROFILE = "profiles/slurm/config.yaml"


# ---- Before the first job --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What a rule's job asks SLURM for in one of its attempts."""

    rule: str
    attempt: int
    account: str
    partition: str
    mem_mb: int
    cpus: int
    minutes: int
    gpus: int
    gpu_kind: str

    @classmethod
    def of(cls, job: Any, attempt: int) -> Request:
        """The request of a Snakemake job, as the SLURM plugin will phrase it."""
        resources = job.rule.expand_resources(
            job.wildcards_dict, job.input, attempt, skip_evaluation={"tmpdir"}
        )
        ((kind, count),) = (_gpus(str(resources.get("gres", ""))) or {"": 0}).items()
        return cls(
            rule=job.rule.name,
            attempt=attempt,
            account=str(resources.get("slurm_account", "")),
            partition=str(resources.get("slurm_partition", "")),
            mem_mb=memory_request(resources),
            cpus=int(resources.get("_cores", 1)),
            minutes=int(resources.get("runtime", 0)),
            gpus=int(resources.get("gpu", 0)) or count,
            gpu_kind=str(resources.get("gpu_model", "")) or kind,
        )


def memory_request(resources: Mapping[str, Any]) -> int:
    """MB that the SLURM plugin asks for; 0 where a profile leaves that out (`request_memory: false`)."""
    per_cpu = resources.get("mem_mb_per_cpu")
    # The plugin takes it before mem_mb, and "0" for an amount: --mem-per-cpu 0, which to SLURM is no request.
    if per_cpu:
        return int(per_cpu) * int(resources.get("_cores", 1))
    return int(resources.get("mem_mb", 0))


@dataclass(frozen=True)
class Node:
    """What one node of a partition has: `gpus` by kind; `minutes` is the partition's time limit."""

    partition: str
    mem_mb: int
    cpus: int
    gpus: dict[str, int]
    minutes: float

    def has_gpus(self, request: Request) -> bool:
        """Whether it has the GPUs of a request."""
        if not request.gpus:
            return True
        kinds = [request.gpu_kind] if request.gpu_kind else list(self.gpus)
        return any(self.gpus.get(kind, 0) >= request.gpus for kind in kinds)


def check_cluster(jobs: Iterable[Any], *, attempts: int, first_look_seconds: int) -> None:
    """Check, before anything is submitted, that SLURM can run what the jobs will ask for.

    Parameters
    ----------
    jobs
        Snakemake's jobs that are to be submitted.
    attempts
        How often a job may be started; the first and the last attempt are checked.
    first_look_seconds
        The plugin's `init_seconds_before_status_checks`.

    Raises
    ------
    InputError
        One message that lists all problems, each with its remedy.
    """
    if shutil.which("sbatch") is None:
        raise InputError(
            "there is no sbatch on the PATH: this machine cannot submit SLURM jobs. Log in to the cluster's "
            "login node (or load its slurm module), or run here with --profile profiles/local"
        )
    nodes = nodes_of_cluster()
    requests = {Request.of(job, attempt) for job in jobs for attempt in {1, attempts}}
    problems = request_problems(requests, nodes)
    problems += account_problems({request.account for request in requests}, accounts_of_user())
    problems += memory_of_jobs_problems(ask("scontrol", "show", "config") or "", first_look_seconds)
    problems += _disk_problems(Path.cwd())
    problems += _orphan_problems(Path.cwd())
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise InputError(f"the cluster cannot run this ({len(problems)} problem(s)):\n{listed}")


def request_problems(requests: Iterable[Request], nodes: list[Node]) -> list[str]:
    """Why SLURM would refuse requests, or let them wait for ever; a problem of several rules is told once."""
    partitions = defaultdict(list)
    for node in nodes:
        partitions[node.partition].append(node)
    rules = defaultdict(list)
    refused = set()
    for request in sorted(requests, key=lambda request: (request.attempt, request.rule)):
        # What is refused on the first attempt is refused on the last, too.
        problems = [] if request.rule in refused else _problems(request, partitions)
        for problem in problems:
            rules[problem].append(request.rule)
            refused.add(request.rule)
    return [f"{', '.join(dict.fromkeys(names))}: {problem}" for problem, names in rules.items()]


def _problems(request: Request, partitions: dict[str, list[Node]]) -> list[str]:
    # SLURM takes a list and chooses; no partition at all is its default one, which need not be ours to know.
    wanted = [name for name in request.partition.split(",") if name]
    missing = [name for name in wanted if name not in partitions]
    if missing:
        return [
            f"there is no partition '{missing[0]}'; this cluster has {', '.join(sorted(partitions))}. "
            f"Set cpu_partition and gpu_partition at the top of {PROFILE}"
        ]
    nodes = [node for name in wanted or partitions for node in partitions[name]]
    place = f"partition {request.partition}" if wanted else "the cluster"
    which = "" if request.attempt == 1 else f" on attempt {request.attempt}"
    if request.gpu_kind and not re.fullmatch(r"[A-Za-z0-9_.]+", request.gpu_kind):
        return [
            f"asks for GPUs of kind '{request.gpu_kind}', and the SLURM plugin takes letters, digits, _ and "
            f'. only. Set gpu_kind at the top of {PROFILE} to "" and choose them by '
            "`constraint:` or by their partition"
        ]
    with_gpu = [node for node in nodes if node.has_gpus(request)]
    if not with_gpu:
        kinds = {f"{kind or 'gpu'}:{count}" for node in nodes for kind, count in node.gpus.items()}
        return [
            f"asks for {request.gpu_kind or 'gpu'}:{request.gpus}, and {place} has "
            f"{', '.join(sorted(kinds)) or 'no GPU'}. Set gpu_partition, gpu_kind and gpus (0: on CPUs) "
            f"at the top of {PROFILE}"
        ]
    problems = []
    most_mem_mb = max(node.mem_mb for node in with_gpu)
    if request.mem_mb > most_mem_mb <= UNKNOWN_MEM_MB:
        problems.append(
            f"asks for memory, and SLURM does not know how much the nodes of {place} have (sinfo says "
            f"{most_mem_mb} MB: RealMemory is not configured). Set request_memory at the top of {PROFILE} to "
            "false: jobs keep to their mem_mb without asking SLURM for it. Or ask your site's admins for "
            "RealMemory (AWS ParallelCluster: EnableMemoryBasedScheduling)"
        )
    elif request.mem_mb > most_mem_mb:
        problems.append(
            f"asks for {request.mem_mb} MB{which}, and the largest node of {place} has {most_mem_mb}. "
            f"Set most_mem_mb at the top of {PROFILE} to {most_mem_mb} or less: jobs work in smaller blocks"
        )
    most_cpus = max(node.cpus for node in with_gpu)
    if request.cpus > most_cpus:
        problems.append(
            f"asks for {request.cpus} CPUs, and the largest node of {place} has {most_cpus}. "
            f"Lower it under set-threads in {PROFILE}"
        )
    most_minutes = max(node.minutes for node in with_gpu)
    if request.minutes > most_minutes:
        problems.append(
            f"asks for {request.minutes} minutes{which}, and {place} allows {most_minutes:.0f}. "
            f"Set most_minutes at the top of {PROFILE} to {most_minutes:.0f} or less"
        )
    together = [
        node
        for node in with_gpu
        if node.mem_mb >= request.mem_mb and node.cpus >= request.cpus and node.minutes >= request.minutes
    ]
    if not problems and not together:
        problems.append(
            f"asks for {request.mem_mb} MB, {request.cpus} CPUs and {request.minutes} minutes{which}, and no "
            f"single node of {place} has all three. In {PROFILE}, lower most_mem_mb, most_minutes or the "
            "rule's number under set-threads"
        )
    return problems


def account_problems(wanted: Iterable[str], known: set[str]) -> list[str]:
    """Accounts that jobs would be charged to and that the user does not have; nothing if none is known."""
    named = {name for names in wanted for name in re.split(r"[,\s]+", names) if name}
    return [
        f"there is no account '{account}' for you; you have {', '.join(sorted(known))}. "
        f"Set account at the top of {PROFILE}"
        for account in sorted(named)
        if known and account.lower() not in known
    ]


def memory_of_jobs_problems(scontrol_config: str, first_look_seconds: int) -> list[str]:
    """A controller that may forget a finished job before snakemake has asked for it, and would wait for ever.

    The plugin asks every 180 seconds at the longest. Where MinJobAge is below three times its first interval
    it asks the accounting instead, which does not forget.
    """
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", scontrol_config, re.M)
    if not found or not 3 * first_look_seconds <= int(found[1]) < LONGEST_LOOK_SECONDS:
        return []
    return [
        f"SLURM forgets finished jobs after {found[1]} s (MinJobAge), perhaps before snakemake asks for "
        f"them. Set slurm-init-seconds-before-status-checks in {PROFILE} to {LONGEST_LOOK_SECONDS // 3}"
    ]


def nodes_of_cluster() -> list[Node]:
    """Every node of every partition; raises `InputError` if SLURM does not answer."""
    # All: partitions that are hidden may be used nevertheless.
    answer = ask("sinfo", "--all", "--noheader", "--Node", "--format=%R|%m|%c|%G|%l")
    if answer is None:
        raise InputError(
            "SLURM does not answer (sinfo failed); look at `scontrol ping`, and start again when it does"
        )
    nodes = []
    for partition, mem_mb, cpus, gres, limit in fields(answer, 5):
        numbers = (int(re.match(r"\d+", text)[0]) for text in (mem_mb, cpus))
        nodes.append(Node(partition, *numbers, _gpus(gres), _minutes(limit)))
    return nodes


def accounts_of_user() -> set[str]:
    """Accounts of the user, in small letters; none where a site has no accounting."""
    user = getpass.getuser()
    answer = ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account"
    )
    return {line.strip().lower() for line in (answer or "").splitlines() if line.strip()}


def _disk_problems(folder: Path) -> list[str]:
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb >= LEAST_FREE_MB:
        return []
    return [
        f"the file system of {folder} has {free_mb} MB left; free some space, or work in a folder elsewhere "
        "(snakemake --directory)"
    ]


def jobs_in_queue(folder: Path) -> dict[str, str] | None:
    """SLURM ids and descriptions of the jobs of runs in a folder; None if squeue does not answer."""
    answer = ask("squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T|%Z|%k")
    if answer is None:
        return None
    return {
        job: comment
        for job, state, where, comment in fields(answer, 4)
        if comment.startswith("rule_")
        and state != "COMPLETING"
        and os.path.realpath(where) == str(folder.resolve())
    }


def _orphan_problems(folder: Path) -> list[str]:
    """Jobs that an earlier run in this folder has left behind: they would write what new ones write, too."""
    orphans = jobs_in_queue(folder)
    if orphans is None:
        return [
            "squeue does not answer, so that jobs of an earlier run would be missed; start again when it does"
        ]
    if not orphans:
        return []
    listed = ", ".join(f"{job} ({comment})" for job, comment in orphans.items())
    return [
        f"{len(orphans)} job(s) of an earlier run in {folder} are still in the queue: {listed}. Wait until "
        f"they are done, which keeps their work, or cancel them: scancel {' '.join(orphans)}"
    ]


def cancel_what_is_left(folder: Path) -> str:
    """Cancel the jobs of a run that has ended, and say so.

    On Ctrl-C, Snakemake cancels the jobs it knows of; it knows of none while it asks for their states, which
    takes seconds.
    """
    left = jobs_in_queue(folder)
    if not left or ask("scancel", *left) is None:
        return ""
    return f"cancelled {len(left)} job(s) that were left in the queue: {', '.join(left)}"


class Patience:
    """Waits while SLURM is out of order.

    A job whose submission met a controller or an accounting database that was down counts as failed, and is
    submitted again at once: without patience, an outage of a minute ends a run.
    """

    LONGEST_SECONDS = 600
    SECONDS_BETWEEN_QUESTIONS = 10

    def __init__(self) -> None:
        self._had_accounting = False
        self._holds_until = -math.inf

    def wait_until_slurm_answers(self) -> None:
        """Return when SLURM answers, which then holds for ten seconds, or after ten minutes.

        Who has waited in vain does not wait again for as long.
        """
        deadline = time.monotonic() + self.LONGEST_SECONDS
        while time.monotonic() > self._holds_until:
            if self._answers():
                self._holds_until = time.monotonic() + self.SECONDS_BETWEEN_QUESTIONS
            elif time.monotonic() >= deadline:
                self._holds_until = time.monotonic() + self.LONGEST_SECONDS
            else:
                print("SLURM does not answer: waiting for it", flush=True)
                time.sleep(self.SECONDS_BETWEEN_QUESTIONS)

    def _answers(self) -> bool:
        accounting = ask("sacctmgr", "--noheader", "show", "cluster") is not None
        self._had_accounting |= accounting
        # A site may have none.
        return ask("sinfo", "--noheader") is not None and (accounting or not self._had_accounting)


def _gpus(gres: str) -> dict[str, int]:
    """GPUs by kind in generic resources as SLURM writes them: `gpu:a100:4(S:0-1),gpu:2`; "" is no kind."""
    gpus: dict[str, int] = defaultdict(int)
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *rest = entry.strip().split(":")
        if name == "gpu":
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            gpus[":".join(rest)] += count
    return dict(gpus)


def _minutes(limit: str) -> float:
    """Minutes of a time as SLURM writes it: `2-00:00:00`, `30:00`, `infinite`."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", limit):
        return float("inf")
    days, _, clock = limit.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return 1440 * int(days or 0) + seconds / 60


def fields(answer: str, n: int) -> list[list[str]]:
    """Lines of `n` fields; what a site or an older SLURM prints between them is left out."""
    lines = [line.strip().split("|", n - 1) for line in answer.splitlines()]
    return [line for line in lines if len(line) == n]


def ask(*command: str) -> str | None:
    """What a SLURM command prints; None if there is no such command or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
