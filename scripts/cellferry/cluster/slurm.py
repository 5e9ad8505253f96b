"""Queries of SLURM: nodes, accounts and jobs.

Imported by the Snakefile: standard library only.
"""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

import getpass
import os
import re
import subprocess
from pathlib import Path

from ..errors import InputError
from .request import Node, parse_gpus, parse_minutes

MIN_FREE_MB = 500
UNKNOWN_MEM_MB = 1  # SLURM's value for a node without RealMemory
MAX_PREVIEW_SECONDS = 195  # the plugin queries at least every 180 seconds
PROFILE = "profiles/slurm/config.yaml"


# ---- Before the first job --------------------------------------------------------------------------------


def nodes_of_cluster() -> list[Node]:
    """All nodes of all partitions; `InputError` if SLURM does not answer."""
    # --all: hidden partitions can be used as well.
    answer = ask("sinfo", "--all", "--noheader", "--Node", "--format=%R|%m|%c|%G|%l")
    if answer is None:
        raise InputError(
            "SLURM does not answer (sinfo failed); check `scontrol ping`, and start again when it answers"
        )
    nodes = []
    for partition, mem_mb, cpus, gres, limit in fields(answer, 5):
        numbers = (int(re.match(r"\d+", text)[0]) for text in (mem_mb, cpus))
        nodes.append(Node(partition, *numbers, parse_gpus(gres), parse_minutes(limit)))
    return nodes


def accounts_of_user() -> set[str]:
    """Accounts of the user, in lower case; empty without accounting."""
    user = getpass.getuser()
    answer = ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account"
    )
    return {line.strip().lower() for line in (answer or "").splitlines() if line.strip()}


def jobs_in_queue(folder: Path) -> dict[str, str] | None:
    """Ids and descriptions of SLURM jobs of runs in a folder; None if squeue fails."""
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


def cancel_what_is_left(folder: Path) -> str:
    """Cancel the jobs of an ended run; return a message.

    On Ctrl-C, Snakemake cancels its jobs, except while it queries their states, which takes seconds.
    """
    left = jobs_in_queue(folder)
    if not left or ask("scancel", *left) is None:
        return ""
    return f"cancelled {len(left)} job(s) that were left in the queue: {', '.join(left)}"


def fields(answer: str, n: int) -> list[list[str]]:
    """Split lines into `n` fields; other lines of a site or an older SLURM are left out."""
    lines = [line.strip().split("|", n - 1) for line in answer.splitlines()]
    return [line for line in lines if len(line) == n]


def ask(*command: str) -> str | None:
    """Output of a SLURM command; None if it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
