"""A throw-away SLURM on this machine, its faults, and runs of the workflow on it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from running import command_line, slurm_profile

HERE = Path(__file__).parent
DAEMONS = ["slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sbatch"]
GPU_RULES = ["train_reference_model", "fit_query_model"]
GROUPS = slurm_profile()["groups"]

QUIET_SECONDS = 900
"""A run without any output for so long has stopped; a slow machine may take longer in all."""


def missing_programs() -> list[str]:
    """Missing programs of SLURM and its helpers."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [program for program in DAEMONS if shutil.which(program, path=path) is None]


@dataclass(frozen=True)
class Job:
    """A job as squeue or sacct shows it; `rules` is one rule, or several of a group."""

    number: str
    state: str
    rules: tuple[str, ...]
    node: str = ""


class Cluster:
    """A running cluster; `variables` are the environment of its login node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = f"{folder / 'bin'}:/usr/sbin"
        self.variables = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}

    @classmethod
    def start(cls, **variables: str) -> "Cluster":
        """Start one in a new folder, beside running ones; `variables` are those of the script."""
        folder = Path(tempfile.mkdtemp(prefix="cf-"))  # short: it contains unix sockets
        port = next(
            port for port in range(26800, 28800, 20) if not any(map(_is_taken, range(port, port + 20)))
        )
        variables = {**os.environ, "CLUSTER_PORT": str(port), "CLUSTER_PREFIX": f"p{port}", **variables}
        # Output goes to a file: the daemons inherit it, and a pipe would never end.
        log = folder.with_suffix(".log")
        with open(log, "w") as said:
            start = [HERE / "start_cluster", folder]
            started = subprocess.run(start, env=variables, stdout=said, stderr=said, check=False)
        cluster = cls(folder)
        if started.returncode != 0:
            said = log.read_text()
            cluster.stop()
            raise RuntimeError(f"the test cluster did not start:\n{said}")
        return cluster

    def stop(self) -> None:
        """End all jobs and daemons and remove the folder."""
        subprocess.run([HERE / "stop_cluster", self.folder], check=True, capture_output=True)
        shutil.rmtree(self.folder)
        self.folder.with_suffix(".log").unlink()

    def ask(self, *command: object) -> str:
        """Output of a SLURM command."""
        result = subprocess.run(
            list(map(str, command)), env=self.variables, capture_output=True, text=True, check=True
        )
        return result.stdout

    def queue(self, folder: Path | None = None) -> list[Job]:
        """Waiting and running jobs, all or those of the run in a folder."""
        lines = self.ask("squeue", "--noheader", "--format=%i|%T|%k|%N|%Z").splitlines()
        return [
            Job(number, state, rules_of(comment), node)
            for number, state, comment, node, where in _rows(lines)
            if folder is None or where == str(folder)
        ]

    def accounted(self, run: "Run") -> list[dict[str, str]]:
        """Jobs of a run by sacct, in the order of submission."""
        columns = [
            "JobID",
            "State",
            "Comment",
            "Partition",
            "ReqMem",
            "ReqCPUS",
            "TimelimitRaw",
            "AllocTRES",
            "WorkDir",
        ]
        lines = self.ask(
            "sacct",
            "--allocations",
            "--noheader",
            "--parsable2",
            "--units=M",
            f"--format={','.join(columns)}",
            "--starttime=now-1days",
            "--duplicates",
        ).splitlines()
        rows = [dict(zip(columns, values, strict=True)) for values in _rows(lines)]
        return [
            {**row, "rules": rules_of(row["Comment"])} for row in rows if row["WorkDir"] == str(run.folder)
        ]

    def wait_until_ready(self, seconds: int = 90) -> None:
        """Wait until every node can take a job."""
        nodes = ["sinfo", "--noheader", "--Node", "--partition=urgent", "--format=%T"]
        states = {"idle", "mixed", "allocated"}
        wait_for(lambda: set(self.ask(*nodes).split()) <= states, seconds, "all nodes to be ready")

    # ---- Faults ------------------------------------------------------------------------------------------

    def take_memory_away(self, number: str) -> None:
        """Lower the limit of a job's running step to little above its use: the next allocation kills it."""
        (step,) = Path("/sys/fs/cgroup/memory").glob(f"slurm_*/uid_*/job_{number}/step_[0-9]*")
        used = int((step / "memory.usage_in_bytes").read_text())
        for attempt in range(20):  # the kernel refuses a limit below the present use
            try:
                (step / "memory.limit_in_bytes").write_text(str(used + (attempt + 1) * 2**20))
                return
            except OSError:
                continue
        raise RuntimeError(f"the memory limit of job {number} cannot be lowered")

    def kill_node(self, node: str) -> None:
        """Kill a node's daemon and all its jobs' processes without warning, as a power cut does."""
        pids = [(self.folder / "pids" / f"slurmd.{node}.pid").read_text().strip()]
        for number in self.ask("squeue", "--noheader", f"--nodelist={node}", "--format=%i").split():
            keepers = ["pgrep", "-f", rf"slurmstepd: \[{number}\."]
            pids += subprocess.run(keepers, capture_output=True, text=True, check=False).stdout.split()
        for processes in Path(f"/sys/fs/cgroup/freezer/slurm_{node}").rglob("cgroup.procs"):
            pids += processes.read_text().split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Start a node's daemon again."""
        variables = {**self.variables, "SLURM_CONF": str(self.folder / "conf" / "slurm.conf")}
        subprocess.run(["slurmd", "-N", node], env=variables, check=True)

    def stop_daemon(self, name: str) -> None:
        """Stop slurmctld or slurmdbd."""
        path = self.folder / "pids" / f"{name}.pid"
        pid = int(path.read_text())
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not _alive(pid), 30, f"{name} to end")

    def start_daemon(self, name: str) -> None:
        """Start slurmctld or slurmdbd again."""
        variables = {**self.variables, "SLURM_CONF": str(self.folder / "conf" / "slurm.conf")}
        subprocess.run([name], env=variables, check=True)


