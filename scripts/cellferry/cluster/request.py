"""Requests of jobs, and resources of nodes."""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOT_TOLD = ("tmpdir", "mem", "disk")
"""Text resources that Snakemake adds itself."""


@dataclass(frozen=True)
class Request:
    """SLURM request of a job in one attempt.

    Attributes
    ----------
    rule
        The job's rule; for a group, its name with its rules in brackets.
    texts
        Text resources: account, partition and others of the profile.
    differing
        For a group, text resources that differ between its rules; a SLURM job can have one value.
    in_group
        True if several rules share the job.
    """

    rule: str
    attempt: int
    account: str
    partition: str
    mem_mb: int
    cpus: int
    minutes: int
    gpus: int
    gpu_kind: str
    texts: tuple[tuple[str, str], ...] = ()
    differing: tuple[str, ...] = ()
    in_group: bool = False

    @classmethod
    def of(cls, job: Any, attempt: int) -> Request:
        """The request of a Snakemake job, as the SLURM plugin submits it."""
        resources = job.rule.expand_resources(
            job.wildcards_dict, job.input, attempt, skip_evaluation={"tmpdir"}
        )
        ((kind, count),) = (parse_gpus(str(resources.get("gres", ""))) or {"": 0}).items()
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
            texts=texts_of(resources),
        )

    @classmethod
    def of_group(cls, group: str, levels: Sequence[Sequence[Request]]) -> Request:
        """Request of a job of several rules, combined as Snakemake does.

        Parameters
        ----------
        group
            Name in the profile.
        levels
            Requests of its rules; rules of one level run in parallel, one level after the other.
        """
        members = [request for level in levels for request in level]
        if len(members) == 1:
            return members[0]
        words: dict[str, set[str]] = defaultdict(set)
        for request in members:
            for name, text in request.texts:
                words[name].add(text)

        def most(name: str) -> int:
            return max(sum(getattr(request, name) for request in level) for level in levels)

        def first(name: str) -> str:
            return next((text for request in members if (text := getattr(request, name))), "")

        return cls(
            rule=f"{group} ({', '.join(dict.fromkeys(request.rule for request in members))})",
            attempt=members[0].attempt,
            account=first("account"),
            partition=first("partition"),
            mem_mb=most("mem_mb"),
            cpus=most("cpus"),
            minutes=sum(max(request.minutes for request in level) for level in levels),
            gpus=most("gpus"),
            gpu_kind=first("gpu_kind"),
            differing=tuple(
                f"{name}: {', '.join(sorted(texts))}"
                for name, texts in sorted(words.items())
                if len(texts) > 1
            ),
            in_group=True,
        )


def texts_of(resources: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Text resources of a job, by name."""
    return tuple(
        (name, str(value))
        for name, value in sorted(resources.items())
        if isinstance(value, str) and name not in NOT_TOLD
    )


def memory_request(resources: Mapping[str, Any]) -> int:
    """MB that the SLURM plugin requests; 0 with `request_memory: false`."""
    per_cpu = resources.get("mem_mb_per_cpu")
    # The plugin prefers it to mem_mb, and submits --mem-per-cpu 0 for "0", which SLURM ignores.
    if per_cpu:
        return int(per_cpu) * int(resources.get("_cores", 1))
    return int(resources.get("mem_mb", 0))


@dataclass(frozen=True)
class Node:
    """Resources of a node in a partition: `gpus` by kind; `minutes` is the time limit."""

    partition: str
    mem_mb: int
    cpus: int
    gpus: dict[str, int]
    minutes: float

    def has_gpus(self, request: Request) -> bool:
        """True if the node has the requested GPUs."""
        if not request.gpus:
            return True
        kinds = [request.gpu_kind] if request.gpu_kind else list(self.gpus)
        return any(self.gpus.get(kind, 0) >= request.gpus for kind in kinds)


def parse_gpus(gres: str) -> dict[str, int]:
    """Parse GPUs by kind from SLURM's generic resources: `gpu:a100:4(S:0-1),gpu:2`; "" without a kind."""
    gpus: dict[str, int] = defaultdict(int)
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *rest = entry.strip().split(":")
        if name == "gpu":
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            gpus[":".join(rest)] += count
    return dict(gpus)


def parse_minutes(limit: str) -> float:
    """Parse SLURM's time format into minutes: `2-00:00:00`, `30:00`, `infinite`."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", limit):
        return float("inf")
    days, _, clock = limit.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return 1440 * int(days or 0) + seconds / 60
