"""Whether this machine can run the workflow, told before the first run: `make doctor`.

Runs before anything is installed, on a login node's old Python: it is written for Python 3.6 and imports
nothing but the standard library at the top. What needs more is left out there, with a note.
"""

import argparse
import errno
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

try:
    from ...cluster import checks, request, slurm
except SyntaxError:  # a Python before 3.7; `make demo` brings a new one
    slurm = None

PROJECT = Path(__file__).resolve().parents[4]
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
ANSWER_SECONDS = 60
WIDTH = 100
MOST_PARTITIONS = 6  # that are listed
LEAST_MB = 4000  # what the largest rule asks for without a profile
FEW_GB = 10
LEAST_FILES, FEW_FILES = 1000, 100_000
LEAST_JOB_MB = 500  # less than any rule asks for
GPU_JOB_MB, GPU_JOB_MINUTES = 4000, 5


class Finding(NamedTuple):
    """What a check has found: `status` is ok, note or FAILS; `remedy` is the one thing to do about it."""

    status: str
    subject: str
    text: str
    remedy: str = ""


# ---- What is installed -----------------------------------------------------------------------------------


def check_python() -> list:
    """The Python that this runs in; the workflow's own is made by `make demo`."""
    here = platform.python_version()
    wanted = _found(r'requires-python = ">=([\d.]+)', PROJECT / "pyproject.toml")
    if _in_own_environment():
        if _numbers(here)[:2] == _numbers(wanted)[:2]:
            return [Finding("ok", "Python", f"{here} in .venv")]
        return [
            Finding(
                "FAILS",
                "Python",
                f"{here} in .venv, and the workflow is made for {wanted}",
                "rm -rf .venv && make demo",
            )
        ]
    if sys.version_info < (3, 8):  # noqa: UP036
        text = f"{here}, too old to look at everything; the workflow's own will be {wanted}"
        return [Finding("note", "Python", text, "make demo, then make doctor again")]
    return [Finding("ok", "Python", f"{here} runs this; the workflow's own will be {wanted}")]


def check_environment() -> list:
    """Whether .venv is there, and holds what requirements.txt lists."""
    python = PROJECT / ".venv" / "bin" / "python"
    if not python.exists():
        if (PROJECT / ".venv").exists():
            text = "its Python is gone (moved, or made on another machine)"
            return [Finding("FAILS", ".venv", text, "rm -rf .venv && make demo")]
        another_way = any(map(shutil.which, ("uv", "conda", str(PROJECT / ".uv" / "bin" / "uv"))))
        if not another_way and _said(sys.executable, "-m", "pip", "--version")[0]:
            text = "not there, and python3 has no pip to make it with"
            return [Finding("FAILS", ".venv", text, "load a newer Python (module avail python)")]
        return [Finding("note", ".venv", "not there yet", "make demo (or conda: docs/slurm.md)")]
    if not _in_own_environment():
        return [Finding("note", ".venv", "there; this is another Python", "make doctor")]
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", _text(PROJECT / "requirements.txt"), re.M)
    wrong = [f"{name} {version}" for name, version in pins if _version(name) != version]
    if wrong:
        few = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        text = f"lacks {len(wrong)} of the {len(pins)} packages of requirements.txt: {few}"
        return [Finding("FAILS", ".venv", text, "rm -f .venv/.installed && make demo")]
    return [Finding("ok", ".venv", f"all {len(pins)} packages of requirements.txt")]


def check_snakemake() -> list:
    """Whether Snakemake and its SLURM plugin are there, in the versions that the workflow needs."""
    least = _found(r'min_version\("([\d.]+)"\)', PROJECT / "Snakefile")
    plugin = _found(r'"snakemake-executor-plugin-slurm==([\d.]+)', PROJECT / "pyproject.toml").rstrip(".")
    environment = "conda env create -f environment.yaml && conda activate cellferry"
    remedy = "make demo" if not shutil.which("conda") else f"make demo, or {environment}"
    if _in_own_environment():
        remedy = "rm -f .venv/.installed && make demo"
    there = _version("snakemake") or _said("snakemake", "--version")[1].strip()
    if not re.match(r"\d", there):
        status = "FAILS" if _in_own_environment() else "note"
        return [Finding(status, "snakemake", f"not there yet; {least} or later is needed", remedy)]
    if _numbers(there) < _numbers(least):
        return [Finding("FAILS", "snakemake", f"{there}, and the workflow needs {least} or later", remedy)]
    findings = [Finding("ok", "snakemake", there)]
    there = _version("snakemake-executor-plugin-slurm")
    if there and _numbers(there)[:2] == _numbers(plugin)[:2]:
        return [*findings, Finding("ok", "SLURM plugin", there)]
    # On a machine without SLURM nothing uses it.
    status = "FAILS" if shutil.which("sbatch") else "note"
    text = f"{there or 'not there'}; the workflow is tested with {plugin}"
    return [*findings, Finding(status, "SLURM plugin", text, remedy)]


