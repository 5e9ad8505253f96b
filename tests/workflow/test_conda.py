"""Every script runs in the environment of its rule alone, as Snakemake makes it with a conda.

The conda is a stand-in (tests/stand_in); Snakemake's calls and its activation of environments are real.
"""

import shutil
import subprocess

import pytest
from launcher import CONDA
from running import ROOT
from test_environments import ENVIRONMENTS


@pytest.fixture(scope="module")
def prefixes(launcher):
    """Folder of Snakemake's environment for each file in envs/."""
    made = launcher.snakemake(launcher.folder, "--conda-create-envs-only")
    assert made.returncode == 0, made.stdout + made.stderr
    listed = launcher.snakemake(launcher.folder, "--list-conda-envs")
    rows = [line.split("\t") for line in listed.stdout.splitlines() if line.count("\t") == 2]
    return {f"envs/{file.rpartition('/')[2]}": launcher.folder / location for file, _, location in rows[1:]}


@pytest.fixture
def project(tmp_path):
    """A copy of the files of the project that a run needs."""
    copy = tmp_path / "project"
    for folder in ("config", "rules", "scripts", "envs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", copy)
    return copy


def test_each_environment_holds_all_that_its_scripts_import(launcher, prefixes):
    assert set(prefixes) == set(ENVIRONMENTS)
    # Side by side: every first import of an environment writes byte code.
    imports = {
        environment: subprocess.Popen(
            [prefix / "bin" / "python", "-c", f"import {', '.join(ENVIRONMENTS[environment])}"],
            cwd=ROOT / "scripts",
            env=launcher.variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment, prefix in prefixes.items()
    }
    complaints = {environment: process.communicate()[1] for environment, process in imports.items()}
    failed = {name: complaints[name] for name, process in imports.items() if process.returncode != 0}
    assert not failed


def test_a_script_runs_in_its_rules_environment(launcher, prefixes, project, tmp_path):
    script = project / "scripts" / "demo_data.py"
    script.write_text("import sys\nprint('ran in', sys.prefix)\n" + script.read_text())
    result = launcher.snakemake(tmp_path / "run", "demo_data", project=project)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"ran in {prefixes['envs/genes.yaml']}\n" in result.stdout


def test_a_script_cannot_import_what_its_environment_lacks(launcher, project, tmp_path):
    script = project / "scripts" / "demo_data.py"
    script.write_text("import xgboost\n" + script.read_text())
    result = launcher.snakemake(tmp_path / "run", "demo_data", project=project)
    assert result.returncode == 1
    assert "ModuleNotFoundError: No module named 'xgboost'" in result.stderr


def test_without_conda_a_launcher_says_what_its_environment_lacks(launcher, tmp_path):
    where = ["--snakefile", ROOT / "Snakefile", "--directory", tmp_path, "--cores", "1"]
    config = ROOT / "config" / "config.yaml"
    result = launcher.command(launcher.programs / "snakemake", *where, "demo_data", "--configfile", config)
    assert result.returncode == 1
    assert "which lacks anndata, hdf5plugin, " in result.stderr
    assert "conda on the PATH" in result.stderr
    assert "make demo" in result.stderr


@pytest.mark.parametrize("arguments", [["install", "numpy"], ["env", "create", "--name", "cells"], ["list"]])
def test_the_stand_in_refuses_what_it_does_not_know(launcher, arguments):
    result = launcher.command(CONDA, *arguments)
    assert result.returncode != 0
    assert "stand-in" in result.stderr


@pytest.mark.parametrize("dependency", ["- scvi-tools=1.5.1", "- pip: [h5py==3.15.0]"])
def test_the_stand_in_makes_no_environment_that_it_cannot_make_as_locked(launcher, tmp_path, dependency):
    file = tmp_path / "environment.yaml"
    file.write_text(f"dependencies:\n  - python=3.12\n  - pip\n  {dependency}\n")
    result = launcher.command(CONDA, "env", "create", "--file", file, "--prefix", tmp_path / "prefix")
    assert result.returncode != 0
    assert "stand-in" in result.stderr
