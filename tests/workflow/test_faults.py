"""Faults of a run's surroundings: one clear error at the start, without a traceback."""

import json
import os
import subprocess

import pytest
from running import command_line
from simulate import simulate_cells

TARGET = "results/inspected/atlas.json"
IN_ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "細胞").mkdir()
    cells = simulate_cells(60)
    cells.obs["型"] = [f"{name} 細胞" for name in cells.obs["cell_type"]]
    cells.write_h5ad(tmp_path / "細胞/reference.h5ad")
    simulate_cells(30, seed=1).write_h5ad(tmp_path / "query.h5ad")
    return {
        "datasets": {
            "atlas": {"role": "reference", "path": "細胞/reference.h5ad", "label": "型", "chunks": 1},
            "patients": {"role": "query", "path": "query.h5ad", "chunks": 1},
        }
    }


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts a small file system in the run's folder."""
    folders = []

    def mount(name, options):
        folder = tmp_path / name
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", folder], check=False, capture_output=True
        )
        if made.returncode:
            pytest.skip("mounting a small file system needs root")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


def run(folder, config, *arguments, **variables):
    command = command_line(folder, TARGET, "--cores", "1", *arguments, config=config)
    result = subprocess.run(
        command,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    return result.returncode, result.stdout + result.stderr


def refused(folder, config, *arguments, **variables):
    """The only error of a run."""
    code, said = run(folder, config, *arguments, **variables)
    assert code != 0
    assert "Traceback" not in said
    assert "Error in" not in said
    assert not (folder / TARGET).exists()
    return said[f"\n{said}".index("\nerror: ") :]


@pytest.mark.parametrize("name", ["results", "logs", ".snakemake"])
@pytest.mark.parametrize(
    ("options", "said"),
    [("size=40k", "(No space left on device)"), ("size=50m,ro", "(Read-only file system)")],
)
def test_a_folder_of_the_run_in_which_nothing_can_be_written(tmp_path, config, mounted, name, options, said):
    folder = mounted(name, options)
    assert refused(tmp_path, config).startswith(f"error: {folder}: nothing can be written there {said}, and")


def test_a_folder_for_temporary_files_in_which_nothing_can_be_written(tmp_path, config, mounted):
    folder = mounted("temporary", "size=50m,ro")
    assert "error: TMPDIR: nothing can be written in" in refused(tmp_path, config, TMPDIR=str(folder))


def test_a_dry_run_needs_no_room(tmp_path, config, mounted):
    mounted("results", "size=50m,ro")
    code, said = run(tmp_path, config, "--dry-run")
    assert code == 0, said


@pytest.mark.parametrize("variables", [{"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}])
def test_names_in_other_scripts_under_any_locale(tmp_path, config, variables):
    code, said = run(tmp_path, config, **variables)
    assert code == 0, said
    inspected = json.loads((tmp_path / TARGET).read_text(encoding="utf-8"))
    assert all(label.endswith(" 細胞") for label in inspected["labels"])


def test_a_locale_that_has_no_letters_for_names(tmp_path, config):
    said = refused(tmp_path, config, **IN_ASCII)
    assert said.startswith("error: the encoding of this shell's locale, ascii, lacks letters of")
    assert "start again with PYTHONUTF8=1 or LANG=C.UTF-8 before snakemake" in said


def test_labels_in_other_scripts_under_such_a_locale(tmp_path, config):
    (tmp_path / "細胞/reference.h5ad").rename(tmp_path / "reference.h5ad")
    config["datasets"]["atlas"] |= {"path": "reference.h5ad", "label": "cell_type"}
    cells = simulate_cells(60)
    cells.obs["cell_type"] = [f"{name} 細胞" for name in cells.obs["cell_type"]]
    cells.write_h5ad(tmp_path / "reference.h5ad")
    code, said = run(tmp_path, config, **IN_ASCII)
    assert code == 0, said


def test_a_module_of_ours_in_pythonpath(tmp_path, config):
    (tmp_path / "foreign/cellferry").mkdir(parents=True)
    (tmp_path / "foreign/cellferry/__init__.py").write_text("raise RuntimeError('foreign')")
    said = refused(tmp_path, config, PYTHONPATH=str(tmp_path / "foreign"))
    assert said.startswith(f"error: PYTHONPATH: {tmp_path / 'foreign'} contains modules")


def test_a_package_called_scripts_in_pythonpath(tmp_path, config):
    (tmp_path / "foreign/scripts").mkdir(parents=True)
    (tmp_path / "foreign/scripts/__init__.py").touch()
    code, said = run(tmp_path, config, PYTHONPATH=str(tmp_path / "foreign"))
    assert code == 0, said


def test_a_file_dated_in_the_future(tmp_path, config):
    os.utime(tmp_path / "細胞/reference.h5ad", (2**32, 2**32))
    said = refused(tmp_path, config)
    assert said.startswith("error: 細胞/reference.h5ad has a time ")
    assert "minutes in the future: the clock of this machine" in said
    assert "-exec touch -d" in said