def check_conda() -> list:
    """Whether there is a conda that Snakemake can use, and what follows."""
    if shutil.which("conda"):
        code, said = _said("conda", "--version")
        there = _found(r"(\d[\d.]+)", said)
        if code or not there:
            text = "on the PATH and does not answer"
            return [Finding("FAILS", "conda", text, "mend it, or take it off the PATH")]
        if _numbers(there) < (24, 7, 1):
            text = f"{there}; snakemake takes 24.7.1 or later"
            return [Finding("FAILS", "conda", text, "conda install -n base 'conda>=24.7.1'")]
        text = f"{there}: the SLURM profile makes an environment for each step (envs/), from the internet"
        return [Finding("ok", "conda", text)]
    others = [name for name in ("mamba", "micromamba") if shutil.which(name)]
    if others:
        text = f"{others[0]} only, which snakemake does not use: jobs run in .venv"
        return [Finding("note", "conda", text)]
    return [Finding("note", "conda", "none: all jobs run in .venv, which holds everything")]


# ---- The cluster -----------------------------------------------------------------------------------------


def check_slurm(profile: Path) -> list:
    """Whether SLURM's commands answer, what its partitions have, and what of the profile they lack."""
    values, problems = profile_values(profile)
    if shutil.which("sbatch") is None:
        text = "no sbatch here: the workflow runs on this machine (profiles/local)"
        remedy = "for a cluster: log in to its login node, or load its module"
        return [Finding("note", "SLURM", text, remedy), *problems]
    if slurm is None:
        text = f"there; Python {platform.python_version()} is too old to ask it"
        return [Finding("note", "SLURM", text, "make demo, then make doctor again"), *problems]
    questions = [["sbatch", "--version"], ["sinfo", "--noheader"], ["squeue", "--noheader"]]
    silent = [question[0] for question in questions if slurm.ask(*question) is None]
    if silent:
        # Its programs may be installed without a cluster behind them.
        status = "FAILS" if _uses_slurm(profile) else "note"
        text = f"no answer from {', '.join(silent)}"
        remedy = "look at `scontrol ping`; to run on this machine: make doctor PROFILE=profiles/local"
        return [Finding(status, "SLURM", text, remedy if status == "FAILS" else ""), *problems]
    version = _found(r"([\d.]+)", slurm.ask("sbatch", "--version")) or "of unknown version"
    findings = [Finding("ok", "SLURM", f"{version}; sbatch, sinfo and squeue answer")]
    if slurm.ask("sacct", "--noheader", "--allocations", "--format=JobID") is None:
        text = "sacct has no answer: all works, but less is said of failed jobs"
        findings.append(Finding("note", "accounting", text))
    else:
        findings.append(Finding("ok", "accounting", "sacct answers"))
    try:
        nodes = slurm.nodes_of_cluster()
    except slurm.InputError as error:
        return [*findings, Finding("FAILS", "partitions", str(error), "ask your site"), *problems]
    if not problems and not _uses_slurm(profile):
        problems = [Finding("ok", "profile", f"{profile} runs on this machine, and sends nothing to SLURM")]
    return [*findings, *_partitions(nodes, values), *problems, *_profile(profile, values, nodes)]


