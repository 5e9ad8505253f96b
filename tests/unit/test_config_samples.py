"""Files of a dataset: names of samples, and distribution over jobs."""

from pathlib import Path

import pytest
from cellferry.config.samples import (
    CHUNKS_OF_STORES,
    JOB_BYTES,
    MAX_FILES,
    all_files,
    automatic_chunks,
    conversion_jobs,
    sample_files,
    table_files,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("plates/p1.csv.gz", "plates/p2.csv.gz", "runs/s1/outs/m.h5", "runs/s2/outs/m.h5"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"\x89HDF\r\n\x1a\n")
    return tmp_path


def as_text(files):
    return {sample: str(path) for sample, path in files.items()}


def test_a_folder_of_very_many_files_is_looked_after_as_a_whole(tmp_path):
    for number in range(MAX_FILES):
        (tmp_path / f"{number:04}").touch()
    assert list(all_files(str(tmp_path))) == [tmp_path / f"{number:04}" for number in range(MAX_FILES)]
    (tmp_path / "one more").touch()
    assert list(all_files(str(tmp_path))) == [tmp_path]


@pytest.mark.parametrize(
    ("path", "samples"),
    [
        ("plates/p1.csv.gz", {"": "plates/p1.csv.gz"}),
        ("plates", {"": "plates"}),
        ("plates/*.csv.gz", {"p1": "plates/p1.csv.gz", "p2": "plates/p2.csv.gz"}),
        ("plates/p1*", {"p1": "plates/p1.csv.gz"}),
        (["plates/p2.csv.gz", "plates/p1.csv.gz"], {"p2": "plates/p2.csv.gz", "p1": "plates/p1.csv.gz"}),
        ("runs/*/outs/m.h5", {"s1": "runs/s1/outs/m.h5", "s2": "runs/s2/outs/m.h5"}),
        (["runs/*/outs/m.h5", "plates/p1.csv.gz"], {}),
        (
            {"a": "plates/p2.csv.gz", "b": "plates/p1.csv.gz"},
            {"a": "plates/p2.csv.gz", "b": "plates/p1.csv.gz"},
        ),
        ("none/*.h5", {}),
    ],
)
def test_samples_are_called_by_what_differs(folder, path, samples):
    found = as_text(sample_files(path))
    if isinstance(path, list) and "*" in path[0]:
        samples = {
            "runs_s1_outs_m": "runs/s1/outs/m.h5",
            "runs_s2_outs_m": "runs/s2/outs/m.h5",
            "plates_p1": "plates/p1.csv.gz",
        }
    assert found == samples
    assert list(found) == list(samples)


def test_names_that_differ_by_their_endings_alone(folder):
    Path("plates/p1.tsv").touch()
    assert list(sample_files(["plates/p1.tsv", "plates/p1.csv.gz"])) == ["p1.tsv", "p1.csv.gz"]


def test_no_file_is_lost_to_another_of_the_same_name(folder):
    paths = [f"{place}/p1.{ending}" for place in ("plates", "runs") for ending in ("csv", "tsv")]
    assert as_text(sample_files(paths)) == {path.replace("/", "_"): path for path in paths}
    alike = ["a/b_c.csv", "a_b/c.csv"]
    assert as_text(sample_files(alike)) == {path: path for path in alike}


@pytest.mark.parametrize("name", ["plates[1]", "a*b", "{plates}", "what?", "[x"])
def test_a_folder_of_a_pattern_may_be_called_like_one(folder, name):
    Path(name, "more").mkdir(parents=True)
    for file in ("p3.csv", "more/p4.csv"):
        Path(name, file).touch()
    assert as_text(sample_files(f"{name}/*.csv")) == {"p3": f"{name}/p3.csv"}
    assert as_text(sample_files(f"{folder}/{name}/*/*.csv")) == {"p4": f"{folder}/{name}/more/p4.csv"}


def test_a_pattern_comes_before_a_folder_that_is_called_like_it(folder):
    for name in ("run1", "run[1]"):
        Path(name).mkdir()
        Path(name, "a.csv").touch()
    assert as_text(sample_files("run[1]/*.csv")) == {"a": "run1/a.csv"}


def test_patterns_may_overlap(folder):
    assert list(sample_files(["plates/*.csv.gz", "plates/p1.csv.gz"])) == ["p1", "p2"]


def test_a_folder_of_fcs_files_is_its_files(folder):
    Path("fcs").mkdir()
    for name in ("b.fcs", "a.FCS", "notes.txt"):
        (Path("fcs") / name).touch()
    assert as_text(sample_files("fcs")) == {"a": "fcs/a.FCS", "b": "fcs/b.fcs"}
    (Path("fcs") / "b.fcs").unlink()
    assert as_text(sample_files("fcs")) == {"a": "fcs/a.FCS"}


def test_a_name_with_brackets_is_a_file_if_there_is_one(folder):
    Path("a[1].h5").touch()
    assert as_text(sample_files("a[1].h5")) == {"": "a[1].h5"}


def test_tables(folder):
    assert table_files(None) == []
    assert table_files("plates/p1.csv.gz") == [Path("plates/p1.csv.gz")]
    assert table_files("plates/*.csv.gz") == [Path("plates/p1.csv.gz"), Path("plates/p2.csv.gz")]


def sized(name, size, start):
    with open(name, "wb") as file:
        file.write(start)
        file.truncate(size)
    return str(name)


@pytest.mark.parametrize(
    ("name", "start", "jobs"),
    [
        ("a.h5ad", b"\x89HDF\r\n\x1a\n", 3),
        ("a.fcs", b"FCS3.1    ", 3),
        ("a.rds", b"\x1f\x8b", 1),
        ("a.rds", b"X\n\0\0\0\3", 1),
        ("a.mtx", b"%%MatrixMarket", 1),
        ("a.csv", b"gene,a,b", 1),
        ("a.zip", b"PK\3\4", 1),
    ],
)
def test_large_files_that_can_be_read_anywhere_are_shared_among_jobs(folder, name, start, jobs):
    path = sized(name, int(2.5 * JOB_BYTES), start)
    assert conversion_jobs(path, chunks=25) == jobs
    assert conversion_jobs(path, chunks=2) == min(2, jobs)


def test_several_files_are_shared_among_jobs_whatever_they_are(folder):
    paths = [sized(f"{number}.csv.gz", JOB_BYTES, b"\x1f\x8b") for number in range(4)]
    assert conversion_jobs(paths, chunks=25) == 4
    assert conversion_jobs("plates/*.csv.gz", chunks=25) == 1
    assert conversion_jobs("not_yet_there.h5ad", chunks=25) == 1


@pytest.mark.parametrize(("share", "chunks"), [(0.001, 1), (1, 1), (1.1, 2), (40.5, 41)])
def test_chunks_follow_from_the_size_of_the_files(folder, share, chunks):
    assert automatic_chunks(sized("a.rds", int(share * JOB_BYTES), b"\x1f\x8b")) == chunks


def test_chunks_of_several_files_and_of_folders(folder):
    paths = [sized(f"{number}.csv.gz", JOB_BYTES, b"\x1f\x8b") for number in range(4)]
    assert automatic_chunks(paths) == 4
    assert automatic_chunks("not_yet_there.h5ad") == 1
    matrix = folder / "10x"
    matrix.mkdir()
    sized(matrix / "matrix.mtx.gz", 2 * JOB_BYTES, b"\x1f\x8b")
    assert automatic_chunks(str(matrix)) == 2
    store = folder / "cells.zarr"
    (store / "X").mkdir(parents=True)
    assert automatic_chunks(str(store)) == CHUNKS_OF_STORES
