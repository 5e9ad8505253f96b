"""Checks of installed software: Python, .venv, Snakemake and conda."""

import platform
import re
import shutil
import sys

from .findings import Finding
from .system import (
    PROJECT,
    first_match,
    in_own_environment,
    installed_version,
    numbers_of,
    run_command,
    text_of,
)


def check_python() -> list:
    """Check the running Python; `make demo` installs the workflow's own."""
    here = platform.python_version()
    wanted = first_match(r'requires-python = ">=([\d.]+)', PROJECT / "pyproject.toml")
    if in_own_environment():
        if numbers_of(here)[:2] == numbers_of(wanted)[:2]:
            return [Finding("ok", "Python", f"{here} in .venv")]
        return [
            Finding(
                "FAILS",
                "Python",
                f"{here} in .venv, but the workflow needs {wanted}",
                "rm -rf .venv && make demo",
            )
        ]
    if sys.version_info < (3, 8):  # noqa: UP036
        text = f"{here}, too old for all checks; the workflow installs its own {wanted}"
        return [Finding("note", "Python", text, "make demo, then make doctor again")]
    return [Finding("ok", "Python", f"{here} runs this check; the workflow installs its own {wanted}")]


def check_environment() -> list:
    """Check that .venv exists and contains the packages of requirements.txt."""
    python = PROJECT / ".venv" / "bin" / "python"
    if not python.exists():
        if (PROJECT / ".venv").exists():
            text = "its Python is missing (the folder was moved, or made on another machine)"
            return [Finding("FAILS", ".venv", text, "rm -rf .venv && make demo")]
        another_way = any(map(shutil.which, ("uv", "conda", str(PROJECT / ".uv" / "bin" / "uv"))))
        if not another_way and run_command(sys.executable, "-m", "pip", "--version")[0]:
            text = "missing, and python3 has no pip to create it"
            return [Finding("FAILS", ".venv", text, "load a newer Python (module avail python)")]
        return [Finding("note", ".venv", "not installed yet", "make demo (or conda: docs/slurm.md)")]
    if not in_own_environment():
        return [Finding("note", ".venv", "exists, but another Python is running", "make doctor")]
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", text_of(PROJECT / "requirements.txt"), re.M)
    wrong = [f"{name} {version}" for name, version in pins if installed_version(name) != version]
    if wrong:
        few = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        text = f"lacks {len(wrong)} of the {len(pins)} packages of requirements.txt: {few}"
        return [Finding("FAILS", ".venv", text, "rm -f .venv/.installed && make demo")]
    return [Finding("ok", ".venv", f"all {len(pins)} packages of requirements.txt")]


def check_snakemake() -> list:
    """Check the versions of Snakemake and its SLURM plugin."""
    least = first_match(r'min_version\("([\d.]+)"\)', PROJECT / "Snakefile")
    pinned = r'"snakemake-executor-plugin-slurm==([\d.]+)'
    plugin = first_match(pinned, PROJECT / "pyproject.toml").rstrip(".")
    environment = "conda env create -f environment.yaml && conda activate cellferry"
    remedy = "make demo" if not shutil.which("conda") else f"make demo, or {environment}"
    if in_own_environment():
        remedy = "rm -f .venv/.installed && make demo"
    there = installed_version("snakemake") or run_command("snakemake", "--version")[1].strip()
    if not re.match(r"\d", there):
        status = "FAILS" if in_own_environment() else "note"
        return [Finding(status, "snakemake", f"not installed yet; {least} or later is needed", remedy)]
    if numbers_of(there) < numbers_of(least):
        return [Finding("FAILS", "snakemake", f"{there}, but the workflow needs {least} or later", remedy)]
    findings = [Finding("ok", "snakemake", there)]
    there = installed_version("snakemake-executor-plugin-slurm")
    if there and numbers_of(there)[:2] == numbers_of(plugin)[:2]:
        return [*findings, Finding("ok", "SLURM plugin", there)]
    # Not needed on a machine without SLURM.
    status = "FAILS" if shutil.which("sbatch") else "note"
    text = f"{there or 'not installed'}; the workflow is tested with {plugin}"
    return [*findings, Finding(status, "SLURM plugin", text, remedy)]


def check_conda() -> list:
    """Check for a conda that Snakemake can use."""
    if shutil.which("conda"):
        code, output = run_command("conda", "--version")
        there = first_match(r"(\d[\d.]+)", output)
        if code or not there:
            text = "on the PATH, but does not answer"
            return [Finding("FAILS", "conda", text, "repair it, or remove it from the PATH")]
        if numbers_of(there) < (24, 7, 1):
            text = f"{there}; snakemake needs 24.7.1 or later"
            return [Finding("FAILS", "conda", text, "conda install -n base 'conda>=24.7.1'")]
        text = f"{there}: the SLURM profile creates an environment per step (envs/), with internet access"
        return [Finding("ok", "conda", text)]
    others = [name for name in ("mamba", "micromamba") if shutil.which(name)]
    if others:
        text = f"{others[0]} only, which snakemake does not use: jobs run in .venv"
        return [Finding("note", "conda", text)]
    return [Finding("note", "conda", "none: all jobs run in .venv, which has all packages")]
