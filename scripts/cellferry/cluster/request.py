"""What a job requests, and what a node has."""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOT_TOLD = ("tmpdir", "mem", "disk")
"""Resources in words that Snakemake makes itself."""


@dataclass(frozen=True)
class Request:
    """What a job asks SLURM for in one of its attempts.

    Attributes
    ----------
    rule
        The rule that it runs; of a group its name, and its rules in brackets.
    texts
        Its resources that are words: account, partition and what else a profile has.
    differing
        Of a group, those for which its rules have different words; SLURM gives a job one.
    in_group
        Whether several rules share the job.
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
        """The request of a Snakemake job, as the SLURM plugin will phrase it."""
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
        """What a job of several rules asks for: as Snakemake adds up the requests of its rules.

        Parameters
        ----------
        group
            Its name in the profile.
        levels
            Requests of its rules; those of one level run side by side, one level after the other.
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
    """A job's resources that are words, by name."""
    return tuple(
        (name, str(value))
        for name, value in sorted(resources.items())
        if isinstance(value, str) and name not in NOT_TOLD
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


def parse_gpus(gres: str) -> dict[str, int]:
    """GPUs by kind in generic resources as SLURM writes them: `gpu:a100:4(S:0-1),gpu:2`; "" is no kind."""
    gpus: dict[str, int] = defaultdict(int)
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *rest = entry.strip().split(":")
        if name == "gpu":
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            gpus[":".join(rest)] += count
    return dict(gpus)


def parse_minutes(limit: str) -> float:
    """Minutes of a time as SLURM writes it: `2-00:00:00`, `30:00`, `infinite`."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", limit):
        return float("inf")
    days, _, clock = limit.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return 1440 * int(days or 0) + seconds / 60
