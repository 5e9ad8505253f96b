"""The wheel that `pip install .` builds: the package, all that it reads, and commands that work from it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cellferry.core.project import PACKAGE, PROJECT
from cellferry.errors import InputError
from cellferry.runs import python_path
from pages import text_of
from running import ROOT
from simulate import simulate_cells


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder with an unpacked wheel, as after an installation."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in ("config", "envs", "scripts"):
        shutil.copytree(ROOT / part, source / part, ignore=ignored)
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, source)
    build = "from setuptools import build_meta as backend; backend.build_wheel('wheel')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "site")
    return folder / "site"


def files_in(folder):
    """Paths of files below a folder, without byte code and what numba compiled."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder) for path in files}


def run(site, folder, command, *arguments):
    """Run a command of the package as after an installation."""
    variables = {**os.environ, "PYTHONPATH": str(site)}
    line = [sys.executable, "-W", "ignore", "-m", f"cellferry.commands.{command}", *map(str, arguments)]
    result = subprocess.run(line, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_the_package_is_complete(site):
    there = files_in(site / "cellferry")
    own = {path for path in there if path.parts[0] != "project"}
    assert own == files_in(PACKAGE)
    assert {path.parts[0].partition("-")[0] for path in files_in(site)} == {"cellferry"}


def test_what_it_reads_beside_it_is_there(site):
    inside = site / "cellferry" / "project"
    for path in ("config/schemas", "config/references", "envs"):
        assert files_in(inside / path) == files_in(PROJECT / path)
    for folder in ("orthologs", "ontology"):
        tables = {path.name for path in (PROJECT / "config" / folder).glob("*.gz")}
        assert {path.name for path in files_in(inside / "config" / folder)} == tables
    assert {path.name for path in (inside / "scripts").iterdir()} == {
        path.name for path in (PROJECT / "scripts").glob("*.py")
    }


def test_commands_work_without_a_clone(site, tmp_path):
    simulate_cells(60).write_h5ad(tmp_path / "atlas.h5ad")
    given = ("--name", "kidney", "--reference", "atlas.h5ad", "--query", "atlas.h5ad")
    code, said = run(site, tmp_path, "new", *given)
    assert code == 0, said
    assert said.endswith("snakemake --dry-run --configfile config/kidney.yaml\n")
    code, said = run(site, tmp_path, "references", "--config", "config/kidney.yaml")
    assert code == 0, said
    assert "pbmc68k-demo" in said
    code, said = run(
        site, tmp_path, "new", *given[:2], "--force", "--reference", "pbmc68k-demo@1", *given[4:]
    )
    assert code == 0, said
    code, said = run(site, tmp_path, "doctor")
    assert code == 2
    assert "run `make doctor` in one" in said


def test_commands_that_the_page_lists_start(site, tmp_path):
    listed = set()
    for line in text_of("docs/module.md").splitlines():
        if line.startswith("| `python -m cellferry.commands."):
            listed.add(line.split("`")[1].rpartition(".")[2])
    assert listed == {"new", "references", "pack", "import_model", "compare"}
    for command in listed:
        code, said = run(site, tmp_path, command, "--help")
        assert code == 0, said
    # The program that import_model starts for each step.
    code, said = run(site, tmp_path, "import_model.job", "--help")
    assert "ModuleNotFoundError" not in said


@pytest.fixture
def installed(site, tmp_path, monkeypatch):
    """The package as installed, in a copy that may be changed."""
    copy = tmp_path / "site" / "cellferry"
    shutil.copytree(site / "cellferry", copy)
    found = type("Spec", (), {"submodule_search_locations": [str(copy)]})
    monkeypatch.setattr(python_path, "find_spec", lambda name: found)
    return copy


def test_the_same_package_may_be_installed(installed):
    python_path.check_installed_package()


@pytest.mark.parametrize("path", ["core/job.py", "project/config/schemas/config.schema.yaml"])
def test_another_package_is_refused(installed, path):
    with open(installed / path, "a") as file:
        file.write("\n# of another version\n")
    with pytest.raises(
        InputError, match=rf"^{installed} is installed beside snakemake, differs from .*uninstall"
    ):
        python_path.check_installed_package()


def test_a_package_with_a_file_less_is_refused(installed):
    Path(installed, "core", "job.py").unlink()
    with pytest.raises(InputError, match="pip uninstall cellferry"):
        python_path.check_installed_package()


def test_none_may_be_installed(monkeypatch):
    monkeypatch.setattr(python_path, "find_spec", lambda name: None)
    python_path.check_installed_package()