class Run:
    """The workflow on a cluster, with the shipped profile.

    Parameters
    ----------
    cluster, folder, config
        Cluster, folder and configuration of the run.
    resources
        Changes of the profile's set-resources, per rule.
    launcher
        Environment with a conda to start snakemake from; None: that of the tests, without conda.
    profile
        Changes of the profile's other entries.
    """

    def __init__(self, cluster, folder, config, *, resources=None, launcher=None, **profile) -> None:
        self.cluster, self.folder, self.config = cluster, Path(folder), config
        self.program = [sys.executable, "-m", "snakemake"]
        self.variables = cluster.variables
        entries = slurm_profile()
        if launcher:
            self.program = [launcher.programs / "snakemake"]
            self.variables = {
                **launcher.variables,
                "PATH": f"{cluster.programs}:{launcher.variables['PATH']}",
            }
            entries |= {"software-deployment-method": "conda", "conda-prefix": str(launcher.folder / "conda")}
        # Status is queried at 1, 12 and 33 seconds, and so on.
        entries["slurm-init-seconds-before-status-checks"] = 1
        for rule in GPU_RULES:
            # The cluster's GPUs are fake, and a script with the resource gpu requires a real one.
            entries["set-resources"][rule]["gres"] = f"gpu:{entries['set-resources'][rule].pop('gpu')}"
        for rule, changes in (resources or {}).items():
            entries["set-resources"].setdefault(rule, {}).update(changes)
        entries |= profile
        self.profile = entries
        (self.folder / "profile").mkdir(parents=True, exist_ok=True)
        (self.folder / "profile" / "config.yaml").write_text(yaml.safe_dump(entries))

    def command(self, *arguments):
        """Command that starts snakemake."""
        profile = ["--profile", self.folder / "profile"]
        return command_line(self.folder, *arguments, *profile, config=self.config, program=self.program)

    def start(self, *arguments):
        """Start snakemake without waiting; its output is written to the file `said`."""
        if threading.current_thread() is threading.main_thread():
            heed_interrupts()
        with open(self.folder / "said", "a") as said:
            return subprocess.Popen(
                self.command(*arguments),
                env=self.variables,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def finish(self, *arguments):
        """Run snakemake; returns its exit code and output."""
        return self.wait(self.start(*arguments)), self.said()

    def wait(self, process) -> int:
        """Wait until snakemake ends, as long as there is progress; returns its exit code."""
        try:
            self.wait_for(lambda: process.poll() is not None, "snakemake to end")
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode

    def wait_for(self, condition, what: str):
        """Wait until `condition()` is true, as long as there is progress; returns its value."""
        return wait_for(condition, QUIET_SECONDS, what, progress=self.progress)

    def progress(self) -> tuple[int, int]:
        """Measure of progress: bytes of all logs, and files of environments."""
        logs = [self.folder / "said"]
        for name in ("logs", ".snakemake/log", ".snakemake/slurm_logs"):
            logs += [Path(at, file) for at, _, files in os.walk(self.folder / name) for file in files]
        said = 0
        for log in logs:
            with contextlib.suppress(FileNotFoundError):  # logs of successful jobs are removed
                said += log.stat().st_size
        return said, sum(len(files) for *_, files in os.walk(self.profile.get("conda-prefix", "")))

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def scripts(self, rule: str) -> list[int]:
        """Processes of a rule's scripts, without the snakemakes around them."""
        pattern = rf"^\S*python[0-9.]* {self.folder}/.snakemake/scripts/tmp[^/]*\.{rule}\.py"
        found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False)
        pids = [int(pid) for pid in found.stdout.split()]
        # A script's child has its command line until it becomes another program.
        return [pid for pid in pids if parent_of(pid) not in pids]

    def wait_for_job(self, rule: str, *, known=()) -> Job:
        """Wait until the script of a rule's job runs, and return the job."""
        found = []

        def runs():
            found[:] = [
                job
                for job in self.cluster.queue(self.folder)
                if rule in job.rules and job.state == "RUNNING" and job.number not in known
            ]
            return found and self.scripts(rule)

        self.wait_for(runs, f"the script of {rule} to run")
        return found[0]


