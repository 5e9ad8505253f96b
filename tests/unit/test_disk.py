"""Room for temporary files, and the name of the disk that is full."""

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
