"""The profile: the values at its top, and whether its jobs go to SLURM."""

import re
import shutil
from pathlib import Path

from .findings import Finding
from .system import first_match, text_of


def profile_values(profile: Path) -> tuple:
    """Values at the top of a SLURM profile, and their problems.

    Returns
    -------
    values
        Values by name; empty if the profile has no such block.
    findings
        Problems with the file and its values.
    """
    path = profile if profile.is_file() else profile / "config.yaml"
    remedy = "PROFILE=profiles/slurm"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return {}, [Finding("FAILS", "profile", f"{path}: {error.strerror}", remedy)]
    # PyYAML may not be installed yet.
    block = first_match(r"^__variables__:.*\n((?:[ \t]+.*\n|\s*\n|#.*\n)+)", text)
    values = {}
    for name, quoted, plain in re.findall(
        r"""^ +(\w+): *(?:("[^"\n]*"|'[^'\n]*')|([^#\s][^\n]*?)?) *(?:#.*)?$""", block, re.M
    ):
        values[name] = quoted[1:-1] if quoted else plain
    if not values and uses_slurm(profile):
        return {}, [Finding("note", "profile", f"{path} has no values at its top to check", remedy)]
    findings = []
    for name in ("gpus", "max_mem_mb", "max_minutes"):
        if name in values and not values[name].isdigit():
            text = f"{name} is '{values[name]}', not a whole number"
            findings.append(Finding("FAILS", "profile", text, f"correct it at the top of {path}"))
    asked = values.get("request_memory", "true")
    if asked.lower() not in ("true", "false"):
        text = f"request_memory is '{asked}', not true or false"
        findings.append(Finding("FAILS", "profile", text, f"correct it at the top of {path}"))
    return ({}, findings) if findings else (values, [])


def profile_text(profile: Path) -> str:
    """Text of a profile, given as its folder or its file; "" if it cannot be read."""
    return text_of(profile if profile.is_file() else profile / "config.yaml")


def uses_slurm(profile: Path) -> bool:
    """True if a profile sends jobs to SLURM."""
    return bool(first_match(r"^(executor): *slurm", profile_text(profile)))


def on_cluster(profile: Path) -> bool:
    """True if the profile sends jobs to SLURM and sbatch is available."""
    return uses_slurm(profile) and shutil.which("sbatch") is not None


def requests_memory(values: dict) -> bool:
    """True if jobs request memory from SLURM."""
    return values.get("request_memory", "true").lower() != "false"
