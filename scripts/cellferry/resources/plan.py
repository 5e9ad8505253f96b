"""Plan of a run: jobs per rule, with predicted memory, disk space and time.

Based on the configuration and on headers read by `inspect_dataset`; no data are read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from .budget import SNAKEMAKE_MB
from .expected_jobs import Job


@dataclass(frozen=True)
class Asked:
    """Requests of a rule's jobs per attempt: MB and minutes."""

    mem_mb: list[int]
    runtime: list[int]


@dataclass(frozen=True)
class Shortage:
    """A resource with too small a request in the first attempt of a rule's jobs.

    Attributes
    ----------
    resource
        `mem_mb` or `runtime`.
    requested
        Requests of all attempts, in MB or minutes.
    needed
        Need of the last attempt, in MB or minutes.
    fits_on
        First sufficient attempt, counted from 1; None without one.
    """

    resource: str
    requested: list[int]
    needed: int
    fits_on: int | None


@dataclass(frozen=True)
class Line:
    """A rule in the plan.

    Attributes
    ----------
    rule, jobs
        Name and number of jobs.
    mem_mb
        Request of its jobs on the first attempt.
    peak_mb, disk_mb
        Memory of its largest job, without the snakemake processes; disk space of all its jobs.
    longest, seconds
        Time of its longest job and of all, on one core.
    shortages
        Resources with too small a request on the first attempt; empty if all fits.
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
    """Compare need and request of each attempt; None if the first is sufficient."""
    fits = [amount >= least for least, amount in zip(needed, asked, strict=True)]
    if fits[0]:
        return None
    return Shortage(resource, asked, ceil(needed[-1]), fits.index(True) + 1 if any(fits) else None)
