"""Jobs in an image: the recipe, and Snakemake's own way through a stand-in for Apptainer (tests/stand_in)."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT, command_line, slurm_profile
from simulate import simulate_cells

STAND_IN = ROOT / "tests" / "stand_in" / "apptainer"
RECIPE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


# ---- The recipe


def test_the_base_is_the_projects_python_of_one_release():
    first, *stages = re.findall(r"^FROM (\S+) AS (\w+)$", RECIPE, re.M)
    version = (ROOT / ".python-version").read_text(encoding="utf-8").strip()
    assert re.fullmatch(rf"python:{re.escape(version)}(\.\d+)?-slim-[a-z]+", first[0])
    # The complete image is the last stage, the default of a build.
    assert stages == [(first[1], "label"), (first[1], "all")]
    assert len(re.findall(r"^FROM ", RECIPE, re.M)) == 1 + len(stages)


def test_every_version_is_that_of_a_lock_file():
    installs = re.findall(r"^RUN (.*)$", RECIPE, re.M)
    uv, *packages = installs
    assert re.fullmatch(r"pip install --no-cache-dir uv==[\d.]+", uv)
    locks = {"label": "--requirements requirements-label.txt", "all": "--constraint requirements.txt"}
    for install, (stage, lock) in zip(packages, locks.items(), strict=True):
        assert f" {lock}" in install, stage
        assert install.startswith("uv pip install --system --no-cache --compile-bytecode ")
    # Unlocked packages would be installed at any version.
    assert "--no-deps" in packages[0]
    assert packages[1].endswith(" --requirements pyproject.toml")
    assert not re.search(r"index|https?:|latest", RECIPE)


def test_what_is_copied_is_sent_and_nothing_else():
    copied = {name for line in re.findall(r"^COPY (.*) \./$", RECIPE, re.M) for name in line.split()}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    everything, *sent = [line for line in lines if not line.startswith("#")]
    assert everything == "*"
    assert {name.removeprefix("!") for name in sent} == copied
    assert all((ROOT / name).is_file() for name in copied)


# ---- Runs


@pytest.fixture
def run(tmp_path):
    """A folder to run in, beside data with one link to another folder, an image and a secret."""
    for folder in ("run", "data", "archive", "temporary", "others"):
        (tmp_path / folder).mkdir()
    simulate_cells(60).write_h5ad(tmp_path / "archive" / "a.h5ad")
    (tmp_path / "data" / "a.h5ad").symlink_to("../archive/a.h5ad")
    shutil.copy(tmp_path / "archive" / "a.h5ad", tmp_path / "data" / "b.h5ad")
    (tmp_path / "others" / "secret").write_text("not to be seen")
    (tmp_path / "cellferry.sif").write_text("#!/usr/bin/env run-singularity\n")
    return Run(tmp_path)


class Run:
    def __init__(self, folder):
        self.folder = folder
        self.calls_file = folder / "calls"
        programs = os.pathsep.join([str(STAND_IN), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.variables = {
            **os.environ,
            "PATH": programs,
            "TMPDIR": str(folder / "temporary"),
            "STAND_IN_CALLS": str(self.calls_file),
        }

    def snakemake(self, *arguments, **config):
        datasets = {
            "atlas": {"role": "reference", "path": "../data/a.h5ad", "label": "cell_type"},
            "q": {"role": "query", "path": str(self.folder / "data" / "b.h5ad")},
        }
        arguments = ["--cores", "2", *arguments]
        command = command_line(self.folder / "run", *arguments, config={"datasets": datasets, **config})
        return self.command(*command)

    def command(self, *command):
        return subprocess.run(command, env=self.variables, capture_output=True, text=True, check=False)

    def calls(self):
        return [json.loads(line) for line in self.calls_file.read_text(encoding="utf-8").splitlines()]


APPTAINER = ("--software-deployment-method", "apptainer")


def can_separate():
    """Whether the stand-in may mount what it shows: on some machines only root may."""
    command = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"]), "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not can_separate(), reason="may not mount anything")


@needs_mounts
def test_jobs_run_in_the_image_and_see_the_users_files(run):
    targets = ["--until", "inspect_dataset"]
    result = run.snakemake(*APPTAINER, *targets, container="../cellferry.sif")
    assert result.returncode == 0, result.stdout + result.stderr
    for dataset in ("atlas", "q"):
        inspected = json.loads((run.folder / "run" / "results" / "inspected" / f"{dataset}.json").read_text())
        assert inspected["cells"] == 60
    calls = run.calls()
    assert [call["image"] for call in calls] == ["../cellferry.sif"] * 2
    for call in calls:
        assert {str(run.folder / name) for name in ("data", "archive", "temporary")} <= set(call["bound"])
        assert str(ROOT) in call["bound"]
        assert not [path for path in call["bound"] if path.startswith(str(run.folder / "others"))]
    # The same again, without: the packages differ, and with them everything.
    planned = run.snakemake("--dry-run", *targets, "--quiet", "progress", container="../cellferry.sif")
    assert "Software environment definition has changed" in planned.stdout
    assert "note: `container` has no effect without" in planned.stderr


@needs_mounts
def test_the_stand_in_shows_what_is_bound_alone(run):
    exec_ = ["apptainer", "exec", "--home", run.folder / "run"]
    look = ["image", "sh", "-c", f"cat {run.folder / 'others' / 'secret'}"]
    hidden = run.command(*exec_, *look)
    assert hidden.returncode != 0
    assert "No such file" in hidden.stderr
    assert run.command(*exec_, "--bind", run.folder / "others", *look).stdout == "not to be seen"


def test_every_rule_has_the_image(run):
    address = "docker://host/cellferry:0.1.0"
    result = run.snakemake(*APPTAINER, "--dry-run", container=address)
    assert result.returncode == 0, result.stderr
    assert (
        result.stdout.count(f"Singularity image {address} will be pulled.")
        + result.stderr.count(f"Singularity image {address} will be pulled.")
        == 1
    )
    # And none without the option.
    result = run.snakemake("--dry-run", container=address)
    assert "Singularity image" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "config", "told"),
    [
        (APPTAINER, {}, "error: container: software-deployment-method is apptainer, but no image is named"),
        ((*APPTAINER, "conda"), {"container": "../cellferry.sif"}, "give apptainer alone"),
        ((), {"container": []}, "container"),
    ],
)
def test_a_wrong_image_is_one_clear_error(run, arguments, config, told):
    result = run.snakemake("--dry-run", *arguments, **config)
    assert result.returncode != 0
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not run.calls_file.exists()


def test_the_profile_names_the_image():
    image = "/project/cellferry.sif"
    profile = slurm_profile(container=image)
    assert profile["software-deployment-method"] == "apptainer"
    assert profile["config"] == [f"container={image}"]
    without = slurm_profile()
    assert without.get("software-deployment-method") in (None, "conda")
    assert "config" not in without