def _partitions(nodes: list, values: dict) -> list:
    partitions = {}
    for node in nodes:
        partitions.setdefault(node.partition, []).append(node)
    if not partitions:
        return [Finding("FAILS", "partitions", "sinfo lists none", "ask your site")]
    ours = [values.get("cpu_partition"), values.get("gpu_partition")]
    names = sorted(partitions, key=lambda name: (name not in ours, name))
    findings = []
    for name in names[:MOST_PARTITIONS]:
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
    if len(names) > MOST_PARTITIONS:
        findings.append(Finding("ok", "  others", f"{len(names) - MOST_PARTITIONS} more (sinfo -s)"))
    return findings


def profile_values(profile: Path) -> tuple:
    """What is filled in at the top of a SLURM profile, and what is wrong with it.

    Returns
    -------
    values
        By name; empty if the profile has no such block.
    findings
        Problems of the file and its values.
    """
    path = profile if profile.is_file() else profile / "config.yaml"
    remedy = "PROFILE=profiles/slurm"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return {}, [Finding("FAILS", "profile", f"{path}: {error.strerror}", remedy)]
    # PyYAML need not be there yet.
    block = _found(r"^__variables__:.*\n((?:[ \t]+.*\n|\s*\n|#.*\n)+)", text)
    values = {}
    for name, quoted, plain in re.findall(
        r"""^ +(\w+): *(?:("[^"\n]*"|'[^'\n]*')|([^#\s][^\n]*?)?) *(?:#.*)?$""", block, re.M
    ):
        values[name] = quoted[1:-1] if quoted else plain
    if not values and _uses_slurm(profile):
        return {}, [Finding("note", "profile", f"{path} has no values at its top to compare", remedy)]
    findings = []
    for name in ("gpus", "most_mem_mb", "most_minutes"):
        if name in values and not values[name].isdigit():
            text = f"{name} is '{values[name]}', not a whole number"
            findings.append(Finding("FAILS", "profile", text, f"mend it at the top of {path}"))
    asked = values.get("request_memory", "true")
    if asked.lower() not in ("true", "false"):
        text = f"request_memory is '{asked}', not true or false"
        findings.append(Finding("FAILS", "profile", text, f"mend it at the top of {path}"))
    return ({}, findings) if findings else (values, [])


def _profile(profile: Path, values: dict, nodes: list) -> list:
    if not values:
        return []
    try:
        requests = _requests_of_rules(profile, values)
        compared = f"what all {len({request.rule for request in requests})} rules ask for"
    except ImportError:  # yte comes with snakemake
        requests = _requests_of_values(values)
        compared = "partitions and GPUs (with snakemake there: what every rule asks for)"
    problems = [_shorter(problem) for problem in checks.request_problems(requests, nodes)]
    accounts = slurm.accounts_of_user()
    problems += checks.account_problems({values.get("account", "")}, accounts)
    config = slurm.ask("scontrol", "show", "config") or ""
    first_look = _found(r"^slurm-init-seconds-before-status-checks: *(\d+)", _profile_text(profile))
    if first_look:
        problems += checks.memory_of_jobs_problems(config, int(first_look))
    findings = []
    for problem in problems:
        # Each ends with what to do.
        text, _, remedy = re.sub(r"[.:] (?=(Set|Lower|In) )", "\n", problem, count=1).partition("\n")
        findings.append(Finding("FAILS", "profile", text, remedy))
    if not findings:
        account = values.get("account") or "none"
        known = "" if accounts else " (SLURM lists none of yours)"
        text = f"account {account}{known}; {compared} fits the partitions"
        findings.append(Finding("ok", "profile", text))
        findings += _largest(values, nodes)
    return findings


def _largest(values: dict, nodes: list) -> list:
    """Memory at the profile's top that does not fit the cluster's, where nothing is refused for it yet."""
    names = values.get("cpu_partition", "").split(",")
    ours = [node for node in nodes if node.partition in names] or nodes
    most = max(node.mem_mb for node in ours)
    if most <= slurm.UNKNOWN_MEM_MB:
        return []
    if not _requests_memory(values):
        text = "request_memory is false, and SLURM knows its nodes' memory: a job may get all of a node's"
        return [Finding("note", "profile", text, "Set request_memory to true")]
    if int(values.get("most_mem_mb") or 0) <= most:
        return []
    text = f"most_mem_mb is {values['most_mem_mb']}, and the largest node has {most} (no rule asks for more)"
    return [Finding("note", "profile", text, f"Set most_mem_mb to {most} or less")]


