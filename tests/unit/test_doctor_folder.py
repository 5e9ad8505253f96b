"""`make doctor`: writing, locks, space and earlier jobs in the folder for results."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
from cellferry.commands.doctor import folder as checks
from cellferry.commands.doctor import system
from machines import failing


def test_a_folder_that_works_is_left_as_it_was(programs, tmp_path):
    before = sorted(os.listdir(tmp_path))
    assert {finding.status for finding in checks.check_folder(tmp_path)} <= {"ok", "note"}
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_that_is_made_later(programs, tmp_path):
    first = checks.check_folder(tmp_path / "run")[0]
    assert first.text == f"{tmp_path} (run will be created there): writes, syncs and renames"


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").touch()
    for folder in (tmp_path / "run", tmp_path / "run" / "deeper"):
        assert "is a file, not a folder" in failing(checks.check_folder(folder)).text


def test_a_folder_in_which_nothing_can_be_written(programs):
    if not Path("/proc/self").exists():
        pytest.skip("root may write everywhere but in /proc, and there is none")
    found = checks._writing(Path("/proc"), "/proc")
    assert failing(found).text.startswith("/proc: ")
    assert checks._locks(Path("/proc")) == []


def test_quota_is_told_with_its_remedy(monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(checks.os, "fsync", full)
    finding = failing(checks._writing(tmp_path, "here"))
    assert finding.text == "here: Disk quota exceeded"
    assert "raise your quota" in finding.remedy


NO_LOCKS = "raise OSError(37, 'No locks available')"


@pytest.mark.parametrize(
    ("flock", "hdf5", "status", "said"),
    [
        (NO_LOCKS, NO_LOCKS, "FAILS", "HDF5 files cannot be opened here (OSError: [Errno 37] No locks avail"),
        (NO_LOCKS, "", "note", "HDF5 files open anyway"),
        (NO_LOCKS, "import sys; sys.exit('no h5py')", "note", "HDF5 files may fail to open"),
        ("", "import time; time.sleep(60)", "FAILS", "no answer in 0.5 s"),
        ("", "", "ok", "flock, fcntl and HDF5 locks work"),
    ],
)
def test_locks(monkeypatch, tmp_path, flock, hdf5, status, said):
    monkeypatch.setattr(checks, "TRY_LOCKS", flock)
    monkeypatch.setattr(checks, "TRY_HDF5", hdf5)
    if "sleep" in hdf5:
        monkeypatch.setattr(system, "ANSWER_SECONDS", 0.5)
    (finding,) = checks._locks(tmp_path)
    assert finding.status == status
    assert said in finding.text


def test_a_small_file_system(tmp_path):
    options = "size=20m,nr_inodes=100"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", tmp_path], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        found = checks.check_folder(tmp_path)
        (tmp_path / "large").write_bytes(bytes(30 * 2**20))
    except OSError:
        full = checks.check_folder(tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    failed = {finding.subject: finding.text for finding in found if finding.status == "FAILS"}
    assert set(failed) == {"disk", "files"}
    assert failed["disk"].endswith("MB free")
    failed = {finding.subject: finding.text for finding in full if finding.status == "FAILS"}
    assert "No space left on device" in failed["folder"]


def test_jobs_of_an_earlier_run(cluster, tmp_path):
    cluster("squeue", f"echo '7|RUNNING|{tmp_path}|rule_map_query_wildcards_patients_3'")
    assert "earlier run are in the queue: 7" in failing(checks.check_folder(tmp_path)).text
