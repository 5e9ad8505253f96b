"""A user's mistakes: one clear error each, all together, before any expensive job starts."""

import os
import signal
import time

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from simulate import simulate_cells


@pytest.fixture
def reference(run):
    simulate_cells(60).write_h5ad(run.folder / "reference.h5ad")
    return {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "chunks": 1}


def failed(run, datasets, **sections):
    """Output of a run that must stop before it converts anything."""
    result = run("--cores", "2", "--keep-going", config={"datasets": datasets, **sections})
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "Traceback" not in said
    assert not (run.folder / "results" / "merged").exists()
    return said


def write_query(run, cells):
    cells.write_h5ad(run.folder / "query.h5ad")
    return {"role": "query", "path": "query.h5ad"}


def test_a_truncated_and_an_empty_file_are_both_named(run, reference):
    path = run.folder / "reference.h5ad"
    path.write_bytes(path.read_bytes()[:5000])
    (run.folder / "query.h5ad").write_bytes(b"")
    said = failed(run, {"atlas": reference, "patients": {"role": "query", "path": "query.h5ad"}})
    assert "atlas: reference.h5ad: cannot be read" in said
    assert "patients: query.h5ad: the file is empty" in said


def negative(cells):
    cells.X.data[3] = -1


def missing(cells):
    cells.X.data[3] = np.nan


def normalized(cells):
    cells.X = np.log1p(cells.X)


def no_cells(cells):
    cells._inplace_subset_obs(np.zeros(cells.n_obs, dtype=bool))


def duplicated(cells):
    cells.obs_names = ["same", "same", *cells.obs_names[2:]]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (negative, "negative"),
        (missing, "NaN"),
        (normalized, "they look log-normalized; raw counts are needed: export the file with them"),
        (no_cells, "no cells"),
        (duplicated, "same"),
    ],
)
def test_counts_that_are_none(run, reference, break_it, said):
    cells = simulate_cells(60, seed=1)
    break_it(cells)
    output = failed(run, {"atlas": reference, "patients": write_query(run, cells)})
    assert "query.h5ad" in output
    assert said in output


def test_text_in_a_matrix(run, reference):
    table = pd.DataFrame([[1, "many"], [2, 3]], index=["a", "b"], columns=["GENE0", "GENE1"])
    table.to_csv(run.folder / "query.csv")
    query = {"role": "query", "path": "query.csv", "orientation": "cells"}
    output = failed(run, {"atlas": reference, "patients": query})
    assert "query.csv" in output
    assert "many" in output


def test_two_genomes(run, reference, test_data):
    path = test_data / "formats" / "10x" / "1.2.0" / "multiple_genomes.h5"
    output = failed(run, {"atlas": reference, "patients": {"role": "query", "path": str(path)}})
    assert "datasets.patients.genome" in output
    assert "hg19_chr21" in output
    assert "another_genome" in output


def test_labels_that_are_missing_and_a_single_label(run):
    cells = simulate_cells(60)
    cells.obs["empty"] = pd.Categorical([None] * 60, categories=["x"])
    cells.obs["single"] = pd.Categorical(["x"] * 60)
    cells.write_h5ad(run.folder / "reference.h5ad")
    query = write_query(run, simulate_cells(60, seed=1))
    for column in ("empty", "single"):
        atlas = {"role": "reference", "path": "reference.h5ad", "label": column}
        output = failed(run, {"atlas": atlas, "patients": query})
        assert "datasets.atlas.label" in output
        assert column in output


def test_no_gene_in_common(run, reference):
    cells = simulate_cells(60, seed=1)
    cells.var_names = [f"OTHER{number}" for number in range(cells.n_vars)]
    said = failed(run, {"atlas": reference, "patients": write_query(run, cells)})
    assert f"datasets.patients: shares 0 of its {cells.n_vars} genes with atlas" in said
    assert "translate its ids with genes.map" in said


def test_a_column_that_does_not_exist_stops_the_dry_run(run, reference):
    query = write_query(run, simulate_cells(60, seed=1))
    result = run("--dry-run", config={"datasets": {"atlas": {**reference, "label": "celltype"}, "q": query}})
    assert result.returncode != 0
    assert "has no obs column 'celltype' (did you mean 'cell_type'?)" in result.stdout + result.stderr


def test_a_file_that_is_wrong_in_its_middle_leaves_nothing_that_looks_finished(run, reference):
    """Inspection misses it; the conversion must find it, and leave no chunk behind."""
    cells = simulate_cells(8000, seed=1)
    query = write_query(run, cells)
    with h5py.File(run.folder / "query.h5ad", "r+") as file:
        file["X/data"][-1] = 0.5
    datasets = {"atlas": reference, "patients": {**query, "chunks": 4}}
    result = run("results/merged/patients.h5ad", "--cores", "2", config={"datasets": datasets})
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "query.h5ad: X does not hold raw counts: 0.5 in cell 'cell1_7999'" in said
    assert "Traceback" not in said
    assert (run.folder / "results" / "datasets.tsv").exists()
    assert not list((run.folder / "results" / "chunks").glob("**/*.h5ad"))


def test_a_killed_conversion_is_made_anew(run, reference):
    """Killed without warning while writing: the next run finds no chunk and begins again."""
    simulate_cells(60_000, n_genes=300, seed=1).write_h5ad(run.folder / "query.h5ad")
    query = {"role": "query", "path": "query.h5ad", "chunks": 2}
    datasets = {"atlas": reference, "patients": query}
    chunks = run.folder / "results" / "chunks" / "patients"

    def begun():
        return any(path.suffix == ".h5ad" for path in chunks.glob(".*0/.*h5ad"))

    process = run.start("results/chunks/patients/0", "--cores", "1", config={"datasets": datasets})
    deadline = time.monotonic() + 120
    while not begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (chunks / "0").exists()
    run("--unlock", config={"datasets": datasets})
    result = run(
        "results/merged/patients.h5ad", "--cores", "2", "--rerun-incomplete", config={"datasets": datasets}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert ad.read_h5ad(run.folder / "results" / "merged" / "patients.h5ad").n_obs == 60_000


def test_what_is_wrong_with_labels_is_said_before_anything_runs(run, reference):
    query = write_query(run, simulate_cells(60, seed=1))
    (run.folder / "names.tsv").write_text("T cell\tT\nT cell\tCD4 T\n")
    labels = {"rename": "names.tsv", "parents": {"a": "b", "b": "a"}}
    datasets = {"reference": reference, "patients": query}
    result = run("--dry-run", config={"datasets": datasets, "labels": labels})
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "the configuration has 3 problem(s)" in said
    assert "labels.rename: duplicate name 'T cell', with 'T' and 'CD4 T'; keep one of them" in said
    assert "labels.parents: contains a circle, a → b → a" in said
    assert "'reference' cannot be a dataset's name" in said
    assert "Traceback" not in said


def test_a_label_below_two_parents(run):
    cells = simulate_cells(60)
    cells.obs["lineage"] = pd.Categorical(np.where(np.arange(60) % 20 == 0, "other", "lymphoid"))
    cells.write_h5ad(run.folder / "reference.h5ad")
    query = write_query(run, simulate_cells(60, seed=1))
    atlas = {"role": "reference", "path": "reference.h5ad", "label": "cell_type", "levels": ["lineage"]}
    said = failed(run, {"atlas": atlas, "patients": query})
    assert "datasets.atlas.levels: a label must have one value in 'lineage', and there are several" in said
    assert "'T cell' (lymphoid: 19 cells, other: 1 cells)" in said
