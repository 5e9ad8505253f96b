"""Versions of cellferry and of the packages that made a result."""

import tomllib
from importlib.metadata import PackageNotFoundError, version

from ..core.project import PROJECT


def versions(packages: list[str]) -> dict[str, str]:
    """Version by name, cellferry's first; packages that are not installed are left out."""
    installed = {"cellferry": "unknown"}
    project = PROJECT / "pyproject.toml"
    if project.is_file():
        installed["cellferry"] = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:  # each step has its own environment
            continue
    return installed
