"""The package's folder: beside local rules, or copied from the rules' repository."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cellferry.runs.project_folder import FOLDER, NEEDED, project_folder
from snakemake.sourcecache import GenericSourceFile, LocalGitFile, LocalSourceFile


def git(folder, *arguments):
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(params=["", "workflows/cellferry/"])
def repository(request, tmp_path):
    """A repository with a project at its top, or in a folder; and the path of the project in it."""
    folder = tmp_path / "repository"
    for name in (*NEEDED[:3], "docs"):
        path = folder / request.param / name / "file"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\0\xff first")
    for name in NEEDED[3:]:
        (folder / request.param / name).touch()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return folder, request.param


@pytest.fixture
def found(tmp_path, monkeypatch):
    """A function: the project's folder by the folder of its rules."""
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(LocalGitFile, "join", LocalGitFile.join)

    def find(rules, *, is_main_process=True):
        cache = SimpleNamespace(cache_path=tmp_path / "cache")
        workflow = {"current_basedir": rules, "sourcecache": cache, "is_main_process": is_main_process}
        return project_folder(SimpleNamespace(**workflow))

    return find


def test_beside_local_rules(found, tmp_path):
    before = [*sys.path]
    assert found(LocalSourceFile(str(tmp_path / "project" / "rules"))) == tmp_path / "project"
    assert sys.path == before
    assert FOLDER not in os.environ


def test_copied_once_for_each_state(found, repository, tmp_path):
    folder, inside = repository
    rules = LocalGitFile(str(folder), f"{inside}rules", ref="main")
    first = found(rules)
    assert (first / "config" / "file").read_bytes() == b"\0\xff first"
    assert not (first / "docs").exists()
    assert str(first / "scripts") in sys.path
    assert found(rules) == first

    (folder / inside / "scripts" / "file").write_text("second")
    assert found(rules) == first  # it is not committed
    git(folder, "commit", "--quiet", "--all", "--message", "Go on")
    second = found(rules)
    assert (second / "scripts" / "file").read_text() == "second"
    assert (first / "scripts" / "file").read_bytes() == b"\0\xff first"
    assert sorted((tmp_path / "cache" / "cellferry").iterdir()) == sorted([first, second])


def test_a_copy_that_lost_a_file_is_made_anew(found, repository):
    folder, inside = repository
    rules = LocalGitFile(str(folder), f"{inside}rules", ref="main")
    lost = found(rules) / "config" / "file"
    lost.unlink()
    found(rules)
    assert lost.exists()


def test_jobs_take_what_their_run_began_with(found, repository):
    folder, inside = repository
    rules = LocalGitFile(str(folder), f"{inside}rules", ref="main")
    first = found(rules)
    git(folder, "rm", "--quiet", "-r", f"{inside}config")
    git(folder, "commit", "--quiet", "--message", "Go on")
    assert found(rules, is_main_process=False) == first


def test_a_jobs_folder_that_its_node_does_not_see_is_copied_anew(found, repository, monkeypatch):
    folder, inside = repository
    monkeypatch.setenv(FOLDER, "/nowhere")
    copy = found(LocalGitFile(str(folder), f"{inside}rules", ref="main"), is_main_process=False)
    assert (copy / "config" / "file").exists()


def test_a_folder_of_git_is_joined_with_a_path_of_any_kind(found, repository):
    folder, inside = repository
    rules = LocalGitFile(str(folder), f"{inside}rules", ref="main")
    found(rules)
    found(rules)
    for script in ("../scripts/file", LocalSourceFile("../scripts/file")):
        assert rules.join(script).path == f"{inside}scripts/file"


def test_rules_of_no_repository_are_refused(found):
    with pytest.raises(SystemExit, match=r"^error: https://x\.org/rules is not in a git repository.*gitfile"):
        found(GenericSourceFile("https://x.org/rules"))
    assert not Path("cache").exists()
