"""Checks of the cluster: SLURM's commands, its partitions, and the profile."""

import platform
import shutil
from collections import defaultdict
from pathlib import Path

from .findings import Finding
from .profile import profile_text, profile_values, requests_memory, uses_slurm
from .system import first_match

try:
    from ...cluster import checks, request, slurm
except SyntaxError:  # a Python before 3.7; `make demo` brings a new one
    slurm = None

MAX_PARTITIONS = 6  # printed at most
MIN_JOB_MB = 500  # less than any rule requests
ONE_OF = {"select_genes", "select_markers"}  # a run has one of them


def check_slurm(profile: Path) -> list:
    """Check SLURM's commands and partitions, and whether the profile's requests fit them."""
    values, problems = profile_values(profile)
    if shutil.which("sbatch") is None:
        text = "no sbatch here: the workflow runs on this machine (profiles/local)"
        remedy = "to use a cluster: log in to its login node, or load its module"
        return [Finding("note", "SLURM", text, remedy), *problems]
    if slurm is None:
        text = f"installed; Python {platform.python_version()} is too old to query it"
        return [Finding("note", "SLURM", text, "make demo, then make doctor again"), *problems]
    questions = [["sbatch", "--version"], ["sinfo", "--noheader"], ["squeue", "--noheader"]]
    silent = [question[0] for question in questions if slurm.ask(*question) is None]
    if silent:
        # SLURM's programs can be installed without a cluster.
        status = "FAILS" if uses_slurm(profile) else "note"
        text = f"no answer from {', '.join(silent)}"
        remedy = "check `scontrol ping`; to run on this machine: make doctor PROFILE=profiles/local"
        return [Finding(status, "SLURM", text, remedy if status == "FAILS" else ""), *problems]
    version = first_match(r"([\d.]+)", slurm.ask("sbatch", "--version")) or "of unknown version"
    findings = [Finding("ok", "SLURM", f"{version}; sbatch, sinfo and squeue answer")]
    if slurm.ask("sacct", "--noheader", "--allocations", "--format=JobID") is None:
        text = "sacct does not answer: runs work, but reports of failed jobs have less detail"
        findings.append(Finding("note", "accounting", text))
    else:
        findings.append(Finding("ok", "accounting", "sacct answers"))
    try:
        nodes = slurm.nodes_of_cluster()
    except slurm.InputError as error:
        return [*findings, Finding("FAILS", "partitions", str(error), "contact your site"), *problems]
    if not problems and not uses_slurm(profile):
        problems = [Finding("ok", "profile", f"{profile} runs on this machine, without SLURM")]
    return [*findings, *_partitions(nodes, values), *problems, *_profile(profile, values, nodes)]


def _partitions(nodes: list, values: dict) -> list:
    partitions = {}
    for node in nodes:
        partitions.setdefault(node.partition, []).append(node)
    if not partitions:
        return [Finding("FAILS", "partitions", "sinfo lists no partition", "contact your site")]
    ours = [values.get("cpu_partition"), values.get("gpu_partition")]
    names = sorted(partitions, key=lambda name: (name not in ours, name))
    findings = []
    for name in names[:MAX_PARTITIONS]:
        of_it = partitions[name]
        gpus = {f"{kind or 'gpu'}:{count}" for node in of_it for kind, count in node.gpus.items()}
        most = max(node.mem_mb for node in of_it)
        text = "{} {}, {} and {} CPUs, {}, {}".format(
            len(of_it),
            "node" if len(of_it) == 1 else "nodes",
            f"up to {most} MB" if most > slurm.UNKNOWN_MEM_MB else "memory unknown to SLURM",
            max(node.cpus for node in of_it),
            _limit(max(node.minutes for node in of_it)),
            ", ".join(sorted(gpus)) or "no GPU",
        )
        findings.append(Finding("ok", f"  {name}", text))
    if len(names) > MAX_PARTITIONS:
        findings.append(Finding("ok", "  others", f"{len(names) - MAX_PARTITIONS} more (sinfo -s)"))
    return findings


