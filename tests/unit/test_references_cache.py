"""The cache and the mirror: two processes at once, a full disk, folders without permission, damaged files."""

import os
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from cellferry.errors import InputError
from cellferry.references import fetching
from cellferry.references.cache import Shelves, default_cache
from cellferry.references.fetching import fetch
from moody_server import CONTENT, OTHER, PATH, Answer, reference, serving

FETCH = """
import sys
from moody_server import reference
from cellferry.references.cache import Shelves
from cellferry.references.fetching import fetch
from pathlib import Path
print(fetch(reference(location=sys.argv[1]), Shelves(Path(sys.argv[2]))))
"""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as server:
        server.tell(PATH, Answer(CONTENT))
        yield server


@pytest.fixture
def lung(server):
    return reference(location=server.address + PATH)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a quarter of a megabyte; the function mounts it again with other options."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_two_processes_that_fetch_the_same_file(server, tmp_path):
    """The second waits for the first, and requests nothing."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Answer):
        def send(self, handler):
            begun.set()
            go_on.wait(60)
            super().send(handler)

    server.tell(PATH, Slow(CONTENT))
    command = [sys.executable, "-u", "-c", FETCH, server.address + PATH, str(tmp_path)]
    paths = [str(Path(__file__).parents[2] / "scripts"), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert begun.wait(60)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert second.stdout.readline() == "waiting for another process that fetches the same file\n"
    go_on.set()
    assert first.wait(60) == second.wait(60) == 0
    first.stdout.close()
    second.stdout.close()
    assert len(server.asked) == 1
    path = tmp_path / "lung-1.0.cellferry.zip"
    assert path.read_bytes() == CONTENT
    assert {each.name for each in tmp_path.iterdir()} == {path.name, f".{path.name}.lock"}


def test_a_folder_without_locks(lung, tmp_path, monkeypatch, capsys):
    def no_locks(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fetching.fcntl, "flock", no_locks)
    assert fetch(lung, Shelves(tmp_path)).read_bytes() == CONTENT
    assert f"note: no locks in {tmp_path} (Function not implemented)" in capsys.readouterr().out


def test_a_disk_without_room_for_it(server, lung, small_disk):
    with pytest.raises(
        InputError, match=r"has 0\.3 MB left, but lung@1\.0 needs 0\.5 MB; free some space there"
    ):
        fetch(lung, Shelves(small_disk))
    assert server.asked == []


def test_a_disk_that_is_full_before_its_free_space_says_so(lung, small_disk, monkeypatch):
    """As with an exhausted quota."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage(1 << 30))
    with pytest.raises(InputError) as raised:
        fetch(lung, Shelves(small_disk))
    assert str(raised.value) == (
        f"{small_disk}: the disk is full or a quota is used up; the fetched part is kept for the next "
        "attempt; free some space there, or set references.cache to another folder"
    )
    assert not (small_disk / "lung-1.0.cellferry.zip").exists()


def test_a_cache_that_may_only_be_read(server, lung, small_disk):
    small = reference(b"x", location=lung.location)
    server.tell(PATH, Answer(b"x"))
    there = fetch(small, Shelves(small_disk))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert fetch(small, Shelves(small_disk)) == there
    with pytest.raises(InputError) as raised:
        fetch(lung, Shelves(small_disk))
    assert (
        "nothing can be written there (Read-only file system); give yourself write permission, or set"
        in str(raised.value)
    )


def test_a_cache_that_is_a_file(lung, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match=r"cache: nothing can be written there \(File exists\)"):
        fetch(lung, Shelves(tmp_path / "cache"))


# ---- Mirror and paths


def test_the_mirror_is_looked_in_first(server, lung, tmp_path):
    (tmp_path / "mirror").mkdir()
    shelves = Shelves(tmp_path / "cache", tmp_path / "mirror")
    cached = fetch(lung, shelves)
    assert shelves.find(lung) == cached
    mirrored = tmp_path / "mirror" / lung.file_name
    mirrored.write_bytes(CONTENT)
    assert shelves.find(lung) == fetch(lung, shelves) == mirrored
    assert len(server.asked) == 1


def test_a_damaged_file_in_the_mirror_is_named_and_not_made_up_for(server, lung, tmp_path):
    shelves = Shelves(tmp_path / "cache", tmp_path)
    mirrored = tmp_path / lung.file_name
    mirrored.write_bytes(OTHER)
    with pytest.raises(InputError, match="copy it again, or correct the registry") as raised:
        fetch(lung, shelves)
    assert f"{mirrored} has the SHA-256 " in str(raised.value)
    assert server.asked == []


def test_a_reference_that_lies_at_a_path(tmp_path):
    (tmp_path / "files").mkdir()
    here = reference(location="files/lung.zip", registry=tmp_path / "refs.yaml")
    shelves = Shelves(tmp_path / "cache")
    with pytest.raises(InputError, match=r"there is no file .*files/lung\.zip, its location in .*refs\.yaml"):
        fetch(here, shelves)
    (tmp_path / "files" / "lung.zip").write_bytes(CONTENT)
    assert fetch(here, shelves) == tmp_path / "files" / "lung.zip"
    assert not shelves.cache.exists()


def test_a_file_that_is_too_short_is_not_read(tmp_path):
    path = tmp_path / "lung-1.0.cellferry.zip"
    path.write_bytes(CONTENT[:-1])
    lung = reference(location="https://example.org/lung.zip")
    with pytest.raises(InputError) as raised:
        Shelves(tmp_path).check(lung, path)
    assert str(raised.value) == (
        f"lung@1.0: {path} has 511,999 bytes, but refs.yaml lists 512,000; copy it "
        "again, or correct the registry"
    )


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"CELLFERRY_CACHE": "/scratch/refs", "XDG_CACHE_HOME": "/caches"}, "/scratch/refs"),
        ({"CELLFERRY_CACHE": "~/refs"}, "/home/me/refs"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/cellferry/references"),
        ({"XDG_CACHE_HOME": "caches", "CELLFERRY_CACHE": ""}, "/home/me/.cache/cellferry/references"),
        ({}, "/home/me/.cache/cellferry/references"),
    ],
)
def test_the_cache_that_nobody_names(environment, folder, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache(environment) == Path(folder)
