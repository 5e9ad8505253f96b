"""The image of a run, and the folders that containers show."""

import os
from pathlib import Path

import pytest
from cellferry.config import container
from cellferry.config.container import folders_to_show, image_of, show_folders
from cellferry.errors import InputError

SIF = b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC"


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A folder to run in, one of data, and no variables of Apptainer's."""
    for folder in ("run", "data", "archive", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "run")
    for name in ("APPTAINER_BIND", "SINGULARITY_BIND", "APPTAINER_NV", "SINGULARITY_NV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(container.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(container, "NVIDIA", tmp_path / "no_gpu")
    return tmp_path


def write_image(path, start=SIF):
    path.write_bytes(start + b"\0" * 100)
    return str(path)


def test_without_apptainer_there_is_no_image():
    assert image_of("missing.sif", {"conda"}) is None
    assert image_of(None, set()) is None


def test_an_image_is_a_file_a_folder_or_an_address(places):
    for named in (
        write_image(places / "cellferry.sif"),
        write_image(places / "cellferry.sqsh", b"hsqs"),
        os.path.relpath(places / "cellferry.sif"),
        "docker://host/cellferry:0.1.0",
        "oras://host/cellferry:0.1.0",
    ):
        assert image_of(named, {"apptainer"}) == named
    (places / "sandbox" / "bin").mkdir(parents=True)
    (places / "sandbox" / "bin" / "sh").touch()
    assert image_of(str(places / "sandbox"), {"apptainer"})


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (None, "no image is named"),
        ("missing.sif", r"run/missing\.sif is missing; build it"),
        ("Dockerfile", "run/Dockerfile is not an image of Apptainer"),
        (".", "is not an image of Apptainer"),
        ("ftp://host/cellferry", "ftp://host/cellferry is not an address"),
        ("docker://", "docker:// is not an address"),
        ("my image.sif", "'my image.sif' has a blank"),
        ("{v}.sif", "'{v}.sif' has a blank or brace"),
    ],
)
def test_what_cannot_be_run_is_refused(named, told):
    Path("Dockerfile").write_text("FROM python:3.12\n")
    with pytest.raises(InputError, match=told):
        image_of(named, {"apptainer"})


def test_an_image_that_cannot_be_read_is_refused(places, monkeypatch):
    def refuse(*given):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(container, "open", refuse, raising=False)
    with pytest.raises(InputError, match=r"cellferry\.sif cannot be read \(Permission denied\)"):
        image_of(write_image(places / "cellferry.sif"), {"apptainer"})


def test_an_image_that_would_have_to_hold_conda_is_refused(places):
    with pytest.raises(InputError, match="give apptainer alone"):
        image_of(write_image(places / "cellferry.sif"), {"apptainer", "conda"})


def test_a_copy_from_a_git_repository_is_refused(places, monkeypatch):
    monkeypatch.setattr(container, "PROJECT", places)
    with pytest.raises(InputError, match="by the path of a clone"):
        image_of(write_image(places / "cellferry.sif"), {"apptainer"})
    assert image_of(None, {"conda"}) is None


def config_of(path, **more):
    path = path if isinstance(path, dict) else str(path)
    return {"datasets": {"q": {"path": path, "follow_links": False}}, **more}


def shown(config):
    return set(map(Path, folders_to_show(config)))


def test_folders_of_all_files_are_shown(places):
    (places / "data" / "a.h5ad").touch()
    (places / "data" / "b").mkdir()
    (places / "data" / "b" / "c.csv").touch()
    (places / "tables").mkdir()
    (places / "tables" / "names.tsv").touch()
    config = config_of("../data/a.h5ad", labels={"rename": str(places / "tables" / "names.tsv")})
    assert shown(config) == {places / "data", places / "tables"}
    assert shown(config_of(places / "data" / "b" / "c.csv")) == {places / "data" / "b"}
    # A pattern, a file in one of two places, and one that is made later.
    assert shown(config_of(f"{places}/data/*/c.csv")) == {places / "data"}
    assert shown(config_of({"one": str(places / "data" / "a.h5ad")})) == {places / "data"}
    assert shown(config_of(places / "archive" / "later" / "x.h5ad")) == {places / "archive"}


