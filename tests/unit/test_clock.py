"""Files with a time in the future are refused: results made from them would look old."""

import os
import re
import subprocess
import time

import pytest
from cellferry.errors import InputError
from cellferry.runs.clock import check_clock


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("results/genes.tsv", "results/merged/a.h5ad", "my cells.h5ad"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "resources").mkdir()
    return tmp_path


def set_ahead(path, minutes):
    os.utime(path, (time.time() + 60 * minutes,) * 2)


def test_files_of_now_and_of_a_moment_ahead_pass():
    set_ahead("results/genes.tsv", 0.5)
    check_clock(["results/genes.tsv", "results/merged/a.h5ad", "not_there"])


@pytest.mark.parametrize("path", ["results/genes.tsv", "my cells.h5ad"])
def test_the_command_that_is_said_mends_the_times(path):
    set_ahead(path, 90)
    with pytest.raises(InputError, match=r"has a time (89|90) minutes in the future: the clock") as error:
        check_clock(["results/merged/a.h5ad", path])
    command = re.search(r"files' times: (find .*)$", str(error.value))[1]
    subprocess.run(command, shell=True, check=True)
    check_clock(["results/merged/a.h5ad", path])