def _requests_of_rules(profile: Path, values: dict) -> list:
    """What the jobs of every rule in the profile ask for, on their first and their last attempt."""
    import yte

    entries = yte.process_yaml(_profile_text(profile), require_use_yte=True)
    defaults, threads = entries.get("default-resources") or {}, entries.get("set-threads") or {}
    requests = []
    for rule, own in (entries.get("set-resources") or {}).items():
        for attempt in {1, 1 + int(entries.get("retries", 0))}:
            asked = {name: _evaluated(amount, attempt) for name, amount in {**defaults, **own}.items()}
            requests.append(
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
                )
            )
    return requests


def _requests_of_values(values: dict) -> list:
    """The least that jobs ask for, with what is filled in: partitions and GPUs, little memory, no time."""
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
            mem_mb=LEAST_JOB_MB if _requests_memory(values) else 0,
            cpus=1,
            minutes=0,
            gpus=count,
            gpu_kind=kind,
        )
        for rule, partition, count, kind in kinds
    ]


def _evaluated(amount: object, attempt: int) -> object:
    """A resource as Snakemake understands it: a Python expression where it is one."""
    if not isinstance(amount, str):
        return amount
    try:
        return eval(amount, {"__builtins__": {}, "min": min, "max": max}, {"attempt": attempt})
    except Exception:  # an expression may raise anything; Snakemake takes it for text, too
        return amount


def _shorter(problem: str) -> str:
    """A problem of many rules, with the first two named."""
    rules, _, rest = problem.partition(": ")
    names = rules.split(", ")
    if len(names) > 3:
        rules = f"{names[0]}, {names[1]} and {len(names) - 2} more rules"
    return f"{rules}: {rest}"


# ---- The folder of the results ---------------------------------------------------------------------------


def check_folder(folder: Path) -> list:
    """Writing, renaming, locks and space where the results will lie."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    where = str(there) if there == folder else f"{there} ({folder.name} is made there)"
    if not there.is_dir():
        text = f"{there} is a file, not a folder"
        return [Finding("FAILS", "folder", text, "name another: make doctor DIRECTORY=...")]
    if slurm and shutil.which("squeue"):
        jobs = slurm.jobs_in_queue(there)
        if jobs:
            text = f"{len(jobs)} job(s) of an earlier run are in the queue: {', '.join(list(jobs)[:5])}"
            return [Finding("FAILS", "folder", text, "wait until they are done, or scancel them")]
    return [*_writing(there, where), *_locks(there), *_space(there)]


def _writing(folder: Path, where: str) -> list:
    try:
        trial = Path(tempfile.mkdtemp(prefix=".cellferry_doctor_", dir=str(folder)))
        try:
            for name in ("old", "new"):
                with open(str(trial / name), "wb") as file:
                    file.write(b"x" * 2**20)
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(str(trial / "new"), str(trial / "old"))
        finally:
            shutil.rmtree(str(trial), ignore_errors=True)
    except OSError as error:
        remedy = "name another: make doctor DIRECTORY=..., and snakemake --directory"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space or raise your quota, or name another: make doctor DIRECTORY=..."
        return [Finding("FAILS", "folder", f"{where}: {error.strerror}", remedy)]
    return [Finding("ok", "folder", f"{where}: writes, syncs and renames")]


# In a process of its own: where a file server's lock daemon is down, a lock is waited for without end.
TRY_LOCKS = """
import fcntl, sys
with open(sys.argv[1], "wb") as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(file, fcntl.LOCK_UN)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
TRY_HDF5 = """
import sys
try:
    import h5py
except ImportError:
    sys.exit("no h5py")
h5py.File(sys.argv[1], "w").close()
h5py.File(sys.argv[1], "r").close()
"""


