"""Results damaged after they were written, a full disk, and two runs in one folder."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import h5py
import pandas as pd
import pytest
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.core.digests import RECORDS, RESULTS, TIMESTAMP, check_inputs
from cellferry.errors import InputError
from content import contents, hidden
from running import command_line, finished, snakemake
from simulate import simulate_cells

COMMON = "results/common/patients.h5ad"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    simulate_cells(240, batches=("a", "b")).write_h5ad(folder / "reference.h5ad")
    simulate_cells(60, seed=1).write_h5ad(folder / "query.h5ad")
    atlas = {"role": "reference", "path": str(folder / "reference.h5ad"), "label": "cell_type", "chunks": 2}
    patients = {"role": "query", "path": str(folder / "query.h5ad"), "chunks": 3}
    return {
        "datasets": {"atlas": atlas, "patients": patients},
        "genes": {"n_variable": 150},
        "model": {"epochs": 20, "n_latent": 5, "n_hidden": 16, "n_layers": 1},
        "surgery": {"epochs": 5},
        "prediction": {"n_trees": 20},
    }


def run(folder, config, *arguments):
    """A run of the workflow, and its number of finished jobs per rule."""
    result = snakemake(folder, *arguments, "--cores", "2", config=config)
    said = result.stdout + result.stderr
    jobs = Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", said, re.M))
    return SimpleNamespace(returncode=result.returncode, said=said, jobs=jobs)


@pytest.fixture(scope="module")
def counts(tmp_path_factory, datasets):
    """A run up to the common genes' counts."""
    folder = tmp_path_factory.mktemp("counts")
    first = run(folder, datasets, COMMON)
    assert first.returncode == 0, first.said
    return folder


@pytest.fixture
def copied(counts, tmp_path):
    """The same run in a separate folder."""
    shutil.copytree(counts, tmp_path / "run", copy_function=shutil.copy2)
    return tmp_path / "run"


def flip(path):
    """One byte of the counts becomes another."""
    with h5py.File(path, "r") as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset + 17)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x40]))