def parent_of(pid: int) -> int | None:
    """Parent of a process; None if that has ended."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text()
        return int(state.rpartition(")")[2].split()[1])
    return None


def heed_interrupts() -> None:
    """Let children obey Ctrl-C: a shell makes background processes ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Standstill:
    """True if `progress()` stayed the same for some time; called after that time."""

    def __init__(self, seconds: float, progress=lambda: None) -> None:
        self._seconds, self._progress = seconds, progress
        self._before, self._deadline = progress(), time.monotonic() + seconds

    def __bool__(self) -> bool:
        if time.monotonic() < self._deadline:
            return False
        before, self._before = self._before, self._progress()
        self._deadline = time.monotonic() + self._seconds
        return self._before == before


def wait_for(condition, seconds: float, what: str, *, progress=lambda: None):
    """Wait until `condition()` is true, longer while `progress()` changes; returns its value."""
    standstill = Standstill(seconds, progress)
    while not standstill:
        if value := condition():
            return value
        time.sleep(0.1)
    raise TimeoutError(f"waited {seconds} seconds for {what}, in which nothing else happened")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def rules_of(comment: str) -> tuple[str, ...]:
    """Rules of a job by its comment; that of a group is `rule_`, the group's name and its rules."""
    name = re.sub(r"_wildcards_.*", "", comment).removeprefix("rule_")
    for group in set(GROUPS.values()):
        if name.startswith(f"{group}_"):
            members = [rule for rule, its in GROUPS.items() if its == group]
            return tuple(re.findall("|".join(members), name.removeprefix(f"{group}_")))
    return (name,)


def _rows(lines):
    return (line.strip().split("|") for line in lines)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