def _locks(folder: Path) -> list:
    said = {}
    try:
        trial = Path(tempfile.mkdtemp(prefix=".cellferry_doctor_", dir=str(folder)))
    except OSError:  # told already
        return []
    try:
        for name, program in (("flock", TRY_LOCKS), ("HDF5", TRY_HDF5)):
            code, text = _said(sys.executable, "-c", program, str(trial / name))
            said[name] = "" if code == 0 else (text.strip().splitlines() or [f"ended with {code}"])[-1]
    finally:
        shutil.rmtree(str(trial), ignore_errors=True)
    if said["HDF5"] == "no h5py":
        if said["flock"]:
            text = f"{said['flock']}: HDF5 files may not open"
            return [Finding("note", "locks", text, "export HDF5_USE_FILE_LOCKING=FALSE, before each run")]
        return [Finding("ok", "locks", "flock and fcntl work (h5py is not there to try)")]
    if said["HDF5"]:
        text = f"HDF5 files cannot be opened here ({said['HDF5']})"
        return [Finding("FAILS", "locks", text, "export HDF5_USE_FILE_LOCKING=FALSE, before each run")]
    if said["flock"]:
        return [Finding("note", "locks", f"{said['flock']}; HDF5 files open nevertheless")]
    return [Finding("ok", "locks", "flock, fcntl and HDF5's work")]


def _space(folder: Path) -> list:
    there = os.statvfs(str(folder))
    free_mb = there.f_bavail * there.f_frsize // 2**20
    least_mb = slurm.LEAST_FREE_MB if slurm else 500
    free = f"{free_mb / 1024:.0f} GB" if free_mb >= FEW_GB * 1024 else f"{free_mb} MB"
    remedy = "free some, or name another folder: make doctor DIRECTORY=..."
    if free_mb < least_mb:
        findings = [Finding("FAILS", "disk", f"{free} free", remedy)]
    elif free_mb < FEW_GB * 1024:
        findings = [Finding("note", "disk", f"{free} free", "make plan says what a run needs")]
    else:
        findings = [Finding("ok", "disk", f"{free} free (a quota is not seen here)")]
    if there.f_files:  # some file systems do not count
        status = "FAILS" if there.f_favail < LEAST_FILES else "note" if there.f_favail < FEW_FILES else "ok"
        text = f"room for {there.f_favail} more (inodes)"
        findings.append(Finding(status, "files", text, "" if status == "ok" else remedy))
    return findings


# ---- This machine ----------------------------------------------------------------------------------------


