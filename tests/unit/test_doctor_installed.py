"""`make doctor`: Python, .venv, Snakemake and conda, installed and required versions."""

import os
import shutil
from pathlib import Path

import pytest
from cellferry.commands.doctor import installed, system
from machines import failing, worst


@pytest.fixture
def project(monkeypatch, tmp_path):
    """A separate project with the files that the checks read."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("pyproject.toml", "Snakefile", "requirements.txt"):
        shutil.copy(system.PROJECT / name, folder)
    for module in (installed, system):
        monkeypatch.setattr(module, "PROJECT", folder)
    return folder


def test_a_python_that_is_not_the_workflows(monkeypatch):
    monkeypatch.setattr(installed, "in_own_environment", lambda: True)
    monkeypatch.setattr(installed.platform, "python_version", lambda: "3.10.1")
    assert "3.10.1 in .venv" in failing(installed.check_python()).text


def test_environment_not_made_yet(programs, project):
    programs("uv", "true")
    finding = worst(installed.check_environment())
    assert (finding.status, finding.text) == ("note", "not installed yet")
    assert "make demo" in finding.remedy


def test_environment_that_cannot_be_made(monkeypatch, programs, project):
    programs("python3", "exit 1")
    monkeypatch.setattr(installed.sys, "executable", str(Path(os.environ["PATH"]) / "python3"))
    assert "no pip" in failing(installed.check_environment()).text


def test_environment_whose_python_is_gone(project):
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to("/no/such/python")
    assert "rm -rf .venv" in failing(installed.check_environment()).remedy


def test_environment_that_lacks_packages(monkeypatch, project):
    monkeypatch.setattr(installed, "in_own_environment", lambda: True)
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    (project / "requirements.txt").write_text("numpy==0.1\nno-such-package==2.0 ; python_version > '3'\n")
    finding = failing(installed.check_environment())
    assert "lacks 2 of the 2 packages" in finding.text
    assert "numpy 0.1, no-such-package 2.0" in finding.text


@pytest.mark.parametrize(
    ("snakemake", "plugin", "said"),
    [
        ("9.26.0", "2.8.0", "9.26.0, but the workflow needs 9.27 or later"),
        ("", "2.8.0", "not installed yet; 9.27 or later"),
        ("9.27.1", "", "not installed; the workflow is tested with 2.8"),
        ("10.1.0", "2.7.3", "2.7.3; the workflow is tested with 2.8"),
    ],
)
def test_snakemake_and_plugin_of_other_versions(monkeypatch, cluster, snakemake, plugin, said):
    versions = {"snakemake": snakemake, "snakemake-executor-plugin-slurm": plugin}
    monkeypatch.setattr(installed, "installed_version", versions.get)
    monkeypatch.setattr(installed, "in_own_environment", lambda: True)
    assert said in failing(installed.check_snakemake()).text


def test_snakemake_of_a_conda_environment(monkeypatch, programs):
    monkeypatch.setattr(installed, "installed_version", lambda package: "")
    programs("snakemake", "echo 9.30.2")
    finding, plugin = installed.check_snakemake()
    assert (finding.status, finding.text) == ("ok", "9.30.2")
    assert plugin.status == "note"  # not needed without SLURM


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
    (finding,) = installed.check_conda()
    assert finding.status == status
    assert said in finding.text
