"""Checks of this machine: usable cores and memory."""

import os
from pathlib import Path

from .findings import Finding
from .profile import on_cluster
from .system import text_of

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
MIN_MB = 4000  # largest request of a rule without a profile


def check_machine(profile: Path) -> list:
    """Check cores and memory that this session may use."""
    cores, usable = os.cpu_count() or 1, _usable_cores()
    text = f"{usable}" if usable == cores else f"{usable} of the machine's {cores} are usable here"
    findings = [Finding("ok", "cores", text)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    limit = _least(_cgroup_numbers("memory", "memory.max", "memory.limit_in_bytes"))
    usable = min(memory, limit // 2**20) if limit else memory
    is_on_cluster = on_cluster(profile)
    if usable < memory:
        text = f"{usable} MB of the machine's {memory} are usable here"
        # profiles/local uses the machine's total.
        if not is_on_cluster:
            remedy = f"with profiles/local: snakemake ... --resources mem_mb={int(0.9 * usable)}"
            return [*findings, Finding("note", "memory", text, remedy)]
    else:
        text = f"{usable} MB"
    if usable < MIN_MB and not is_on_cluster:
        text += f"; the largest steps request {MIN_MB}"
        return [
            *findings,
            Finding("note", "memory", text, "use a larger machine for real data; the demo runs"),
        ]
    return [*findings, Finding("ok", "memory", text)]


def _usable_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = []
    for text in _cgroup_files("cpu", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit():
            shares.append(int(quota) / int(period))
    quotas = _cgroup_files("cpu", "cpu.cfs_quota_us")
    for quota, period in zip(quotas, _cgroup_files("cpu", "cpu.cfs_period_us")):  # noqa: B905 (Python 3.10)
        if quota.isdigit():  # -1: no limit
            shares.append(int(quota) / int(period))
    return max(1, int(min([cores, *shares])))


def _cgroup_numbers(controller: str, *names: str) -> list:
    texts = [text for name in names for text in _cgroup_files(controller, name)]
    return [int(text) for text in texts if text.isdigit()]


def _cgroup_files(controller: str, name: str) -> list:
    """Contents of a file in this process's control group and its parents, of version 1 or 2."""
    limits = []
    for line in text_of(OWN_CGROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for root in {CGROUPS, CGROUPS / "unified"} if not controllers else {CGROUPS / controller}:
            parts = [part for part in path.split("/") if part]
            # In a container the path can be the host's and missing; the root exists.
            for n in range(len(parts), -1, -1):
                text = text_of(root.joinpath(*parts[:n], name)).strip()
                if text:
                    limits.append(text)
    return limits


def _least(numbers: list) -> int:
    return min(numbers) if numbers else 0