def check_machine(profile: Path) -> list:
    """Cores and memory that this session may use, which may be less than the machine has."""
    cores, usable = os.cpu_count() or 1, _usable_cores()
    text = f"{usable}" if usable == cores else f"{usable} of the machine's {cores} may be used here"
    findings = [Finding("ok", "cores", text)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    limit = _least(_cgroup_numbers("memory", "memory.max", "memory.limit_in_bytes"))
    usable = min(memory, limit // 2**20) if limit else memory
    on_cluster = _on_cluster(profile)
    if usable < memory:
        text = f"{usable} MB of the machine's {memory} may be used here"
        # profiles/local counts what the machine has.
        if not on_cluster:
            remedy = f"with profiles/local: snakemake ... --resources mem_mb={int(0.9 * usable)}"
            return [*findings, Finding("note", "memory", text, remedy)]
    else:
        text = f"{usable} MB"
    if usable < LEAST_MB and not on_cluster:
        text += f"; the largest steps ask for {LEAST_MB}"
        return [*findings, Finding("note", "memory", text, "the demo runs; real data: a larger machine")]
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
        if quota.isdigit():  # -1: none
            shares.append(int(quota) / int(period))
    return max(1, int(min([cores, *shares])))


def _cgroup_numbers(controller: str, *names: str) -> list:
    texts = [text for name in names for text in _cgroup_files(controller, name)]
    return [int(text) for text in texts if text.isdigit()]


def _cgroup_files(controller: str, name: str) -> list:
    """What a file says in this process's control group and all that hold it, of either version."""
    found = []
    for line in _text(OWN_CGROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for root in {CGROUPS, CGROUPS / "unified"} if not controllers else {CGROUPS / controller}:
            parts = [part for part in path.split("/") if part]
            # In a container the path may be the host's, and not there: its root is.
            for n in range(len(parts), -1, -1):
                text = _text(root.joinpath(*parts[:n], name)).strip()
                if text:
                    found.append(text)
    return found


def _least(numbers: list) -> int:
    return min(numbers) if numbers else 0


# ---- GPUs ------------------------------------------------------------------------------------------------


def check_gpu_here(profile: Path) -> list:
    """On a machine with a driver: whether it is new enough for torch, and torch sees it."""
    if shutil.which("nvidia-smi") is None:
        if _on_cluster(profile):
            return [Finding("ok", "GPU", "none on this node; `make doctor GPU=1` tries one of the cluster's")]
        return [Finding("note", "GPU", "none: training computes on the CPU, and takes longer")]
    return _judged({"node": "this machine", **what_torch_sees()}, "GPU")


def what_torch_sees() -> dict:
    """Driver and CUDA of this node, and what torch makes of them; run by the GPU job, too."""
    code, said = _said("nvidia-smi")
    seen = {
        "driver": "" if code else _found(r"Driver Version: *([\d.]+)", said),
        "cuda": "" if code else _found(r"CUDA (?:\w+ )?Version: *([\d.]+)", said),
        "name": "",
    }
    code, said = _said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    if not code and said.strip():
        seen["name"] = said.splitlines()[0].strip()
    program = "import torch; print('torch', torch.__version__, torch.version.cuda, torch.cuda.is_available())"
    # From a network file system, the first time, importing takes minutes.
    said = _said(sys.executable, "-c", program, seconds=4 * ANSWER_SECONDS)[1]
    found = re.search(r"^torch (\S+) (\S+) (\S+)$", said, re.M)
    seen["torch"], seen["built"], sees = found.groups() if found else ("", "", "")
    seen["sees"] = sees == "True"
    seen["fault"] = "" if found or "No module named 'torch'" in said else said.strip().split("\n")[-1]
    return seen


def _judged(seen: dict, subject: str) -> list:
    """What follows from `what_torch_sees`; wheels for CUDA 13 see no GPU under a driver for CUDA 12."""
    place = seen["node"]
    if not seen["driver"]:
        text = f"no NVIDIA driver answers on {place} (nvidia-smi)"
        remedy = "ask your site, or name another gpu_partition in the profile (gpus: 0 computes on CPUs)"
        return [Finding("FAILS", subject, text, remedy)]
    built = seen["built"] or _found(r"^nvidia-cuda-runtime\S*==(\d+\.\d+)", PROJECT / "requirements.txt")
    driver = f"{seen['name'] or 'GPU'} on {place}, driver {seen['driver']} for CUDA {seen['cuda'] or '?'}"
    torch = f"torch {seen['torch']} built for CUDA {built}" if seen["torch"] else ""
    if seen["sees"]:
        return [Finding("ok", subject, f"{driver}; {torch} sees it")]
    if seen["fault"]:
        text = f"{driver}; torch cannot be imported: {seen['fault']}"
        return [Finding("FAILS", subject, text, "rm -f .venv/.installed && make demo")]
    if seen["torch"] and built == "None":
        remedy = "rm -f .venv/.installed && make demo"
        return [Finding("FAILS", subject, f"{driver}; {torch}: it is a build for CPUs", remedy)]
    if seen["cuda"] and built and _numbers(seen["cuda"])[:1] < _numbers(built)[:1]:
        text = f"{driver}, and torch is built for CUDA {built}"
        return [Finding("FAILS", subject, text, "use nodes with a newer driver, or gpus: 0 in the profile")]
    if seen["torch"]:
        text = f"{driver}; {torch} sees no GPU it can use"
        return [Finding("FAILS", subject, text, "compare nvidia-smi there with torch; ask your site")]
    text = f"{driver}; torch is not in this Python, and is built for CUDA {built}"
    return [Finding("note", subject, text, "make demo, then again: whether torch sees it")]


def check_gpu_node(profile: Path, folder: Path, wait_seconds: int) -> list:
    """Send a small job to the GPU partition, which says what it finds there."""
    if shutil.which("sbatch") is None:
        return [Finding("note", "GPU job", "not sent: no sbatch here")]
    values, problems = profile_values(profile)
    if problems:
        return [Finding("note", "GPU job", "not sent: mend the profile first")]
    if not int(values.get("gpus") or 0):
        return [Finding("note", "GPU job", "not sent: the profile asks for no GPU (gpus: 0)")]
    if not folder.is_dir():
        text = f"not sent: {folder} is not there, and its answer comes back there"
        return [Finding("note", "GPU job", text, f"mkdir -p {folder}")]
    try:
        trial = Path(tempfile.mkdtemp(prefix=".cellferry_doctor_", dir=str(folder)))
    except OSError as error:
        return [Finding("note", "GPU job", f"not sent: {folder}: {error.strerror}")]
    try:
        return _tried_on_gpu(values, trial, wait_seconds)
    finally:
        shutil.rmtree(str(trial), ignore_errors=True)


def _tried_on_gpu(values: dict, trial: Path, wait_seconds: int) -> list:
    answer = trial / "answer"
    python, scripts = shlex.quote(sys.executable), shlex.quote(str(PROJECT / "scripts"))
    script = trial / "job.sh"
    script.write_text(
        "#!/bin/sh\n"
        'echo "${SLURMD_NODENAME:-$(hostname)}"\n'
        f"PYTHONPATH={scripts}${{PYTHONPATH:+:$PYTHONPATH}}; export PYTHONPATH\n"
        f"exec {python} -m cellferry.commands.doctor --what-torch-sees\n"
    )
    kind = values.get("gpu_kind")
    command = [
        "sbatch",
        "--parsable",
        "--job-name=cellferry_doctor",
        f"--output={answer}",
        f"--chdir={trial}",
        f"--gpus={kind + ':' if kind else ''}1",
        f"--time={GPU_JOB_MINUTES}",
        "--ntasks=1",
    ]
    if _requests_memory(values):
        command.append(f"--mem={GPU_JOB_MB}")
    if values.get("account"):
        command.append(f"--account={values['account']}")
    if values.get("gpu_partition"):
        command.append(f"--partition={values['gpu_partition']}")
    code, said = _said(*command, str(script))
    found = re.search(r"^(\d+)(;.*)?$", said, re.M)
    if code or not found:
        # A site's sbatch may say more than an error.
        lines = [line for line in said.splitlines() if "error" in line] or said.splitlines() or ["nothing"]
        text = f"SLURM did not take it: {lines[-1].strip()}"
        return [Finding("FAILS", "GPU job", text, "mend account, gpu_partition, gpu_kind in the profile")]
    job = found.group(1)
    print(f"       (job {job} waits for a GPU; at most {wait_seconds} s)", flush=True)
    ended, unknown, state, reason = False, 0, "", ""
    deadline = time.monotonic() + wait_seconds
    try:
        while time.monotonic() < deadline:
            os.listdir(str(trial))  # a network file system shows new files then
            seen = _answered(_text(answer))
            if seen:
                ended = True
                text = f"{trial.parent} is seen on {seen['node']}"
                return [*_judged(seen, "GPU job"), Finding("ok", "GPU job", text)]
            code, said = _said("squeue", "--noheader", f"--jobs={job}", "--format=%T|%r")
            now, _, why = said.strip().partition("|")
            if not code and now in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"):
                if now != "PENDING" and state in ("", "PENDING"):
                    deadline = time.monotonic() + 60 * (GPU_JOB_MINUTES + 1)  # it has a limit of its own
                state, reason, unknown = now, why, 0
            else:
                unknown += 1
            if unknown > 10:  # it has left the queue, and a file may appear late
                ended = True
                break
            time.sleep(2)
    finally:
        if not ended:
            _said("scancel", job)
    if not ended and state == "PENDING":
        text = f"waited {wait_seconds} s and has not begun ({reason}): cancelled"
        return [Finding("note", "GPU job", text, "wait longer: make doctor GPU=1 WAIT=3600")]
    lines = _text(answer).split("\n")
    if lines != [""]:
        last = [line for line in lines if line.strip()][-1].strip()
        text = f"began on {lines[0]}, and did not get to the end: {last}"
        return [Finding("FAILS", "GPU job", text, "see to it that compute nodes see this project and .venv")]
    text = f"began, and nothing came back: its node does not see {trial.parent}"
    return [Finding("FAILS", "GPU job", text, "work in a folder that all nodes see: DIRECTORY=...")]


def _answered(text: str) -> dict:
    """What the GPU job has written; nothing before it is complete."""
    lines = text.split("\n")
    for line in lines:
        if line.startswith("{") and line.endswith("}"):
            return {"node": lines[0].strip(), **json.loads(line)}
    return {}


# ---- Small things ----------------------------------------------------------------------------------------


def _said(*command: str, seconds: float = 0) -> tuple:
    """Exit code of a command, and what it prints, errors included; it may be missing or hang."""
    try:
        done = subprocess.run(  # not capture_output: Python 3.6
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds or ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer in {seconds or ANSWER_SECONDS} s"
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}"
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _in_own_environment() -> bool:
    return Path(sys.prefix).resolve() == (PROJECT / ".venv").resolve()


def _version(package: str) -> str:
    """Version of an installed package; "" if it is not there."""
    try:
        from importlib.metadata import PackageNotFoundError, version
    except ImportError:  # Python before 3.8
        return ""
    try:
        return version(package) or ""
    except PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _found(pattern: str, text: object) -> str:
    """First group of a pattern in a text or a file; "" if it is not there."""
    found = re.search(pattern, _text(text) if isinstance(text, Path) else text or "", re.M)
    return found.group(1) if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _profile_text(profile: Path) -> str:
    return _text(profile if profile.is_file() else profile / "config.yaml")


def _uses_slurm(profile: Path) -> bool:
    return bool(_found(r"^(executor): *slurm", _profile_text(profile)))


def _on_cluster(profile: Path) -> bool:
    return _uses_slurm(profile) and shutil.which("sbatch") is not None


def _requests_memory(values: dict) -> bool:
    """Whether jobs ask SLURM for their memory."""
    return values.get("request_memory", "true").lower() != "false"


def _limit(minutes: float) -> str:
    if minutes == float("inf"):
        return "no time limit"
    return f"{minutes / 1440:g} days" if minutes >= 2880 else f"{minutes:g} minutes"


# ---- What is printed -------------------------------------------------------------------------------------


def lines_of(finding: Finding) -> list:
    """A finding in lines of at most 100 columns; the remedy stands on a line of its own."""
    indent = " " * 22
    head = f"{finding.status:<6} {finding.subject:<14} "
    if len(head) > len(indent):
        head = head.rstrip() + "  "
    settings = {"width": WIDTH, "break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(finding.text, initial_indent=head, subsequent_indent=indent, **settings)
    if finding.remedy:
        lines += textwrap.wrap(
            finding.remedy, initial_indent=indent + "-> ", subsequent_indent=indent + "   ", **settings
        )
    return lines


def examine(profile: Path, folder: Path, gpu: bool, wait_seconds: int) -> int:
    """Make all checks and print what they find; returns how many have failed."""
    checks = [
        ("Python", check_python, ()),
        (".venv", check_environment, ()),
        ("snakemake", check_snakemake, ()),
        ("conda", check_conda, ()),
        ("SLURM", check_slurm, (profile,)),
        ("folder", check_folder, (folder,)),
        ("machine", check_machine, (profile,)),
        ("GPU", check_gpu_here, (profile,)),
    ]
    if gpu:
        checks.append(("GPU job", check_gpu_node, (profile, folder, wait_seconds)))
    count = {"ok": 0, "note": 0, "FAILS": 0}
    for subject, check, arguments in checks:
        try:
            findings = check(*arguments)
        except Exception as error:  # machines are strange; one check must not keep the others from being made
            text = f"could not be looked at ({type(error).__name__}: {error})"
            findings = [Finding("note", subject, text)]
        for finding in findings:
            count[finding.status] += 1
            print("\n".join(lines_of(finding)), flush=True)
    print(f"\n{count['ok']} ok, {count['note']} to note, {count['FAILS']} FAILS")
    return count["FAILS"]


def main() -> int:
    """Read the command line; exit status 1 if something FAILS."""
    parser = argparse.ArgumentParser(prog="make doctor", description=__doc__)
    parser.add_argument("--profile", type=Path, default=PROJECT / "profiles" / "slurm")
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--gpu", action="store_true", help="send a small job to the GPU partition")
    parser.add_argument("--wait", type=int, default=300, help="seconds that job may wait")
    parser.add_argument("--what-torch-sees", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what_torch_sees:
        print(json.dumps(what_torch_sees()))
        return 0
    folder = Path(os.path.abspath(str(arguments.directory)))
    return int(examine(arguments.profile, folder, arguments.gpu, arguments.wait) > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
    except BrokenPipeError:  # make doctor | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
