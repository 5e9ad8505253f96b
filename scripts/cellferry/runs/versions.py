"""Versions of cellferry and of the packages that made a result."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def versions(packages: list[str]) -> dict[str, str]:
    """Version by name, cellferry's first; packages that are not installed are left out."""
    installed = {"cellferry": "unknown"}
    if PROJECT.is_file():
        installed["cellferry"] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:  # each step has its own environment
            continue
    return installed
