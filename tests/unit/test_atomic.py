"""Files and folders that appear only when complete, with any writer and after any failure."""

import errno
import os
import shutil
import threading

import pytest
from cellferry.core.atomic import complete, remove_remnants


def fill(path, text):
    path.mkdir()
    for number in range(50):
        (path / f"{number}.txt").write_text(text)


def test_a_file_appears_when_it_is_complete(tmp_path):
    with complete(tmp_path / "folder" / "cells.txt") as path:
        path.write_text("half")
        assert not (tmp_path / "folder" / "cells.txt").exists()
        path.write_text("whole")
    assert (tmp_path / "folder" / "cells.txt").read_text() == "whole"
    assert len(list((tmp_path / "folder").iterdir())) == 1


@pytest.mark.parametrize("write", [fill, lambda path, text: path.write_text(text)])
def test_what_fails_leaves_the_former_and_nothing_else(tmp_path, write):
    with complete(tmp_path / "out") as path:
        write(path, "former")

    def fail():
        with complete(tmp_path / "out") as path:
            write(path, "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    text = (tmp_path / "out" / "7.txt" if write is fill else tmp_path / "out").read_text()
    assert text == "former"


def test_a_folder_that_threads_still_fill_is_removed_and_the_error_kept(tmp_path, monkeypatch):
    """As zarr's threads fill one on a full disk."""
    remove, failed = shutil.rmtree, []

    def fail_at_first(path):
        if not failed:
            failed.append(path)
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", fail_at_first)
    with pytest.raises(RuntimeError, match="the writer's"), complete(tmp_path / "store") as folder:  # noqa: PT012
        fill(folder, "half")
        raise RuntimeError("the writer's")
    assert failed
    assert not list(tmp_path.iterdir())


def test_writers_of_the_same_folder_do_not_harm_each_other(tmp_path):
    """An orphan on the cluster and its successor: the last one wins, with a complete folder."""
    out, failures = tmp_path / "chunks", []
    start = threading.Barrier(4)

    def write(text):
        start.wait()
        try:
            for _ in range(10):
                with complete(out) as path:
                    fill(path, text)
        except OSError as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(text,)) for text in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    assert len({path.read_text() for path in out.iterdir()}) == 1
    assert len(list(out.iterdir())) == 50
    assert [entry.name for entry in tmp_path.iterdir()] == ["chunks"]


def test_what_killed_jobs_left_is_removed_and_nothing_else(tmp_path):
    fill(tmp_path / "chunks", "finished")
    for name in ("0.h5ad", ".snakemake_timestamp", ".hidden"):
        (tmp_path / "chunks" / name).write_text("kept")
    fill(tmp_path / ".0123abcd.chunks", "half")
    (tmp_path / "chunks" / ".89abcdef.1.h5ad").write_text("half")
    remove_remnants(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["chunks"]
    assert len(list((tmp_path / "chunks").iterdir())) == 53
