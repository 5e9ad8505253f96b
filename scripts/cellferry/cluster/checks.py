"""Comparison of all rules' requests with the cluster's resources."""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.problems import Problem, Problems
from ..errors import InputError
from .request import Node, Request
from .slurm import (
    MAX_PREVIEW_SECONDS,
    MIN_FREE_MB,
    PROFILE,
    UNKNOWN_MEM_MB,
    accounts_of_user,
    ask,
    jobs_in_queue,
    nodes_of_cluster,
)


def check_cluster(
    jobs: Iterable[Any], *, group_of: Callable[[Any], Any], attempts: int, first_look_seconds: int
) -> None:
    """Check before submission that SLURM can fulfill the jobs' requests.

    Parameters
    ----------
    jobs
        Snakemake's jobs to submit.
    group_of
        A job's group, whose jobs are submitted as one; None for a job without a group.
    attempts
        Number of attempts per job; the first and the last are checked.
    first_look_seconds
        The plugin's `init_seconds_before_status_checks`.

    Raises
    ------
    InputError
        One message that lists all problems, each with its remedy.
    """
    if shutil.which("sbatch") is None:
        what = "there is no sbatch on the PATH: this machine cannot submit SLURM jobs"
        remedy = (
            "Log in to the cluster's login node (or load its slurm module), or run here with --profile "
            "profiles/local"
        )
        raise InputError(Problem("", what, remedy))
    nodes = nodes_of_cluster()
    submitted = {group_of(job) or job for job in jobs}
    requests = {_request_of(job, attempt) for job in submitted for attempt in {1, attempts}}
    problems = request_problems(requests, nodes)
    problems += account_problems({request.account for request in requests}, accounts_of_user())
    problems += memory_of_jobs_problems(ask("scontrol", "show", "config") or "", first_look_seconds)
    problems += _disk_problems(Path.cwd())
    problems += _orphan_problems(Path.cwd())
    if problems:
        title = f"the cluster cannot run this ({len(problems)} problem(s))"
        raise InputError(Problems(title, tuple(problems)))


def _request_of(job: Any, attempt: int) -> Request:
    if not job.is_group():
        return Request.of(job, attempt)
    levels = [[Request.of(member, attempt) for member in level] for level in job.toposorted]
    return Request.of_group(job.groupid, levels)


def request_problems(
    requests: Iterable[Request], nodes: list[Node], *, max_rules: int | None = None
) -> list[Problem]:
    """Requests that SLURM would refuse or never start.

    Parameters
    ----------
    requests
        Requests of the rules' jobs.
    nodes
        The nodes of the cluster.
    max_rules
        Maximum number of rules in `where`; of more, the first two and the number of the others.

    Returns
    -------
    Each problem once, its rules in `where`.
    """
    partitions = defaultdict(list)
    for node in nodes:
        partitions[node.partition].append(node)
    rules = defaultdict(list)
    refused = set()
    for request in sorted(requests, key=lambda request: (request.attempt, request.rule)):
        # A request refused on the first attempt is also refused on the last.
        problems = [] if request.rule in refused else _problems(request, partitions)
        for problem in problems:
            rules[problem].append(request.rule)
            refused.add(request.rule)
    return [
        replace(problem, where=_named(list(dict.fromkeys(names)), max_rules))
        for problem, names in rules.items()
    ]


def _named(rules: list[str], max_rules: int | None) -> str:
    if max_rules is None or len(rules) <= max_rules:
        return ", ".join(rules)
    return f"{rules[0]}, {rules[1]} and {len(rules) - 2} more rules"


def _problems(request: Request, partitions: dict[str, list[Node]]) -> list[Problem]:
    if request.differing:
        what = f"its rules share a job but differ in their requests ({'; '.join(request.differing)})"
        remedy = f"Give them the same values, or remove differing rules from groups in {PROFILE}"
        return [Problem("", what, remedy)]
    # SLURM chooses from a list; without a partition it uses its default, which is not checked.
    wanted = [name for name in request.partition.split(",") if name]
    missing = [name for name in wanted if name not in partitions]
    if missing:
        what = f"there is no partition '{missing[0]}'; this cluster has {', '.join(sorted(partitions))}"
        return [Problem("", what, f"Set cpu_partition and gpu_partition at the top of {PROFILE}")]
    nodes = [node for name in wanted or partitions for node in partitions[name]]
    place = f"partition {request.partition}" if wanted else "the cluster"
    if request.gpu_kind and not re.fullmatch(r"[A-Za-z0-9_.]+", request.gpu_kind):
        what = (
            f"requests GPUs of kind '{request.gpu_kind}', but the SLURM plugin takes letters, digits, _ and "
            ". only"
        )
        remedy = f'Set gpu_kind at the top of {PROFILE} to "" and choose GPUs by `constraint:` or partition'
        return [Problem("", what, remedy)]
    with_gpu = [node for node in nodes if node.has_gpus(request)]
    if not with_gpu:
        kinds = {f"{kind or 'gpu'}:{count}" for node in nodes for kind, count in node.gpus.items()}
        what = (
            f"requests {request.gpu_kind or 'gpu'}:{request.gpus}, but {place} has "
            f"{', '.join(sorted(kinds)) or 'no GPU'}"
        )
        remedy = f"Set gpu_partition, gpu_kind and gpus (0: on CPUs) at the top of {PROFILE}"
        return [Problem("", what, remedy)]
    return _shortages(request, with_gpu, place)


