"""Room for temporary files, and the name of the disk that is full."""

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from cellferry.core import disk
from cellferry.errors import InputError

Usage = namedtuple("Usage", ["total", "used", "free"])


def free(monkeypatch, megabytes):
    sizes = {Path(folder): amount for folder, amount in megabytes.items()}
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: Usage(0, 0, sizes[Path(folder)] * 2**20))


def test_a_full_and_a_missing_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    free(monkeypatch, {tmp_path: 500})
    disk.check_temporary_folder()
    free(monkeypatch, {tmp_path: 3})
    with pytest.raises(InputError, match=f"TMPDIR: the file system of {tmp_path} has 3 MB left; free some"):
        disk.check_temporary_folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=f"TMPDIR: there is no folder {tmp_path / 'gone'}; make it"):
        disk.check_temporary_folder()


@pytest.mark.parametrize(("here", "temporary"), [(0, 100), (100, 0)])
def test_the_disk_with_least_room_is_named(tmp_path, monkeypatch, here, temporary):
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    for folder in (work, scratch):
        folder.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("TMPDIR", str(scratch))
    free(monkeypatch, {work: here, scratch: temporary})
    assert disk.fullest_folder() == (work if here == 0 else scratch)


@pytest.mark.parametrize("name", disk.WRITTEN)
def test_a_full_disk_of_one_of_the_folders_is_named(tmp_path, monkeypatch, name):
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    folders = [work, scratch, *(work / folder for folder in disk.WRITTEN)]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("TMPDIR", str(scratch))
    free(monkeypatch, {**dict.fromkeys(folders, 100), work / name: 0})
    assert disk.fullest_folder() == work / name


@pytest.fixture
def mounted(tmp_path, request):
    """A small file system of its own; a function that takes mount's options."""
    folder = tmp_path / getattr(request, "param", "small")
    folder.mkdir()

    def mount(options):
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", folder], check=False, capture_output=True
        )
        if made.returncode:
            pytest.skip("mounting a small file system needs root")
        return folder

    yield mount
    subprocess.run(["umount", folder], check=False, capture_output=True)


@pytest.mark.parametrize("full", [True, False])
def test_a_folder_in_which_nothing_can_be_written_is_told(tmp_path, monkeypatch, mounted, full):
    folder = mounted("size=40k" if full else "size=50m,ro")
    monkeypatch.chdir(tmp_path)
    why = "No space left on device" if full else "Read-only file system"
    remedy = "free some space there" if full else "get write permission"
    with pytest.raises(InputError, match=rf"{folder}: nothing can be written there \({why}\), .*; {remedy}"):
        disk.check_writable("small")
    with pytest.raises(InputError, match=rf"{folder}: .* the run writes its results there"):
        disk.check_writable("small/results")  # not made yet
    assert list(folder.iterdir()) == []


def test_temporary_files_in_a_folder_in_which_nothing_can_be_written(monkeypatch, mounted):
    """Python would use another folder with unknown free space."""
    folder = mounted("size=50m,ro")
    monkeypatch.setenv("TMPDIR", str(folder))
    with pytest.raises(InputError, match=rf"TMPDIR: nothing can be written in {folder} \(Read-only file"):
        disk.check_temporary_folder()


def test_what_can_be_written_in_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    disk.check_writable(*disk.WRITTEN)
    assert [path.name for path in tmp_path.rglob("*")] == ["logs"]


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "results")
    with pytest.raises(
        InputError, match=f"{tmp_path / 'results'}: is not a folder, but the run writes there"
    ):
        disk.check_writable("results")


LOGGING = """
from cellferry.core.logs import logged
with logged("logs/rule.log"):
    for _ in range(1000):
        print("x" * 100)
"""


@pytest.mark.parametrize("mounted", ["logs"], indirect=True)
def test_a_log_folder_that_becomes_full_is_named_and_not_the_disk_of_the_results(tmp_path, mounted):
    folder = mounted("size=40k")
    ended = subprocess.run(
        [sys.executable, "-c", LOGGING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(disk.__file__).parents[2]), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    said = f"the disk is full or a quota is used up in {folder}: free some, then start snakemake again"
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
