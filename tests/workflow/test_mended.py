"""Inputs mended after a failed run, even by older files, and unreadable paths."""

import json
import os
import re
import shutil

import pytest
from running import command_line, finished
from simulate import simulate_cells

TARGET = "results/merged/patients.h5ad"
LONG_AGO = (1_500_000_000, 1_500_000_000)
# Root without the right to read everything, as any other user is.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture
def config(run):
    simulate_cells(60).write_h5ad(run.folder / "reference.h5ad")
    simulate_cells(60, seed=1).write_h5ad(run.folder / "query.h5ad")
    shutil.copy(run.folder / "query.h5ad", run.folder / "right.h5ad")
    os.utime(run.folder / "right.h5ad", LONG_AGO)
    atlas = {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "chunks": 1}
    return {"datasets": {"atlas": atlas, "patients": {"role": "query", "path": "query.h5ad", "chunks": 1}}}


def words(result):
    return result.stdout + result.stderr


def start(run, config, *arguments, before=()):
    command = command_line(run.folder, *arguments, "--cores", "2", config=config)
    # A fork of the warm process would have the rights of that process.
    return finished([*before, *command], env=os.environ if before else None)


def truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def test_a_truncated_file_that_is_replaced_by_an_older_whole_one(run, config):
    query = run.folder / "query.h5ad"
    truncate(query)
    failed = start(run, config, TARGET)
    assert failed.returncode != 0
    assert "patients: query.h5ad: cannot be read" in words(failed)
    found = json.loads((run.folder / "results" / "inspected" / "patients.json").read_text())
    assert "cannot be read" in found["problems"][0]
    # Only datasets with a problem are inspected again.
    for _ in range(2):
        planned = words(start(run, config, TARGET, "-n"))
        assert "Inspecting patients" in planned
        assert "Inspecting atlas" not in planned
    shutil.copy2(run.folder / "right.h5ad", query)
    mended = start(run, config, TARGET)
    assert mended.returncode == 0, words(mended)
    assert "Inspecting atlas" not in words(mended)


def test_what_is_mended_outside_of_the_file_is_seen_too(run, config):
    """The file is the same; a file beside it was missing."""
    folder = run.folder / "mtx"
    folder.mkdir()
    (folder / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 3\n")
    config["datasets"]["patients"]["path"] = "mtx/matrix.mtx"
    failed = start(run, config, "results/datasets.tsv")
    assert "is missing beside it" in words(failed)
    (folder / "barcodes.tsv").write_text("cell1\n")
    (folder / "genes.tsv").write_text("ENSG00000000001\tGENE0\n")
    mended = start(run, config, "results/datasets.tsv")
    assert mended.returncode == 0, words(mended)


def test_an_older_file_in_the_place_of_a_good_one_is_converted(run, config):
    first = start(run, config, TARGET)
    assert first.returncode == 0, words(first)
    simulate_cells(90, seed=2).write_h5ad(run.folder / "right.h5ad")
    os.utime(run.folder / "right.h5ad", LONG_AGO)
    shutil.copy2(run.folder / "right.h5ad", run.folder / "query.h5ad")
    again = start(run, config, TARGET)
    assert again.returncode == 0, words(again)
    assert "Changed: query.h5ad (another file). Made again: inspect_dataset and all after" in words(again)
    assert "Converting patients" in words(again)
    assert "Converting atlas" not in words(again)
    nothing = start(run, config, TARGET)
    assert "Nothing to be done" in words(nothing)


@pytest.fixture
def ordinary():
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv to take that away")
    return ORDINARY


def test_a_file_whose_permissions_are_mended(run, config, ordinary):
    query = run.folder / "query.h5ad"
    query.chmod(0)
    failed = start(run, config, TARGET, before=ordinary)
    assert failed.returncode == 1
    assert (
        words(failed)
        .strip()
        .endswith(
            "error: the configuration has 1 problem(s):\n"
            "  - datasets.patients.path: query.h5ad is not readable; get read permission from its owner"
        )
    )
    query.chmod(0o644)
    os.utime(query, LONG_AGO)
    mended = start(run, config, TARGET, before=ordinary)
    assert mended.returncode == 0, words(mended)


def unreadable_folder(folder):
    (folder / "queries").mkdir()
    shutil.copy(folder / "query.h5ad", folder / "queries")
    (folder / "queries").chmod(0)
    return "queries", "the folder queries is not readable; get permission from its owner to read and enter it"


def folder_not_to_be_entered(folder):
    unreadable_folder(folder)
    return (
        "queries/query.h5ad",
        "queries/query.h5ad is in a folder without access; get permission from its owner",
    )


def one_of_several(folder):
    unreadable_folder(folder)
    (folder / "queries").chmod(0o755)
    (folder / "queries" / "query.h5ad").chmod(0)
    return "queries", "queries/query.h5ad is not readable; get read permission from its owner"


def dangling_link(folder):
    (folder / "link.h5ad").symlink_to("elsewhere.h5ad")
    return "link.h5ad", "link.h5ad is a link to elsewhere.h5ad, which does not exist; correct the path"


def empty_folder(folder):
    (folder / "cells.h5ad").mkdir()
    return "cells.h5ad", "the folder cells.h5ad is empty; correct the path"


@pytest.mark.parametrize(
    "make", [unreadable_folder, folder_not_to_be_entered, one_of_several, dangling_link, empty_folder]
)
def test_a_path_that_cannot_be_read_is_one_error_before_anything_runs(run, config, ordinary, make):
    path, problem = make(run.folder)
    config["datasets"]["patients"]["path"] = path
    result = start(run, config, "-n", before=ordinary)
    for folder in run.folder.glob("queries"):
        folder.chmod(0o755)
    assert result.returncode == 1
    said = words(result)[words(result).index("error: ") :]
    assert said.startswith(
        f"error: the configuration has 1 problem(s):\n  - datasets.patients.path: {problem}"
    )
    assert len(said.strip().splitlines()) == 2


def test_tables_that_are_folders(run, config):
    (run.folder / "tables").mkdir()
    config["datasets"]["patients"]["obs"] = "tables"
    config |= {"labels": {"rename": "tables", "parents": "tables"}, "genes": {"map": "tables"}}
    said = words(start(run, config, "-n"))
    assert "the configuration has 4 problem(s)" in said
    for key in ("datasets.patients.obs", "labels.rename", "labels.parents", "genes.map"):
        assert re.search(rf"^  - {re.escape(key)}: .*tables", said, re.M), key
    assert "Traceback" not in said
