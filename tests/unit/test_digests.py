"""Records of results: every difference from the written files is reported by name, and nothing else."""

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from cellferry.core import digests
from cellferry.core.atomic import set_aside_damaged
from cellferry.core.digests import RESULTS, check_inputs, follow_touches, record_of, record_outputs
from cellferry.errors import InputError

COUNTS, MODEL, LABELS = "results/common/atlas.h5ad", "results/reference/model", "results/labels.csv"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Counts, a model made from them, and labels made from both."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "results", "of this run")
    return Path("results")


def make(folder, content):
    """Write the results of a run like its jobs, with files of this content."""
    before = Path.cwd()
    os.chdir(folder.parent)
    for path, sources in ((COUNTS, []), (f"{MODEL}/weights/a.bin", [COUNTS]), (LABELS, [MODEL, COUNTS])):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"{path} {content}")
        if path.startswith(MODEL):
            Path(MODEL, "genes.json").write_text(f"[{content!r}]")
            path = MODEL
        new_job()
        record_outputs([path], [*sources, "queries/a.h5ad"])
    new_job()
    os.chdir(before)


def new_job():
    record_of.cache_clear()


def check(*paths, roots=(RESULTS,)):
    new_job()
    check_inputs(paths or [COUNTS, MODEL, LABELS], roots)


def flip(path):
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    times = os.stat(path)
    Path(path).write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def shorten(path):
    os.truncate(path, Path(path).stat().st_size - 1)


@pytest.mark.parametrize("harm", [flip, shorten])
@pytest.mark.parametrize(
    ("file", "result"),
    [
        (COUNTS, COUNTS),
        (LABELS, LABELS),
        (f"{MODEL}/weights/a.bin", MODEL),
        (f"{MODEL}/genes.json", MODEL),
    ],
)
def test_what_differs_is_named_and_made_anew(results, harm, file, result):
    check()
    harm(file)
    with pytest.raises(InputError) as refused:
        check()
    assert str(refused.value) == (
        f"{file}: was damaged after it had been written, or is of another run; {result} is set aside when "
        "this run ends, run snakemake again"
    )
    set_aside_damaged("results")
    assert not Path(result).exists()
    for other in {COUNTS, MODEL, LABELS} - {result}:
        assert Path(other).exists()


def test_a_file_in_a_folder_is_checked_alone(results):
    flip(f"{MODEL}/weights/a.bin")
    check(f"{MODEL}/genes.json")
    for path in (MODEL, f"{MODEL}/weights", f"{MODEL}/weights/a.bin"):
        with pytest.raises(InputError, match=r"weights/a.bin: was damaged"):
            check(path)


def test_a_missing_piece_and_one_too_many(results):
    Path(MODEL, "weights", "a.bin").rename(Path(MODEL, "weights", "b.bin"))
    with pytest.raises(InputError, match=r"model/weights/a\.bin: is missing, and had been written"):
        check()
    Path(MODEL, "weights", "a.bin").write_bytes(Path(MODEL, "weights", "b.bin").read_bytes())
    with pytest.raises(InputError, match=r"model/weights/b\.bin: is of another run: it was not written with"):
        check()
    Path(MODEL, "weights", "b.bin").unlink()
    for name in (".snakemake_timestamp", "weights/.nfs0001"):
        Path(MODEL, name).touch()
    check()


def test_a_folder_that_became_a_file(results):
    shutil.rmtree(MODEL)
    Path(MODEL).write_text("a file")
    with pytest.raises(InputError, match=r"is missing, and had been written"):
        check()


@pytest.mark.parametrize("path", [COUNTS, MODEL, LABELS])
def test_a_result_of_another_run_in_its_place(results, tmp_path, path):
    """It has the same shape and size."""
    (tmp_path / "other").mkdir()
    make(tmp_path / "other" / "results", "of that run")
    shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    move = shutil.copytree if Path("other", path).is_dir() else shutil.copy2
    move(Path("other", path), path)
    with pytest.raises(InputError, match=r"was damaged after it had been written, or is of another run"):
        check()