def test_folders_that_links_lead_to_are_shown_link_by_link(places):
    (places / "archive" / "x.h5ad").touch()
    (places / "between").mkdir()
    (places / "between" / "link").symlink_to("../archive/x.h5ad")
    (places / "data" / "a.h5ad").symlink_to(places / "between" / "link")
    assert shown(config_of("../data/a.h5ad")) == {places / name for name in ("data", "between", "archive")}
    # In a folder that is a link itself, and among files that a folder holds.
    (places / "current").symlink_to("data")
    assert shown(config_of(places / "current")) >= {places / "current", places / "data", places / "archive"}
    assert shown(config_of("../data")) == {places / name for name in ("data", "between", "archive")}


def test_the_folder_of_the_image_is_not_shown(places):
    config = config_of("counts.h5ad", container=write_image(places / "archive" / "cellferry.sif"))
    assert shown(config) == {Path.cwd()}


def test_links_in_a_circle_are_left_to_the_check_of_paths(places):
    (places / "data" / "a").symlink_to("b")
    (places / "data" / "b").symlink_to("a")
    assert shown(config_of(places / "data" / "a")) == {places / "data"}


def test_what_is_no_file_shows_nothing():
    config = config_of("counts.h5ad", genes={"keep": ["CD3/CD4", "/", "", "layers/counts"]}, seed=0)
    assert shown(config) == {Path.cwd()}
    assert not shown(config_of("/no_such_folder/x.h5ad"))


@pytest.mark.parametrize("path", ["/usr/bin/env", "/etc/hostname"])
def test_folders_of_the_image_are_not_hidden(path):
    assert shown(config_of(path)) >= {Path(path)}
    assert not shown(config_of(path)) & {Path("/usr/bin"), Path("/usr"), Path("/etc"), Path("/")}
    assert Path("/usr") not in shown(config_of("/usr/*.h5ad"))


def test_options_are_variables_of_the_environment(places, monkeypatch):
    monkeypatch.setenv("APPTAINER_BIND", "/scratch,/opt/site:/site")
    monkeypatch.setenv("NODE", str(places / "archive"))
    monkeypatch.setattr(container.shutil, "which", lambda name: f"/usr/bin/{name}")
    for _ in range(2):  # a job inherits what the main process has set
        show_folders(config_of("../data/x.h5ad"), ["$NODE", "/no_such_folder"])
        bound = os.environ["APPTAINER_BIND"].split(",")
        assert bound[:2] == ["/scratch", "/opt/site:/site"]
        assert set(bound[2:]) == {str(places / name) for name in ("run", "data", "archive", "temporary")}
        assert len(bound) == 6
    # A folder that is missing on a node is not bound.
    (places / "archive").rmdir()
    show_folders(config_of("../data/x.h5ad"), ["$NODE"])
    assert str(places / "archive") not in os.environ["APPTAINER_BIND"]
    assert "APPTAINER_NV" not in os.environ
    (places / "gpu").touch()
    monkeypatch.setattr(container, "NVIDIA", places / "gpu")
    monkeypatch.setattr(container.shutil, "which", lambda name: None if name == "apptainer" else name)
    show_folders(config_of("../data/x.h5ad"))
    assert os.environ["SINGULARITY_NV"] == "1"
    assert str(places / "data") in os.environ["SINGULARITY_BIND"]


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_folder_that_cannot_be_bound_is_told(places, name):
    (places / name).mkdir()
    (places / name / "x.h5ad").touch()
    with pytest.raises(InputError, match=f"{name} has a comma or colon"):
        show_folders(config_of(places / name / "x.h5ad"))
