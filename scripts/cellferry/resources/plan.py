"""What a run will take: for every rule its jobs, and their predicted memory, disk and time.

From what `inspect_dataset` found in the files' headers and from the configuration; nothing is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from .budget import SNAKEMAKE_MB
from .expected_jobs import Job


@dataclass(frozen=True)
class Asked:
    """What the jobs of a rule ask for, attempt by attempt: MB and minutes."""

    mem_mb: list[int]
    runtime: list[int]


@dataclass(frozen=True)
class Shortage:
    """A resource of which the first attempt of a rule's jobs asks for too little.

    Attributes
    ----------
    resource
        `mem_mb` or `runtime`.
    asked
        Amounts of all attempts, in MB or minutes.
    needed
        Amount that the last attempt needs, in MB or minutes.
    fits_on
        First attempt with enough, counted from 1; None if no attempt has.
    """

    resource: str
    asked: list[int]
    needed: int
    fits_on: int | None


@dataclass(frozen=True)
class Line:
    """A rule in the plan.

    Attributes
    ----------
    rule, jobs
        Its name and the number of its jobs.
    mem_mb
        What its jobs ask for on the first attempt.
    peak_mb, disk_mb
        Memory of its largest job, without the snakemake processes beside it; what all of them write.
    longest, seconds
        Time of its longest job and of all, on one core.
    shortages
        Resources of which the profile asks for too little on the first attempt; none if all fits.
    """

    rule: str
    jobs: int
    mem_mb: int
    peak_mb: int
    disk_mb: float
    longest: float
    seconds: float
    shortages: list[Shortage]


def plan(jobs: Iterable[Job], asked: dict[str, Asked]) -> list[Line]:
    """One line per rule of the jobs, in their order."""
    by_rule: dict[str, list[Job]] = {}
    for job in jobs:
        by_rule.setdefault(job.rule, []).append(job)
    return [_line(rule, alike, asked[rule]) for rule, alike in by_rule.items()]


def _line(rule: str, jobs: list[Job], asked: Asked) -> Line:
    longest = max(job.seconds for job in jobs)
    peaks = [
        max(job.peak_mb(mem_mb, attempt) for job in jobs)
        for attempt, mem_mb in enumerate(asked.mem_mb, start=1)
    ]
    shortages = [
        _shortage("mem_mb", [peak + SNAKEMAKE_MB for peak in peaks], asked.mem_mb),
        _shortage("runtime", [longest / 60] * len(asked.runtime), asked.runtime),
    ]
    return Line(
        rule,
        sum(job.jobs for job in jobs),
        asked.mem_mb[0],
        peaks[0],
        sum(job.disk_mb for job in jobs),
        longest,
        sum(job.jobs * job.seconds for job in jobs),
        [shortage for shortage in shortages if shortage],
    )


def _shortage(resource: str, needed: list[float], asked: list[int]) -> Shortage | None:
    """Compare what each attempt needs and asks for; None if the first has enough."""
    fits = [amount >= least for least, amount in zip(needed, asked, strict=True)]
    if fits[0]:
        return None
    return Shortage(resource, asked, ceil(needed[-1]), fits.index(True) + 1 if any(fits) else None)