def _shortages(request: Request, with_gpu: list[Node], place: str) -> list[Problem]:
    """Memory, CPUs and time that no node with the requested GPUs has, alone or together."""
    which = "" if request.attempt == 1 else f" on attempt {request.attempt}"
    problems = []
    max_mem_mb = max(node.mem_mb for node in with_gpu)
    if request.mem_mb > max_mem_mb <= UNKNOWN_MEM_MB:
        what = (
            f"requests memory, but the nodes of {place} have no memory size in SLURM (sinfo prints "
            f"{max_mem_mb} MB: RealMemory is not configured)"
        )
        remedy = (
            f"Set request_memory at the top of {PROFILE} to false: jobs keep to their mem_mb without a "
            "request. Or have your site configure RealMemory (AWS ParallelCluster: "
            "EnableMemoryBasedScheduling)"
        )
        problems.append(Problem("", what, remedy))
    elif request.mem_mb > max_mem_mb:
        what = f"requests {request.mem_mb} MB{which}, but the largest node of {place} has {max_mem_mb}"
        remedy = (
            f"Set max_mem_mb at the top of {PROFILE} to {max_mem_mb} or less: jobs work in smaller blocks"
        )
        problems.append(Problem("", what, remedy))
    max_cpus = max(node.cpus for node in with_gpu)
    if request.cpus > max_cpus:
        what = f"requests {request.cpus} CPUs, but the largest node of {place} has {max_cpus}"
        problems.append(Problem("", what, f"Lower it under set-threads in {PROFILE}"))
    max_minutes = max(node.minutes for node in with_gpu)
    if request.minutes > max_minutes:
        together = " together" if request.in_group else ""
        what = f"requests {request.minutes} minutes{together}{which}, but {place} allows {max_minutes:.0f}"
        remedy = f"Set max_minutes at the top of {PROFILE} to {max_minutes:.0f} or less"
        if request.in_group:
            remedy += "; if it already is, remove these rules from groups there, so that each is its own job"
        problems.append(Problem("", what, remedy))
    together = [
        node
        for node in with_gpu
        if node.mem_mb >= request.mem_mb and node.cpus >= request.cpus and node.minutes >= request.minutes
    ]
    if not problems and not together:
        what = (
            f"requests {request.mem_mb} MB, {request.cpus} CPUs and {request.minutes} minutes{which}, but no "
            f"single node of {place} has all three"
        )
        remedy = f"In {PROFILE}, lower max_mem_mb, max_minutes or the rule's number under set-threads"
        if request.in_group:
            remedy += ", or remove these rules from groups"
        problems.append(Problem("", what, remedy))
    return problems


def account_problems(wanted: Iterable[str], known: set[str]) -> list[Problem]:
    """Accounts of jobs that the user does not have; empty without accounting."""
    named = {name for names in wanted for name in re.split(r"[,\s]+", names) if name}
    return [
        Problem(
            "",
            f"there is no account '{account}' for you; you have {', '.join(sorted(known))}",
            f"Set account at the top of {PROFILE}",
        )
        for account in sorted(named)
        if known and account.lower() not in known
    ]


def memory_of_jobs_problems(scontrol_config: str, first_look_seconds: int) -> list[Problem]:
    """A controller that may drop finished jobs before snakemake queries them, which would wait forever.

    The plugin queries at least every 180 seconds. If MinJobAge is below three times its first interval, it
    queries the accounting, which keeps all jobs.
    """
    match = re.search(r"^MinJobAge\s*=\s*(\d+)", scontrol_config, re.M)
    if not match or not 3 * first_look_seconds <= int(match[1]) < MAX_PREVIEW_SECONDS:
        return []
    what = f"SLURM drops finished jobs after {match[1]} s (MinJobAge), possibly before snakemake queries them"
    remedy = f"Set slurm-init-seconds-before-status-checks in {PROFILE} to {MAX_PREVIEW_SECONDS // 3}"
    return [Problem("", what, remedy)]


def _disk_problems(folder: Path) -> list[Problem]:
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb >= MIN_FREE_MB:
        return []
    remedy = "free some space, or work in a folder elsewhere (snakemake --directory)"
    return [Problem("", f"the file system of {folder} has {free_mb} MB left", remedy)]


def _orphan_problems(folder: Path) -> list[Problem]:
    """Jobs left by an earlier run in this folder, which would write the same files as new ones."""
    orphans = jobs_in_queue(folder)
    if orphans is None:
        what = "squeue does not answer: jobs of an earlier run cannot be detected"
        return [Problem("", what, "start again when it answers")]
    if not orphans:
        return []
    listed = ", ".join(f"{job} ({comment})" for job, comment in orphans.items())
    what = f"{len(orphans)} job(s) of an earlier run in {folder} are still in the queue: {listed}"
    remedy = f"Wait until they have finished (results are kept), or cancel them: scancel {' '.join(orphans)}"
    return [Problem("", what, remedy)]