def truncate(path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 1000)


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def half_zero(path):
    """Remains of a file after a power cut."""
    with open(path, "r+b") as file:
        size = path.stat().st_size
        file.seek(size // 2)
        file.write(bytes(size - size // 2))


@pytest.mark.parametrize("damage", [flip, truncate, zero, half_zero])
def test_a_damaged_chunk_is_named_set_aside_and_made_anew(copied, datasets, damage):
    expected = contents(copied / "results")
    damage(copied / "results" / "chunks" / "patients" / "0" / "1.h5ad")
    failed = run(copied, datasets, COMMON, "--forcerun", "subset_common_genes")
    log = (copied / "logs" / "subset_common_genes" / "patients.log").read_text()
    assert failed.returncode != 0
    for said in (failed.said, log):
        assert "results/chunks/patients/0/1.h5ad: was damaged after it had been written" in said
        assert "results/chunks/patients/0 is set aside when this run ends, run snakemake again" in said
    assert "Traceback" not in failed.said
    assert not (copied / "results" / "chunks" / "patients" / "0").exists()
    assert not (copied / COMMON).exists()
    again = run(copied, datasets, COMMON)
    assert again.returncode == 0, again.said
    assert again.jobs["convert_to_chunks"] == again.jobs["merge_h5ad"] == 1
    assert without_benchmarks(contents(copied / "results")) == without_benchmarks(expected)
    assert not hidden(copied / "results")


def without_benchmarks(files):
    return {name: what for name, what in files.items() if not name.startswith("benchmarks/")}


def test_damage_is_told_once_more_by_the_next_attempt(copied, datasets):
    flip(copied / "results" / "chunks" / "patients" / "0" / "1.h5ad")
    failed = run(copied, datasets, COMMON, "--forcerun", "subset_common_genes", "--retries", "1")
    told = failed.said.partition("1 job(s) failed")[2]
    assert "results/chunks/patients/0/1.h5ad: was damaged after it had been written" in told


def test_a_failed_run_names_a_report_that_says_what_is_missing(copied, datasets):
    flip(copied / "results" / "chunks" / "patients" / "0" / "1.h5ad")
    failed = run(copied, datasets, COMMON, "--forcerun", "subset_common_genes")
    command = re.search(r"^A report of what there is: (.*)$", failed.said, re.M)[1]
    made = finished(shlex.split(command))
    said = made.stdout + made.stderr
    assert made.returncode == 0, said
    assert re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", said, re.M) == ["report_so_far"]
    page = re.sub(r"\s+", " ", (copied / "results" / "report_so_far.html").read_text(encoding="utf-8"))
    assert "This report is not complete" in page
    for missing in ("the labels of patients", "the calibrated classifiers", "3 of 3 chunks of mapped cells"):
        assert f"<li>{missing}" in page
    assert re.search(r"subset_common_genes/\w+.log</code>: [^<]*was damaged after it had been written", page)


TARGET = "results/predictions/patients.parquet"


@pytest.fixture(scope="module")
def predicted(tmp_path_factory, datasets, counts):
    """A run up to the predictions."""
    folder = tmp_path_factory.mktemp("predicted") / "run"
    shutil.copytree(counts, folder, copy_function=shutil.copy2)
    first = run(folder, datasets, TARGET)
    assert first.returncode == 0, first.said
    return folder


def test_each_bit_of_what_jobs_read_counts(predicted, tmp_path, monkeypatch):
    """Every changed file of a result is named."""
    shutil.copytree(predicted / "results", tmp_path / "results", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path)
    records = Path("results", RECORDS)
    results = [
        f"results/{path.relative_to(records)}".removesuffix(".json") for path in records.rglob("*.json")
    ]
    for part in ("chunks", "common", "mapped", "merged", "predictions", "reference"):
        assert any(path.startswith(f"results/{part}/") for path in results), part
    checked = 0
    for path in results:
        for file in [Path(path), *Path(path).rglob("*")]:
            if file.is_file() and file.name != TIMESTAMP:
                checked += 1
                assert_a_flipped_bit_is_noticed(path, file)
    assert checked > 25


def assert_a_flipped_bit_is_noticed(path, file):
    content = file.read_bytes()
    damaged = bytearray(content) or bytearray(b" ")
    damaged[len(damaged) // 3] ^= 0x10
    file.write_bytes(damaged)
    with pytest.raises(InputError, match=re.escape(f"{file}: was damaged after it had been written")):
        check_inputs([path], [RESULTS])
    file.write_bytes(content)
    check_inputs([path], [RESULTS])


def test_a_changed_classifier_is_named_set_aside_and_made_anew(predicted, datasets, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(predicted, folder, copy_function=shutil.copy2)
    labels = folder / "results" / "reference" / "classifier" / "labels.json"
    text = labels.read_text()
    first, second, *_ = json.loads(text)["training_cells"]
    other = {first: second, second: first}
    labels.write_text(re.sub(f'"({first}|{second})"', lambda name: f'"{other[name[1]]}"', text))
    assert labels.read_text() != text
    failed = run(folder, datasets, TARGET, "--forcerun", "predict_labels")
    assert failed.returncode != 0
    assert "results/reference/classifier/labels.json: was damaged after it had been written" in failed.said
    assert "Traceback" not in failed.said
    assert not (folder / "results" / "reference" / "classifier").exists()
    again = run(folder, datasets, TARGET)
    assert again.returncode == 0, again.said
    pd.testing.assert_frame_equal(pd.read_parquet(folder / TARGET), pd.read_parquet(predicted / TARGET))


def test_after_damage_the_predictions_are_the_same(predicted, datasets, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(predicted, folder, copy_function=shutil.copy2)
    expected, mapped = pd.read_parquet(folder / TARGET), contents(folder / "results" / "mapped")
    flip(folder / "results" / "chunks" / "patients" / "0" / "1.h5ad")
    failed = run(folder, datasets, TARGET, "--forcerun", "subset_common_genes")
    assert failed.returncode != 0
    pd.testing.assert_frame_equal(pd.read_parquet(folder / TARGET), expected)
    assert contents(folder / "results" / "mapped") == mapped
    # Finished predictions do not need chunks.
    (folder / TARGET).unlink()
    again = run(folder, datasets, TARGET)
    assert again.returncode == 0, again.said
    assert again.jobs["convert_to_chunks"] == again.jobs["merge_h5ad"] == 1
    pd.testing.assert_frame_equal(pd.read_parquet(folder / TARGET), expected)


def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(tmp_path, datasets, counts):
    command = command_line(tmp_path, COMMON, "--cores", "1", config=datasets)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as first:
        for line in first.stdout:
            if "Inspecting" in line:
                break
        second = run(tmp_path, datasets, COMMON)
        said = first.communicate()[0]
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.said
    assert first.returncode == 0, said
    assert_same_results(tmp_path, counts)


def assert_same_results(folder, other):
    found, expected = (without_benchmarks(contents(path / "results")) for path in (folder, other))
    assert found == expected


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a separate file system; `grow` enlarges it."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", tmp_path], check=False).returncode:
        pytest.skip("mounting a small file system needs root")

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", tmp_path], check=True)

    yield SimpleNamespace(folder=tmp_path, resize=resize)
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def space_left(folder, megabytes):
    """Size (kB) of a file system with that much free space."""
    disk = os.statvfs(folder)
    return f"{(disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024 + 1024 * megabytes}k"


@pytest.mark.parametrize(
    ("before", "rule", "target"),
    [
        ("results/datasets.tsv", "convert_to_chunks", "results/chunks/patients/0"),
        ("results/chunks/patients/0", "merge_h5ad", "results/merged/patients.h5ad"),
        ("results/genes.tsv", "subset_common_genes", COMMON),
    ],
)
def test_a_full_disk_is_said_and_leaves_nothing_half_written(small_disk, datasets, before, rule, target):
    folder = small_disk.folder
    simulate_cells(12_000, seed=1).write_h5ad(folder / "query.h5ad")
    patients = {"role": "query", "path": "query.h5ad", "chunks": 3}
    materialize = rule == "merge_h5ad"
    config = {
        **datasets,
        "datasets": {**datasets["datasets"], "patients": patients},
        "merge": {"materialize": materialize},
    }
    assert run(folder, config, before).returncode == 0
    small_disk.resize(space_left(folder, 1))
    failed = run(folder, config, target)
    assert failed.returncode != 0
    assert f"the disk is full or a quota is used up in {folder}" in failed.said
    assert f"{rule}: {target}" in failed.said
    assert not (folder / target).exists()
    assert not list((folder / target).parent.glob(".*"))
    small_disk.resize("64m")
    again = run(folder, config, target)
    assert again.returncode == 0, again.said
    whole = folder / target
    written = [whole] if whole.is_file() else sorted(whole.glob("*.h5ad"))
    n_cells = 0
    for path in written:
        with H5adReader(path) as reader:
            n_cells += sum(stop - start for start, stop, _ in reader.blocks(10**7))
    assert n_cells == 12_000