def _profile(profile: Path, values: dict, nodes: list) -> list:
    if not values:
        return []
    try:
        requests = _requests_of_rules(profile, values)
        compared = f"the requests of all {len(_entries(profile).get('set-resources') or {})} rules"
    except ImportError:  # yte comes with snakemake
        requests = _requests_of_values(values)
        compared = "partitions and GPUs (rules are checked only with snakemake installed)"
    problems = checks.request_problems(requests, nodes, max_rules=3)
    accounts = slurm.accounts_of_user()
    problems += checks.account_problems({values.get("account", "")}, accounts)
    config = slurm.ask("scontrol", "show", "config") or ""
    first_look = first_match(r"^slurm-init-seconds-before-status-checks: *(\d+)", profile_text(profile))
    if first_look:
        problems += checks.memory_of_jobs_problems(config, int(first_look))
    findings = [Finding("FAILS", "profile", problem.statement, problem.remedy) for problem in problems]
    if not findings:
        account = values.get("account") or "none"
        known = "" if accounts else " (SLURM lists no account for you)"
        text = f"account {account}{known}; {compared} fit the cluster"
        findings.append(Finding("ok", "profile", text))
        findings += _largest(values, nodes)
    return findings


def _largest(values: dict, nodes: list) -> list:
    """Memory settings of the profile that do not match the cluster's nodes."""
    names = values.get("cpu_partition", "").split(",")
    ours = [node for node in nodes if node.partition in names] or nodes
    most = max(node.mem_mb for node in ours)
    if most <= slurm.UNKNOWN_MEM_MB:
        return []
    if not requests_memory(values):
        text = "request_memory is false, but the nodes have a memory size: a job may get all of a node's"
        return [Finding("note", "profile", text, "Set request_memory to true")]
    if int(values.get("max_mem_mb") or 0) <= most:
        return []
    text = f"max_mem_mb is {values['max_mem_mb']}, and the largest node has {most} (no rule requests more)"
    return [Finding("note", "profile", text, f"Set max_mem_mb to {most} or less")]


def _requests_of_rules(profile: Path, values: dict) -> list:
    """Requests of every rule or group in the profile, on the first and the last attempt."""
    entries = _entries(profile)
    defaults, threads = entries.get("default-resources") or {}, entries.get("set-threads") or {}
    groups = entries.get("groups") or {}
    requests, grouped = [], defaultdict(list)
    for rule, resources in (entries.get("set-resources") or {}).items():
        for attempt in {1, 1 + int(entries.get("retries", 0))}:
            asked = {name: _evaluated(amount, attempt) for name, amount in {**defaults, **resources}.items()}
            together = grouped[groups[rule], attempt] if rule in groups else requests
            together.append(
                request.Request(
                    rule=rule,
                    attempt=attempt,
                    account=str(asked.get("slurm_account", "")),
                    partition=str(asked.get("slurm_partition", "")),
                    mem_mb=request.memory_request({**asked, "_cores": threads.get(rule, 1)}),
                    cpus=int(threads.get(rule, 1)),
                    minutes=int(asked.get("runtime", 0)),
                    gpus=int(asked.get("gpu", 0)),
                    gpu_kind=str(asked.get("gpu_model", "")),
                    texts=request.texts_of(asked),
                )
            )
    for (group, _), members in grouped.items():
        for absent in ONE_OF if {member.rule for member in members} >= ONE_OF else [""]:
            levels = [[member] for member in members if member.rule != absent]
            requests.append(request.Request.of_group(group, levels))
    return requests


def _entries(profile: Path) -> dict:
    """The entries of a profile as Snakemake reads them."""
    import yte

    return yte.process_yaml(profile_text(profile), require_use_yte=True)


def _requests_of_values(values: dict) -> list:
    """Smallest requests by the profile's values: partitions and GPUs, little memory, no time."""
    gpus = int(values.get("gpus") or 0)
    kinds = [("jobs on CPUs", values.get("cpu_partition", ""), 0, "")]
    if gpus:
        kinds.append(("jobs on GPUs", values.get("gpu_partition", ""), gpus, values.get("gpu_kind", "")))
    return [
        request.Request(
            rule=rule,
            attempt=1,
            account=values.get("account", ""),
            partition=partition,
            mem_mb=MIN_JOB_MB if requests_memory(values) else 0,
            cpus=1,
            minutes=0,
            gpus=count,
            gpu_kind=kind,
        )
        for rule, partition, count, kind in kinds
    ]


def _evaluated(amount: object, attempt: int) -> object:
    """A resource as Snakemake evaluates it: a Python expression, or text."""
    if not isinstance(amount, str):
        return amount
    try:
        return eval(amount, {"__builtins__": {}, "min": min, "max": max}, {"attempt": attempt})
    except Exception:  # an expression can raise anything; Snakemake also treats it as text
        return amount


def _limit(minutes: float) -> str:
    if minutes == float("inf"):
        return "no time limit"
    return f"{minutes / 1440:g} days" if minutes >= 2880 else f"{minutes:g} minutes"
