"""Paths that cannot be read are reported one by one, with the problem and the remedy."""

import os

import pytest
from cellferry.config.paths import path_problem


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.h5ad").write_text("x")
    (tmp_path / "mtx").mkdir()
    (tmp_path / "mtx" / "matrix.mtx").write_text("x")
    return tmp_path


def test_what_can_be_read():
    assert path_problem("cells.h5ad") is None
    assert path_problem("mtx") is None
    assert path_problem("cells.h5ad", folders=False) is None


def link(folder):
    (folder / "bad").symlink_to("elsewhere")


def circle(folder):
    (folder / "bad").symlink_to("bad")


def empty(folder):
    (folder / "bad").mkdir()


def pipe(folder):
    os.mkfifo(folder / "bad")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "there is no file or folder bad (looked in "),
        (link, "bad is a link to elsewhere, which does not exist; correct the path"),
        (circle, "bad is a link that leads back to itself; correct the path"),
        (empty, "the folder bad is empty; correct the path"),
        (pipe, "bad is neither a file nor a folder; correct the path"),
    ],
)
def test_what_cannot(folder, make, said):
    make(folder)
    assert str(path_problem("bad")).startswith(said)


def test_a_name_below_a_file_and_one_that_is_too_long():
    assert str(path_problem("cells.h5ad/x")).startswith("there is no file or folder cells.h5ad/x")
    assert str(path_problem("a" * 300)).endswith("File name too long; correct the path")


def test_a_folder_where_a_file_is_needed():
    assert str(path_problem("mtx", folders=False)) == "mtx is a folder; name a file"
    assert str(path_problem("no", folders=False)).startswith("there is no file no (looked in ")


def test_what_may_not_be_read(monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("matrix.mtx"))
    assert str(path_problem("mtx")) == "mtx/matrix.mtx is not readable; get read permission from its owner"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert str(path_problem("cells.h5ad")) == "cells.h5ad is not readable; get read permission from its owner"
    assert str(path_problem("mtx")).startswith("the folder mtx is not readable; get permission from")