def test_a_result_of_another_run_with_its_record(results, tmp_path):
    """It was made from other counts than those present."""
    (tmp_path / "other").mkdir()
    make(tmp_path / "other" / "results", "of that run")
    shutil.copytree(Path("other", MODEL), MODEL, dirs_exist_ok=True)
    shutil.copy2(f"other/results/.digests/{MODEL[8:]}.json", f"results/.digests/{MODEL[8:]}.json")
    with pytest.raises(InputError) as refused:
        check(MODEL)
    assert f"{MODEL}: was made from another version of {COUNTS}; {MODEL} is set aside" in str(refused.value)
    with pytest.raises(InputError, match=rf"{LABELS}: was made from another version of {MODEL}"):
        check(LABELS)


def test_a_folder_of_results_may_be_moved_and_copied(results, tmp_path):
    shutil.copytree("results", tmp_path / "elsewhere" / "results", copy_function=shutil.copy)
    os.chdir(tmp_path / "elsewhere")
    check()
    shutil.move("results", tmp_path / "elsewhere" / "earlier")
    check("earlier/reference/model", roots=[RESULTS, Path("earlier")])
    flip("earlier/reference/model/genes.json")
    with pytest.raises(InputError, match=r"genes.json: was damaged.*; copy these results again from"):
        check("earlier/reference/model", roots=[RESULTS, Path("earlier")])
    check("earlier/reference/model")  # a file of the user's
    set_aside_damaged("earlier")
    assert Path("earlier/reference/model/genes.json").exists()


def test_what_has_no_record_is_read_as_it_is(results):
    Path("results/older.txt").write_text("by an earlier version")
    Path("query.h5ad").write_text("the user's")
    check("results/older.txt", "query.h5ad")
    assert record_of(Path("results/older.txt")) is None


def test_outputs_elsewhere_get_no_record(results):
    Path("resources").mkdir()
    Path("resources/demo.h5ad").write_text("cells")
    record_outputs(["resources/demo.h5ad"], [])
    assert not list(Path("results/.digests").rglob("demo*"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": {"x": [1]}, "made_from": {}}', "null"])
def test_a_damaged_record_is_named(results, text):
    Path("results/.digests/labels.csv.json").write_text(text)
    with pytest.raises(
        InputError, match=r"results/.digests/labels.csv.json: is damaged .*labels.csv is set aside"
    ):
        check()


def test_large_files_are_read_where_size_or_time_differ(results, monkeypatch):
    monkeypatch.setattr(digests, "ALWAYS_READ", 10)
    flip(COUNTS)
    check(COUNTS)  # its arrays have checksums
    os.utime(COUNTS)
    with pytest.raises(InputError, match="was damaged"):
        check(COUNTS)
    flip(COUNTS)
    os.utime(COUNTS)
    check(COUNTS)


def test_a_touch_by_snakemake_is_followed(results, monkeypatch):
    monkeypatch.setattr(digests, "ALWAYS_READ", 10)
    Path("results/older.txt").write_text("by an earlier version")
    for path in (COUNTS, LABELS):
        os.utime(path, (0, 0))
    follow_touches([COUNTS, MODEL, "results/older.txt", "results/missing.txt"])
    monkeypatch.setattr(digests.Written, "of", lambda path: pytest.fail(f"{path} is read"))
    check(COUNTS)
    with pytest.raises(pytest.fail.Exception, match=r"labels\.csv is read"):
        check(LABELS)


def test_a_record_is_plain_to_read(results):
    record = json.loads(Path("results/.digests/reference/model.json").read_text())
    assert set(record["files"]) == {"genes.json", "weights/a.bin"}
    assert list(record["made_from"]) == ["common/atlas.h5ad"]
    content = Path(MODEL, "genes.json").read_bytes()
    size, _, crc32 = record["files"]["genes.json"]
    assert (size, crc32) == (len(content), zlib.crc32(content))


def test_a_result_made_again_with_the_same_content_changes_nothing(results):
    content = Path(COUNTS).read_bytes()
    Path(COUNTS).write_bytes(content)
    record_outputs([COUNTS], [])
    check()
    Path(COUNTS).write_bytes(np.random.default_rng(0).bytes(len(content)))
    new_job()
    record_outputs([COUNTS], [])
    with pytest.raises(InputError, match=rf"model: was made from another version of {COUNTS}"):
        check()
