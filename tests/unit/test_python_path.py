"""Modules in PYTHONPATH that replace installed ones."""

import os
import sys

import pytest
from cellferry.errors import InputError
from cellferry.runs.python_path import PROJECT, check_python_path


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A function that makes a file in a folder of PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{PROJECT / 'scripts'}")

    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return make


@pytest.mark.parametrize(
    "name",
    [
        "numpy.py",
        "cellferry/__init__.py",
        "yaml.py",
        "json.py",
        "torch.cpython-312-x86_64-linux-gnu.so",
        "sklearn/__init__.py",
        "scvi/__init__.py",
        "h5py.pyc",
    ],
)
def test_a_module_that_jobs_import_is_refused(foreign, tmp_path, name):
    foreign(name)
    module = name.partition("/")[0].partition(".")[0]
    with pytest.raises(InputError, match=rf"^PYTHONPATH: {tmp_path} contains modules .* \({module}\); unset"):
        check_python_path()


@pytest.mark.parametrize(
    "name",
    ["mine.py", "errors.py", "scripts/__init__.py", "numpy.txt", "numpy/data.csv", "numpy-2.dist-info/x"],
)
def test_other_files_are_no_harm(foreign, capsys, name):
    foreign(name)
    check_python_path()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["sitecustomize.py", "usercustomize.py"])
def test_what_every_python_runs_is_told(foreign, capsys, name):
    path = foreign(name)
    check_python_path()
    assert capsys.readouterr().err == f"note: {path} runs in every job, because its folder is in PYTHONPATH\n"


@pytest.mark.parametrize("path", ["", "nowhere", os.pathsep, str(PROJECT / "scripts"), sys.prefix])
def test_own_folders_and_none(monkeypatch, capsys, path):
    monkeypatch.setenv("PYTHONPATH", path)
    check_python_path()
    monkeypatch.delenv("PYTHONPATH")
    check_python_path()
    assert capsys.readouterr() == ("", "")
