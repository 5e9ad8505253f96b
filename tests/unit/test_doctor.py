"""doctor: checks of the environment and the cluster, with any Python, and remedies for what fails."""

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cellferry.commands.doctor import __main__ as doctor
from cellferry.commands.doctor.__main__ import Finding

SCRIPTS = Path(doctor.__file__).parents[3]
PROFILE = doctor.PROJECT / "profiles" / "slurm"
SINFO = "cpu|64000|16|(null)|2-00:00:00\ngpu|64000|16|gpu:a100:4(S:0-1)|1-00:00:00"


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Function that puts a shell script on the PATH, where there is nothing else but the shell's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "sleep", "hostname"):
        (folder / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(folder))

    def add(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return add


@pytest.fixture
def cluster(programs):
    """SLURM's commands, all answering; the same function as `programs`."""
    programs("sbatch", "echo slurm 23.11.4")
    programs("sinfo", f"cat <<'END'\n{SINFO}\nEND")
    programs("squeue", "true")
    programs("sacct", "true")
    programs("sacctmgr", "echo default")
    programs("scontrol", "echo 'MinJobAge = 300 sec'")
    return programs


@pytest.fixture
def project(monkeypatch, tmp_path):
    """A project of its own, with what the checks read."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("pyproject.toml", "Snakefile", "requirements.txt"):
        shutil.copy(doctor.PROJECT / name, folder)
    monkeypatch.setattr(doctor, "PROJECT", folder)
    return folder


def profile_with(tmp_path, **values):
    text = (PROFILE / "config.yaml").read_text()
    for name, value in values.items():
        before = next(line for line in text.splitlines() if line.startswith(f"  {name}:"))
        text = text.replace(before, f"  {name}: {value}   # filled in")
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def worst(findings):
    """The one finding that is not ok."""
    (finding,) = [finding for finding in findings if finding.status != "ok"]
    return finding


def failing(findings):
    finding = worst(findings)
    assert finding.status == "FAILS"
    assert finding.remedy
    return finding


# ---- An old Python, in which nothing is installed --------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "version"),
    [
        ("commands/__init__", (3, 6)),
        ("commands/doctor/__init__", (3, 6)),
        ("commands/doctor/__main__", (3, 6)),
        ("__init__", (3, 6)),
        ("errors", (3, 6)),
        ("cluster/__init__", (3, 6)),
        ("cluster/slurm", (3, 8)),
        ("cluster/request", (3, 8)),
        ("cluster/checks", (3, 8)),
    ],
)
def test_an_old_python_can_read_it(module, version):
    ast.parse((SCRIPTS / "cellferry" / f"{module}.py").read_text(), feature_version=version)


def run(python, *arguments):
    command = [*python, "-m", "cellferry.commands.doctor", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_runs_where_nothing_is_installed(tmp_path):
    done = run([sys.executable, "-S"], "--directory", str(tmp_path))
    assert done.stderr == ""
    assert "could not be looked at" not in done.stdout
    assert "the workflow's own will be 3.12" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", ["python3.6", "python3.7", "python3.8", "python3.9", "python3.11"])
def test_it_runs_with_old_pythons(name, tmp_path):
    if (
        not shutil.which(name)
        or subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"no {name} here")
    done = run([name], "--directory", str(tmp_path))
    assert done.stderr == ""
    assert "could not be looked at" not in done.stdout


def test_exit_status_and_the_last_line(tmp_path):
    (tmp_path / "file").touch()
    done = run([sys.executable], "--directory", str(tmp_path / "file"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("FAILS")
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away(tmp_path):
    command = [sys.executable, "-m", "cellferry.commands.doctor", "--directory", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait()


def test_a_check_that_breaks_does_not_keep_the_others_from_being_made(monkeypatch, capsys, tmp_path):
    def breaks():
        raise ZeroDivisionError("strange machine")

    monkeypatch.setattr(doctor, "check_conda", breaks)
    doctor.examine(PROFILE, tmp_path, gpu=False, wait_seconds=0)
    said = capsys.readouterr().out
    assert "could not be looked at (ZeroDivisionError: strange machine)" in said
    assert "cores" in said


def test_long_findings_are_wrapped_and_aligned():
    lines = doctor.lines_of(Finding("FAILS", "profile", "word " * 40, "remedy " * 20))
    assert max(map(len, lines)) <= 100
    assert {len(line) - len(line.lstrip()) for line in lines[1:]} == {22, 25}
    assert lines[0].startswith("FAILS  profile        word")


# ---- What is installed -----------------------------------------------------------------------------------


def test_a_python_that_is_not_the_workflows(monkeypatch):
    monkeypatch.setattr(doctor, "_in_own_environment", lambda: True)
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.10.1")
    assert "3.10.1 in .venv" in failing(doctor.check_python()).text


def test_environment_not_made_yet(programs, project):
    programs("uv", "true")
    finding = worst(doctor.check_environment())
    assert (finding.status, finding.text) == ("note", "not there yet")
    assert "make demo" in finding.remedy


def test_environment_that_cannot_be_made(monkeypatch, programs, project):
    programs("python3", "exit 1")
    monkeypatch.setattr(doctor.sys, "executable", str(Path(os.environ["PATH"]) / "python3"))
    assert "no pip" in failing(doctor.check_environment()).text


def test_environment_whose_python_is_gone(project):
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to("/no/such/python")
    assert "rm -rf .venv" in failing(doctor.check_environment()).remedy


def test_environment_that_lacks_packages(monkeypatch, project):
    monkeypatch.setattr(doctor, "_in_own_environment", lambda: True)
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    (project / "requirements.txt").write_text("numpy==0.1\nno-such-package==2.0 ; python_version > '3'\n")
    finding = failing(doctor.check_environment())
    assert "lacks 2 of the 2 packages" in finding.text
    assert "numpy 0.1, no-such-package 2.0" in finding.text


@pytest.mark.parametrize(
    ("snakemake", "plugin", "said"),
    [
        ("9.26.0", "2.8.0", "9.26.0, and the workflow needs 9.27 or later"),
        ("", "2.8.0", "not there yet; 9.27 or later"),
        ("9.27.1", "", "not there; the workflow is tested with 2.8"),
        ("10.1.0", "2.7.3", "2.7.3; the workflow is tested with 2.8"),
    ],
)
def test_snakemake_and_plugin_of_other_versions(monkeypatch, cluster, snakemake, plugin, said):
    versions = {"snakemake": snakemake, "snakemake-executor-plugin-slurm": plugin}
    monkeypatch.setattr(doctor, "_version", versions.get)
    monkeypatch.setattr(doctor, "_in_own_environment", lambda: True)
    assert said in failing(doctor.check_snakemake()).text


def test_snakemake_of_a_conda_environment(monkeypatch, programs):
    monkeypatch.setattr(doctor, "_version", lambda package: "")
    programs("snakemake", "echo 9.30.2")
    finding, plugin = doctor.check_snakemake()
    assert (finding.status, finding.text) == ("ok", "9.30.2")
    assert plugin.status == "note"  # without SLURM nothing uses it


@pytest.mark.parametrize(
    ("program", "script", "status", "said"),
    [
        ("conda", "echo conda 24.9.2", "ok", "24.9.2"),
        ("conda", "echo conda 23.1.0", "FAILS", "24.7.1 or later"),
        ("conda", "exit 3", "FAILS", "does not answer"),
        ("micromamba", "true", "note", "micromamba only"),
        ("true", "true", "note", "none: all jobs run in .venv"),
    ],
)
def test_conda(programs, program, script, status, said):
    programs(program, script)
    (finding,) = doctor.check_conda()
    assert finding.status == status
    assert said in finding.text


# ---- The cluster -----------------------------------------------------------------------------------------


def test_no_slurm_is_a_note(programs):
    finding = worst(doctor.check_slurm(PROFILE))
    assert finding.status == "note"
    assert "login node" in finding.remedy


def test_a_cluster_that_the_profile_fits(cluster, tmp_path):
    findings = doctor.check_slurm(profile_with(tmp_path, most_mem_mb=64000, most_minutes=1440))
    assert {finding.status for finding in findings} == {"ok"}
    said = {finding.subject.strip(): finding.text for finding in findings}
    assert said["gpu"] == "1 node, up to 64000 MB and 16 CPUs, 1440 minutes, a100:4"
    assert re.search(r"what all \d+ rules ask for fits", said["profile"])


@pytest.mark.parametrize("command", ["sinfo", "squeue", "sbatch"])
def test_a_command_of_slurms_that_does_not_answer(cluster, command):
    cluster(command, "exit 1")
    finding = failing(doctor.check_slurm(PROFILE))
    assert finding.text == f"no answer from {command}"
    assert worst(doctor.check_slurm(doctor.PROJECT / "profiles" / "local")).status == "note"


def test_no_accounting_is_a_note(cluster, tmp_path):
    cluster("sacct", "exit 1")
    cluster("sacctmgr", "exit 1")
    finding = worst(doctor.check_slurm(profile_with(tmp_path, most_mem_mb=64000, most_minutes=1440)))
    assert (finding.status, finding.subject) == ("note", "accounting")


def test_a_cluster_without_partitions(cluster):
    cluster("sinfo", "true")
    findings = doctor.check_slurm(PROFILE)
    assert ("FAILS", "sinfo lists none") in {(finding.status, finding.text) for finding in findings}


@pytest.mark.parametrize("with_yte", [True, False])
@pytest.mark.parametrize(
    ("values", "said", "remedy"),
    [
        (
            {"cpu_partition": "main"},
            "there is no partition 'main'; this cluster has cpu, gpu",
            "Set cpu_part",
        ),
        ({"gpu_kind": "h100"}, "asks for h100:1, and partition gpu has a100:4", "Set gpu_partition"),
        ({"gpu_kind": "a100-sxm4"}, "takes letters, digits", "Set gpu_kind"),
        ({"gpus": 8}, "asks for gpu:8", "Set gpu_partition"),
        ({"account": "lab"}, "there is no account 'lab' for you; you have default", "Set account"),
    ],
)
def test_values_that_the_cluster_does_not_have(
    monkeypatch, cluster, tmp_path, with_yte, values, said, remedy
):
    if not with_yte:
        monkeypatch.setitem(sys.modules, "yte", None)
    site = {"most_mem_mb": 64000, "most_minutes": 1440, **values}
    finding = failing(doctor.check_slurm(profile_with(tmp_path, **site)))
    assert said in finding.text
    assert finding.remedy.startswith(remedy)


def test_what_rules_ask_for_on_the_last_attempt(cluster, tmp_path):
    # train_reference_model: 720 minutes, three times.
    finding = failing(doctor.check_slurm(profile_with(tmp_path, most_mem_mb=64000)))
    assert "train_reference_model: asks for 2160 minutes on attempt 3, and partition gpu allows 1440" in (
        finding.text
    )
    assert finding.remedy.startswith("Set most_minutes")


def test_more_memory_than_the_largest_node_has_is_noted(cluster, tmp_path):
    finding = worst(doctor.check_slurm(profile_with(tmp_path, most_minutes=1440)))
    assert finding.status == "note"
    assert finding.remedy == "Set most_mem_mb to 64000 or less"


@pytest.mark.parametrize("with_yte", [True, False])
def test_a_cluster_that_does_not_know_its_memory(monkeypatch, cluster, tmp_path, with_yte):
    if not with_yte:
        monkeypatch.setitem(sys.modules, "yte", None)
    cluster("sinfo", f"cat <<'END'\n{SINFO.replace('64000', '1')}\nEND")
    findings = doctor.check_slurm(profile_with(tmp_path, most_minutes=1440))
    problems = [finding for finding in findings if finding.status != "ok"]
    assert [finding.text.rpartition("nodes of ")[2][:13] for finding in problems] == [
        "partition cpu",
        "partition gpu",
    ]
    for finding in problems:
        assert finding.status == "FAILS"
        assert finding.remedy.startswith("Set request_memory at the top")
        assert "most_mem_mb" not in finding.text + finding.remedy
    findings = doctor.check_slurm(profile_with(tmp_path, most_minutes=1440, request_memory="false"))
    assert {finding.status for finding in findings} == {"ok"}
    assert any("memory unknown to SLURM" in finding.text for finding in findings)


def test_memory_that_is_not_asked_for_without_need_is_noted(cluster, tmp_path):
    finding = worst(doctor.check_slurm(profile_with(tmp_path, most_minutes=1440, request_memory="false")))
    assert (finding.status, finding.remedy) == ("note", "Set request_memory to true")


def test_a_controller_that_forgets_jobs(cluster, tmp_path):
    cluster("scontrol", "echo 'MinJobAge = 100 sec'")
    finding = failing(doctor.check_slurm(profile_with(tmp_path, most_mem_mb=64000, most_minutes=1440)))
    assert "MinJobAge" in finding.text
    assert finding.remedy.startswith("Set slurm-init-seconds-before-status-checks")


def test_values_are_read_without_yaml(tmp_path):
    values, problems = doctor.profile_values(PROFILE)
    # The rest of the file is yte's.
    head = (PROFILE / "config.yaml").read_text().partition("__definitions__")[0]
    assert values == yaml.load(head, yaml.BaseLoader)["__variables__"]
    assert problems == []
    path = profile_with(tmp_path, account="'my lab # 1'", gpu_kind='"a100"', scratch="/scratch/$USER")
    values, _ = doctor.profile_values(path)
    assert (values["account"], values["gpu_kind"], values["scratch"]) == (
        "my lab # 1",
        "a100",
        "/scratch/$USER",
    )


def test_a_profile_that_is_missing_or_wrong(tmp_path):
    assert "No such file" in failing(doctor.profile_values(tmp_path / "nothing")[1]).text
    finding = failing(doctor.profile_values(profile_with(tmp_path, most_mem_mb="180 GB"))[1])
    assert "most_mem_mb is '180 GB', not a whole number" in finding.text
    finding = failing(doctor.profile_values(profile_with(tmp_path, request_memory="none"))[1])
    assert "request_memory is 'none', not true or false" in finding.text


# ---- The folder ------------------------------------------------------------------------------------------


def test_a_folder_that_works_is_left_as_it_was(programs, tmp_path):
    before = sorted(os.listdir(tmp_path))
    assert {finding.status for finding in doctor.check_folder(tmp_path)} <= {"ok", "note"}
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_that_is_made_later(programs, tmp_path):
    first = doctor.check_folder(tmp_path / "run")[0]
    assert first.text == f"{tmp_path} (run is made there): writes, syncs and renames"


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").touch()
    for folder in (tmp_path / "run", tmp_path / "run" / "deeper"):
        assert "is a file, not a folder" in failing(doctor.check_folder(folder)).text


def test_a_folder_in_which_nothing_can_be_written(programs):
    if not Path("/proc/self").exists():
        pytest.skip("root may write everywhere but in /proc, and there is none")
    found = doctor._writing(Path("/proc"), "/proc")
    assert failing(found).text.startswith("/proc: ")
    assert doctor._locks(Path("/proc")) == []


def test_quota_is_told_with_its_remedy(monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(doctor.os, "fsync", full)
    finding = failing(doctor._writing(tmp_path, "here"))
    assert finding.text == "here: Disk quota exceeded"
    assert "raise your quota" in finding.remedy


NO_LOCKS = "raise OSError(37, 'No locks available')"


@pytest.mark.parametrize(
    ("flock", "hdf5", "status", "said"),
    [
        (NO_LOCKS, NO_LOCKS, "FAILS", "HDF5 files cannot be opened here (OSError: [Errno 37] No locks avail"),
        (NO_LOCKS, "", "note", "HDF5 files open nevertheless"),
        (NO_LOCKS, "import sys; sys.exit('no h5py')", "note", "HDF5 files may not open"),
        ("", "import time; time.sleep(60)", "FAILS", "no answer in 0.5 s"),
        ("", "", "ok", "flock, fcntl and HDF5's work"),
    ],
)
def test_locks(monkeypatch, tmp_path, flock, hdf5, status, said):
    monkeypatch.setattr(doctor, "TRY_LOCKS", flock)
    monkeypatch.setattr(doctor, "TRY_HDF5", hdf5)
    if "sleep" in hdf5:
        monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.5)
    (finding,) = doctor._locks(tmp_path)
    assert finding.status == status
    assert said in finding.text


def test_a_small_file_system(tmp_path):
    options = "size=20m,nr_inodes=100"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", tmp_path], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        found = doctor.check_folder(tmp_path)
        (tmp_path / "large").write_bytes(bytes(30 * 2**20))
    except OSError:
        full = doctor.check_folder(tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    failed = {finding.subject: finding.text for finding in found if finding.status == "FAILS"}
    assert set(failed) == {"disk", "files"}
    assert failed["disk"].endswith("MB free")
    failed = {finding.subject: finding.text for finding in full if finding.status == "FAILS"}
    assert "No space left on device" in failed["folder"]


def test_jobs_of_an_earlier_run(cluster, tmp_path):
    cluster("squeue", f"echo '7|RUNNING|{tmp_path}|rule_map_query_wildcards_patients_3'")
    assert "earlier run are in the queue: 7" in failing(doctor.check_folder(tmp_path)).text


# ---- This machine ----------------------------------------------------------------------------------------


def groups(monkeypatch, tmp_path, own, files):
    monkeypatch.setattr(doctor, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(doctor, "OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (
            "0::/user/me\n",
            {"user/memory.max": "1048576000", "user/me/memory.max": "max", "user/cpu.max": "150000 100000"},
        ),
        (
            "4:memory:/user/me\n2:cpu,cpuacct:/not/there\n",
            {
                "memory/user/memory.limit_in_bytes": "1048576000",
                "memory/user/me/memory.limit_in_bytes": "9223372036854771712",
                "cpu/cpu.cfs_quota_us": "150000",
                "cpu/cpu.cfs_period_us": "100000",
            },
        ),
    ],
)
def test_limits_of_a_control_group(monkeypatch, programs, tmp_path, own, files):
    groups(monkeypatch, tmp_path, own, files)
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda process: set(range(8)))
    cores, memory = doctor.check_machine(doctor.PROJECT / "profiles" / "local")
    assert cores.text == "1 of the machine's 64 may be used here"
    assert memory.status == "note"
    assert memory.text.startswith("1000 MB of the machine's")
    assert "--resources mem_mb=900" in memory.remedy


def test_no_limits(monkeypatch, programs, tmp_path):
    groups(monkeypatch, tmp_path, "0::/\n", {"cpu.max": "max 100000", "memory.max": "max"})
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda process: set(range(8)))
    assert doctor.check_machine(PROFILE)[0].text == "8"


# ---- GPUs ------------------------------------------------------------------------------------------------

SMI = """case "$1" in
--query*) echo NVIDIA A100-SXM4-80GB ;;
*) echo '| NVIDIA-SMI 535.1   Driver Version: 535.161.08   CUDA Version: {cuda}     |' ;;
esac"""


@pytest.fixture
def node(monkeypatch, programs, tmp_path):
    """Function that sets the driver and the torch of this machine."""

    def make(*, cuda="12.2", torch="2.10.0", built="12.8", sees=True):
        programs("nvidia-smi", SMI.format(cuda=cuda) if cuda else "exit 9")
        version = f"type('version', (), {{'cuda': {built!r}}})"
        available = f"type('cuda', (), {{'is_available': lambda: {sees}}})"
        text = f"__version__ = {torch!r}\nversion = {version}\ncuda = {available}\n"
        if not torch:
            text = "raise ModuleNotFoundError(\"No module named 'torch'\")\n"
        if torch == "broken":
            text = "raise ImportError('libcudart.so.12: cannot open')\n"
        (tmp_path / "fakes").mkdir(exist_ok=True)
        (tmp_path / "fakes" / "torch.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fakes"))

    return make


@pytest.mark.parametrize(
    ("settings", "status", "said"),
    [
        ({}, "ok", "driver 535.161.08 for CUDA 12.2; torch 2.10.0 built for CUDA 12.8 sees it"),
        ({"built": "13.0", "sees": False}, "FAILS", "for CUDA 12.2, and torch is built for CUDA 13.0"),
        ({"built": None, "sees": False}, "FAILS", "it is a build for CPUs"),
        ({"sees": False}, "FAILS", "sees no GPU it can use"),
        ({"cuda": ""}, "FAILS", "no NVIDIA driver answers on this machine"),
        ({"torch": "broken"}, "FAILS", "torch cannot be imported: ImportError: libcudart.so.12"),
        ({"torch": ""}, "note", "torch is not in this Python, and is built for CUDA 12.8"),
        ({"torch": "", "cuda": "11.4"}, "FAILS", "for CUDA 11.4, and torch is built for CUDA 12.8"),
    ],
)
def test_driver_and_torch(node, settings, status, said):
    node(**settings)
    (finding,) = doctor.check_gpu_here(PROFILE)
    assert finding.status == status
    assert said in finding.text


def test_no_gpu_here(programs):
    assert worst(doctor.check_gpu_here(PROFILE)).status == "note"
    programs("sbatch", "true")
    assert "GPU=1" in doctor.check_gpu_here(PROFILE)[0].text


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(doctor.time, "sleep", lambda seconds: None)


SBATCH = """for argument; do
case "$argument" in --output=*) out=${argument#--output=} ;; esac
script=$argument
done
echo 42
echo "$@" > %s
SLURMD_NODENAME=g7 sh "$script" > "$out" 2>&1 || true"""


def test_a_gpu_job_says_what_its_node_has(cluster, node, tmp_path):
    node()
    cluster("sbatch", SBATCH % (tmp_path / "asked"))
    folder = tmp_path / "run"
    folder.mkdir()
    profile = profile_with(tmp_path, gpu_kind="a100", account="lab")
    seen, visible = doctor.check_gpu_node(profile, folder, 60)
    assert (seen.status, visible.status) == ("ok", "ok")
    assert "NVIDIA A100-SXM4-80GB on g7, driver 535.161.08" in seen.text
    assert visible.text == f"{folder} is seen on g7"
    asked = (tmp_path / "asked").read_text().split()
    assert {"--gpus=a100:1", "--partition=gpu", "--account=lab", "--time=5"} <= set(asked)
    assert os.listdir(folder) == []


def test_a_gpu_job_that_is_refused(cluster, tmp_path):
    cluster("sbatch", "echo 'sbatch: error: invalid account'; exit 1")
    finding = failing(doctor.check_gpu_node(PROFILE, tmp_path, 60))
    assert finding.text == "SLURM did not take it: sbatch: error: invalid account"


def test_a_gpu_job_whose_node_does_not_see_the_folder(cluster, no_waiting, tmp_path):
    cluster("sbatch", "echo 42")
    finding = failing(doctor.check_gpu_node(PROFILE, tmp_path, 60))
    assert finding.text == f"began, and nothing came back: its node does not see {tmp_path}"


def test_a_gpu_job_whose_node_does_not_see_the_project(monkeypatch, cluster, no_waiting, tmp_path):
    cluster("sbatch", SBATCH % (tmp_path / "asked"))
    monkeypatch.setattr(doctor.sys, "executable", "/no/such/python")
    finding = failing(doctor.check_gpu_node(PROFILE, tmp_path, 60))
    assert finding.text.startswith("began on g7, and did not get to the end: ")
    assert "/no/such/python" in finding.text


def test_a_gpu_job_that_does_not_begin_is_cancelled(cluster, tmp_path):
    cluster("sbatch", "echo 42")
    cluster("squeue", "echo 'PENDING|Priority'")
    cluster("scancel", f"echo $1 > {tmp_path / 'cancelled'}")
    (finding,) = doctor.check_gpu_node(PROFILE, tmp_path, 1)
    assert finding.status == "note"
    assert finding.text == "waited 1 s and has not begun (Priority): cancelled"
    assert (tmp_path / "cancelled").read_text() == "42\n"


def test_a_gpu_job_is_not_sent_in_vain(programs, tmp_path):
    assert "no sbatch" in worst(doctor.check_gpu_node(PROFILE, tmp_path, 1)).text
    programs("sbatch", "exit 1")
    assert "gpus: 0" in worst(doctor.check_gpu_node(profile_with(tmp_path, gpus=0), tmp_path, 1)).text
    assert "mend the profile" in worst(doctor.check_gpu_node(tmp_path / "none", tmp_path, 1)).text
    assert "mkdir" in worst(doctor.check_gpu_node(PROFILE, tmp_path / "none", 1)).remedy


def test_half_an_answer_is_none():
    assert doctor._answered('g7\n{"driver": "5') == {}
    assert doctor._answered("g7\nwarning\n" + json.dumps({"driver": "535"})) == {
        "node": "g7",
        "driver": "535",
    }
