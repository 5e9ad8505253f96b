"""Checks of GPUs: on this machine, and on a node of the GPU partition by a small job."""

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from .findings import Finding
from .profile import on_cluster, profile_values, requests_memory
from .system import ANSWER_SECONDS, PROJECT, first_match, numbers_of, run_command, text_of

GPU_JOB_MB, GPU_JOB_MINUTES = 4000, 5


def check_gpu_here(profile: Path) -> list:
    """Check that the driver is new enough for torch, and that torch detects the GPU."""
    if shutil.which("nvidia-smi") is None:
        if on_cluster(profile):
            return [Finding("ok", "GPU", "none on this node; `make doctor GPU=1` tests one of the cluster's")]
        return [Finding("note", "GPU", "none: training runs on the CPU and takes longer")]
    return _judged({"node": "this machine", **what_torch_sees()}, "GPU")


def what_torch_sees() -> dict:
    """Driver, CUDA and torch on this node; also run by the GPU job."""
    code, output = run_command("nvidia-smi")
    seen = {
        "driver": "" if code else first_match(r"Driver Version: *([\d.]+)", output),
        "cuda": "" if code else first_match(r"CUDA (?:\w+ )?Version: *([\d.]+)", output),
        "name": "",
    }
    code, output = run_command("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    if not code and output.strip():
        seen["name"] = output.splitlines()[0].strip()
    program = "import torch; print('torch', torch.__version__, torch.version.cuda, torch.cuda.is_available())"
    # The first import from a network file system takes minutes.
    output = run_command(sys.executable, "-c", program, seconds=4 * ANSWER_SECONDS)[1]
    match = re.search(r"^torch (\S+) (\S+) (\S+)$", output, re.M)
    seen["torch"], seen["built"], sees = match.groups() if match else ("", "", "")
    seen["sees"] = sees == "True"
    seen["fault"] = "" if match or "No module named 'torch'" in output else output.strip().split("\n")[-1]
    return seen


def _judged(seen: dict, subject: str) -> list:
    """Findings from `what_torch_sees`; wheels for CUDA 13 do not work with a driver for CUDA 12."""
    place = seen["node"]
    if not seen["driver"]:
        text = f"no NVIDIA driver answers on {place} (nvidia-smi)"
        remedy = "contact your site, or set another gpu_partition in the profile (gpus: 0 trains on CPUs)"
        return [Finding("FAILS", subject, text, remedy)]
    built = seen["built"] or first_match(r"^nvidia-cuda-runtime\S*==(\d+\.\d+)", PROJECT / "requirements.txt")
    driver = f"{seen['name'] or 'GPU'} on {place}, driver {seen['driver']} for CUDA {seen['cuda'] or '?'}"
    torch = f"torch {seen['torch']} built for CUDA {built}" if seen["torch"] else ""
    if seen["sees"]:
        return [Finding("ok", subject, f"{driver}; {torch} detects it")]
    if seen["fault"]:
        text = f"{driver}; torch cannot be imported: {seen['fault']}"
        return [Finding("FAILS", subject, text, "rm -f .venv/.installed && make demo")]
    if seen["torch"] and built == "None":
        remedy = "rm -f .venv/.installed && make demo"
        return [Finding("FAILS", subject, f"{driver}; {torch} is a build for CPUs", remedy)]
    if seen["cuda"] and built and numbers_of(seen["cuda"])[:1] < numbers_of(built)[:1]:
        text = f"{driver}, and torch is built for CUDA {built}"
        return [Finding("FAILS", subject, text, "use nodes with a newer driver, or gpus: 0 in the profile")]
    if seen["torch"]:
        text = f"{driver}; {torch} detects no usable GPU"
        return [
            Finding("FAILS", subject, text, "compare nvidia-smi on that node with torch; contact your site")
        ]
    text = f"{driver}; torch (built for CUDA {built}) is not installed in this Python"
    return [Finding("note", subject, text, "make demo, then make doctor again to test torch")]


def check_gpu_node(profile: Path, folder: Path, wait_seconds: int) -> list:
    """Send a small job to the GPU partition, which reports driver and torch."""
    if shutil.which("sbatch") is None:
        return [Finding("note", "GPU job", "not sent: no sbatch here")]
    values, problems = profile_values(profile)
    if problems:
        return [Finding("note", "GPU job", "not sent: correct the profile first")]
    if not int(values.get("gpus") or 0):
        return [Finding("note", "GPU job", "not sent: the profile requests no GPU (gpus: 0)")]
    if not folder.is_dir():
        text = f"not sent: {folder}, the folder for its output, does not exist"
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
        f"exec {python} -m cellferry.commands.doctor --report-torch\n"
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
    if requests_memory(values):
        command.append(f"--mem={GPU_JOB_MB}")
    if values.get("account"):
        command.append(f"--account={values['account']}")
    if values.get("gpu_partition"):
        command.append(f"--partition={values['gpu_partition']}")
    code, output = run_command(*command, str(script))
    match = re.search(r"^(\d+)(;.*)?$", output, re.M)
    if code or not match:
        # A site's sbatch can print more than the error.
        lines = (
            [line for line in output.splitlines() if "error" in line] or output.splitlines() or ["nothing"]
        )
        text = f"SLURM refused it: {lines[-1].strip()}"
        return [Finding("FAILS", "GPU job", text, "correct account, gpu_partition, gpu_kind in the profile")]
    job = match.group(1)
    print(f"       (job {job} waits for a GPU; at most {wait_seconds} s)", flush=True)
    ended, unknown, state, reason = False, 0, "", ""
    deadline = time.monotonic() + wait_seconds
    try:
        while time.monotonic() < deadline:
            os.listdir(str(trial))  # a network file system shows new files then
            seen = _answered(text_of(answer))
            if seen:
                ended = True
                text = f"{trial.parent} is visible on {seen['node']}"
                return [*_judged(seen, "GPU job"), Finding("ok", "GPU job", text)]
            code, output = run_command("squeue", "--noheader", f"--jobs={job}", "--format=%T|%r")
            now, _, why = output.strip().partition("|")
            if not code and now in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"):
                if now != "PENDING" and state in ("", "PENDING"):
                    deadline = time.monotonic() + 60 * (GPU_JOB_MINUTES + 1)  # the job has its own limit
                state, reason, unknown = now, why, 0
            else:
                unknown += 1
            if unknown > 10:  # it left the queue; its file can appear late
                ended = True
                break
            time.sleep(2)
    finally:
        if not ended:
            run_command("scancel", job)
    if not ended and state == "PENDING":
        text = f"not started after {wait_seconds} s ({reason}): cancelled"
        return [Finding("note", "GPU job", text, "wait longer: make doctor GPU=1 WAIT=3600")]
    lines = text_of(answer).split("\n")
    if lines != [""]:
        last = [line for line in lines if line.strip()][-1].strip()
        text = f"started on {lines[0]}, but did not finish: {last}"
        return [Finding("FAILS", "GPU job", text, "make this project and .venv readable on compute nodes")]
    text = f"started, but returned no output: {trial.parent} is not visible on its node"
    return [Finding("FAILS", "GPU job", text, "use a folder that is visible on all nodes: DIRECTORY=...")]


def _answered(text: str) -> dict:
    """Output of the GPU job; empty until it is complete."""
    lines = text.split("\n")
    for line in lines:
        if line.startswith("{") and line.endswith("}"):
            return {"node": lines[0].strip(), **json.loads(line)}
    return {}
