"""The whole chain on simulated cells with known labels, as a user starts it."""

import copy
import html
import os
import re
import shutil
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from cellferry.commands.pack.__main__ import main as pack
from cellferry.config.schema import fill_defaults
from cellferry.heads.registry import ON_COUNTS
from cellferry.references.archive import sha256_of
from cellferry.report.costs import costs
from cellferry.resources.expected_jobs import expected_jobs
from cellferry.runs.hashes import labeled_by, of_predictions
from content import hidden
from running import snakemake, without_torch
from simulate import simulate_cells

LABELS = ("T cell", "B/plasma, naive", "NK <CD56&>", "Γδ T")


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A finished run: a reference of four donors (h5ad) and three queries.

    One is labeled (csv.gz), one has ten cells without labels (h5ad), and one has only cells of a type that
    the reference lacks. Its processes start as a user's, for their memory.
    """
    folder = tmp_path_factory.mktemp("chain")
    donors = ("d1", "d2", "d3", "d4")
    reference = simulate_cells(480, labels=LABELS, batches=donors, shift=0.2)
    labeled = simulate_cells(120, labels=LABELS, batches=("x", "y"), shift=0.2, seed=1)
    unlabeled = simulate_cells(10, labels=LABELS, seed=2)
    foreign = simulate_cells(400, labels=(*LABELS, "a", "b", "c", "new"), seed=3)
    foreign = foreign[foreign.obs["cell_type"] == "new"]
    reference.write_h5ad(folder / "reference.h5ad")
    table = pd.DataFrame(labeled.X.toarray().astype(int), index=labeled.obs_names, columns=labeled.var_names)
    table.to_csv(folder / "labeled.csv.gz")
    places = np.random.default_rng(4).uniform(1e5, 2e5, size=(120, 2))
    labeled.obs[["x", "y"]] = places
    labeled.obs.to_csv(folder / "labeled_obs.csv")
    # Another order of genes, one missing, one duplicate name.
    unlabeled = unlabeled[:, unlabeled.var_names[::-1][1:]].copy()
    unlabeled.obs = unlabeled.obs[["sample"]]
    unlabeled.write_h5ad(folder / "unlabeled.h5ad")
    foreign.write_h5ad(folder / "foreign.h5ad")
    config = {
        "datasets": {
            "atlas": {
                "role": "reference",
                "path": "reference.h5ad",
                "label": "cell_type",
                "batch": "sample",
                "chunks": 3,
            },
            "labeled": {
                "role": "query",
                "path": "labeled.csv.gz",
                "obs": "labeled_obs.csv",
                "label": "cell_type",
                "batch": "sample",
                "keep_obs": ["sample"],
                "coordinates": ["x", "y"],
                "orientation": "cells",
                "chunks": 2,
            },
            "unlabeled": {"role": "query", "path": "unlabeled.h5ad", "chunks": 1},
            "foreign": {"role": "query", "path": "foreign.h5ad", "chunks": 1},
        },
        "genes": {"n_variable": 150, "keep": ["GENE3"]},
        "model": {"epochs": 40, "n_latent": 8, "n_hidden": 32, "n_layers": 1},
        "surgery": {"epochs": 20},
        "prediction": {"n_trees": 30},
    }
    result = snakemake(folder, "--cores", "2", config=config, env=os.environ)
    assert result.returncode == 0, result.stdout + result.stderr
    return SimpleNamespace(folder=folder, config=config, results=folder / "results", labeled=labeled)


def test_labels_are_right(chain):
    predictions = pd.read_parquet(chain.results / "predictions" / "labeled.parquet")
    assert list(predictions["cell"]) == list(chain.labeled.obs_names)
    assert np.mean(predictions["best_label"] == chain.labeled.obs["cell_type"].to_numpy()) > 0.9


def test_ten_cells_are_labeled_too(chain):
    predictions = pd.read_parquet(chain.results / "predictions" / "unlabeled.parquet")
    truth = [LABELS[number % len(LABELS)] for number in range(10)]
    assert (predictions["best_label"] == truth).sum() >= 9


def test_cells_of_a_type_that_the_reference_lacks_are_unknown(chain):
    predictions = pd.read_parquet(chain.results / "predictions" / "foreign.parquet")
    assert (predictions["label"] == "unknown").mean() > 0.9
    assert set(predictions["reason"].dropna()) <= {"out of reference", "ambiguous"}


def test_held_out_cells_never_meet_the_model(chain):
    parts = {
        part: set(ad.read_h5ad(chain.results / "common" / f"{part}.h5ad").obs_names)
        for part in ("reference", "validation", "test")
    }
    assert not parts["reference"] & parts["validation"]
    assert not parts["reference"] & parts["test"]
    assert sum(map(len, parts.values())) == 480
    # Four donors: the test part is one whole donor.
    assert ad.read_h5ad(chain.results / "common" / "test.h5ad").obs["batch"].unique().size == 1


def test_csv_holds_what_the_parquet_holds(chain):
    parquet = pd.read_parquet(chain.results / "predictions" / "unlabeled.parquet")
    csv = pd.read_csv(chain.results / "predictions" / "unlabeled.csv.gz")
    assert list(csv.columns) == list(parquet.columns)
    assert list(csv["cell"]) == list(parquet["cell"])
    np.testing.assert_allclose(csv["probability"], parquet["probability"], atol=1e-5)


def test_labeled_file_opens_in_scanpy(chain):
    labeled = ad.read_h5ad(chain.results / "labeled" / "labeled.h5ad")
    assert list(labeled.obs_names) == list(chain.labeled.obs_names)
    assert labeled.obsm["X_cellferry"].shape == (120, 8)
    assert labeled.obsm["X_cellferry"].dtype == np.float32
    assert labeled.X.dtype == np.float32
    genes = list(labeled.var_names)
    np.testing.assert_array_equal(labeled.X.toarray(), chain.labeled[:, genes].X.toarray())
    assert list(labeled.obs["sample"]) == list(chain.labeled.obs["sample"])


def test_coordinates_come_through_and_are_drawn_batch_by_batch(chain):
    labeled = ad.read_h5ad(chain.results / "labeled" / "labeled.h5ad")
    assert np.array_equal(labeled.obsm["spatial"], chain.labeled.obs[["x", "y"]])
    assert [path.name for path in (chain.results / "figures" / "spatial").glob("[!.]*")] == ["labeled.png"]
    report = (chain.results / "report.html").read_text(encoding="utf-8")
    assert "labeled in space" in report
    assert "a panel per section" in report


def test_genes_all_datasets_have_and_the_one_to_keep(chain):
    genes = pd.read_csv(chain.results / "genes.tsv", sep="\t")
    assert "GENE199" not in set(genes["gene"])
    assert "GENE3" in set(genes["gene"])
    assert len(genes) in (150, 151)


def test_report_is_one_file_that_needs_no_network(chain):
    report = (chain.results / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="https?:', report)
    assert "NK &lt;CD56&amp;&gt;" in report
    assert "<CD56&>" not in report
    assert "Γδ T" in report


def test_snakemakes_own_report_has_the_figures_under_headings(chain):
    result = snakemake(chain.folder, "--report", "snakemake_report.html", config=chain.config)
    assert result.returncode == 0, result.stderr
    report = (chain.folder / "snakemake_report.html").read_text(encoding="utf-8")
    for category in ("1 The whole report", "2 Scores", "3 Maps", "4 Training"):
        assert f'"{category}"' in report
    for figure in ("maps/batch.png", "maps/label.png", "confusion/test.svg", "spatial/labeled.png"):
        assert (chain.results / "figures" / figure).stat().st_size > 1000
        assert figure in report
    for caption in ("sums to 100 %", "Read neighborhoods", "right 8", "levelled off"):
        assert caption in report


def test_the_command_to_make_it_again_stands_in_the_report(chain):
    report = (chain.results / "report.html").read_text(encoding="utf-8")
    said = html.unescape(re.search(r"To repeat the run.*?<pre>(.*?)</pre>", report, re.S)[1])
    assert re.match(r"\S+ -m snakemake --snakefile ", said)
    assert said.endswith(f"--cores 2 --configfile {chain.folder / 'config.yaml'}")


def test_a_second_run_has_nothing_to_do(chain):
    result = snakemake(chain.folder, "--cores", "2", config=chain.config)
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout + result.stderr


def test_another_query_converts_nothing_but_itself(chain):
    another = {"role": "query", "path": "unlabeled.h5ad", "chunks": 1}
    config = {**chain.config, "datasets": {**chain.config["datasets"], "another": another}}
    result = snakemake(chain.folder, "--dry-run", config=config)
    said = result.stdout + result.stderr
    assert re.search(r"^convert_to_chunks +1$", said, re.M)
    assert re.search(r"^merge_h5ad +1$", said, re.M)


@pytest.mark.parametrize(("change", "calibrated"), [({"min_p": 0.1}, False), ({"max_error": 0.2}, True)])
def test_a_changed_limit_retrains_nothing(chain, change, calibrated):
    config = {**chain.config, "prediction": {"n_trees": 30, **change}}
    result = snakemake(chain.folder, "--dry-run", config=config)
    said = result.stdout + result.stderr
    assert re.search(r"^predict_labels +\d", said, re.M)
    assert bool(re.search(r"^calibrate_classifier +\d", said, re.M)) == calibrated
    assert not re.search(r"^(train_\w+|map_query|convert_to_chunks) +\d", said, re.M)


def test_the_rules_of_the_answer_are_told(chain):
    rules = read_artifact(DecisionModel, chain.results / "reference" / "calibration.json")
    assert set(rules.thresholds["label"]) == set(LABELS)
    assert set(rules.weights) == {"xgboost", "linear", "neighbors", *ON_COUNTS}
    held_out = rules.held_out
    # Few donors: each was left out once, and training cells were predicted.
    assert held_out.rehearsed
    assert 0 < held_out.cells <= ad.read_h5ad(chain.results / "common" / "reference.h5ad").n_obs
    assert held_out.error <= held_out.max_error == 0.05


def test_every_cell_is_told_why_it_has_no_label(chain):
    predictions = pd.read_parquet(chain.results / "predictions" / "labeled.parquet")
    unknown = predictions["label"] == "unknown"
    assert (predictions["reason"].notna() == unknown).all()
    assert (predictions["level"].isna() == unknown).all()
    assert unknown.mean() < 0.5


def trained_before(chain, **datasets):
    """Configuration of a run with the results of the chain as its reference."""
    rest = {key: value for key, value in chain.config.items() if key != "datasets"}
    named = {name: copy.deepcopy(chain.config["datasets"][name]) for name in ("labeled", *datasets)}
    for dataset in named.values():
        dataset |= {key: str(chain.folder / dataset[key]) for key in ("path", "obs") if key in dataset}
    return rest | {"pretrained": str(chain.results), "datasets": named}


def test_a_trained_reference_is_used_by_another_run(chain, tmp_path):
    """No training is repeated, the same cells get the same labels, and another query is mapped alone."""
    result = snakemake(tmp_path, "--cores", "2", config=trained_before(chain))
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert not re.search(r"^(train_\w+|select_genes|split_reference|calibrate_classifier) +\d", said, re.M)
    paths = [
        str(folder / "predictions" / "labeled.parquet") for folder in (chain.results, tmp_path / "results")
    ]
    first, again = map(pd.read_parquet, paths)
    assert list(again["best_label"]) == list(first["best_label"])
    np.testing.assert_allclose(again["probability"], first["probability"], atol=0.01)
    before, now = (of_predictions([path]) for path in paths)
    assert {what: now[what] for what in ("model", "genes", "classifier")} == {
        what: before[what] for what in ("model", "genes", "classifier")
    }
    assert (tmp_path / "results" / "report.html").exists()

    result = snakemake(tmp_path, "--dry-run", config=trained_before(chain, foreign={}))
    said = result.stdout + result.stderr
    assert re.search(r"^map_query +1$", said, re.M)
    assert re.search(r"^fit_query_model +1$", said, re.M)


@pytest.fixture(scope="module")
def packed(chain, tmp_path_factory):
    """The trained reference as one file."""
    folder = tmp_path_factory.mktemp("packed")
    asked = {"results": chain.results, "output": folder, "name": "made-up", "version": "1.2"}
    told = {"license": "CC0-1.0", "organism": "none", "citation": "Nobody, 2026"}
    assert pack([f"--{key}={value}" for key, value in (asked | told).items()]) == 0
    return folder / "made-up-1.2.cellferry.zip"


def test_damaged_results_are_not_packed(chain, packed, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(chain.results, results, ignore=shutil.ignore_patterns("chunks", "store.zarr"))
    scores = results / "evaluation" / "test.json"
    scores.write_text(scores.read_text().replace("accuracy", "Accuracy", 1))
    given = {"results": results, "output": tmp_path, "name": "x", "version": "1", "license": "CC0-1.0"}
    assert pack([f"--{key}={value}" for key, value in given.items()]) == 1
    assert "test.json: was damaged after it had been written" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.zip"))


def test_a_packed_reference_gives_the_labels_of_the_run_itself(chain, packed, tmp_path):
    """To the last digit, with the model fitted to the query's batches: it is built from its arrays."""
    config = trained_before(chain) | {"pretrained": str(packed)}
    result = snakemake(tmp_path, "--cores", "2", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    path = "predictions/labeled.parquet"
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "results" / path), pd.read_parquet(chain.results / path)
    )
    identity = {"name": "made-up", "version": "1.2", "sha256": sha256_of(packed)}
    assert labeled_by(tmp_path / "results" / path) == identity
    labeled = ad.read_h5ad(tmp_path / "results" / "labeled" / "labeled.h5ad")
    assert labeled.uns["cellferry"]["reference"] == identity
    page = (tmp_path / "results" / "report.html").read_text()
    assert all(said in page for said in ("made-up 1.2", "CC0-1.0", identity["sha256"], "Nobody, 2026"))
    assert not list((tmp_path / "results" / "packed").rglob("*.pt"))


def test_a_packed_reference_labels_where_nothing_that_trains_is_installed(chain, packed, tmp_path):
    config = trained_before(chain) | {"pretrained": str(packed), "surgery": {"fit": False}}
    result = snakemake(tmp_path, "--cores", "2", config=config, env=without_torch())
    assert result.returncode == 0, result.stdout + result.stderr
    mapped = [
        pd.concat(map(pd.read_parquet, sorted((results / "mapped" / "labeled").glob("*.parquet"))))
        for results in (tmp_path / "results", chain.results)
    ]
    as_it_is, unfitted = (
        table.filter(like=prefix).to_numpy()
        for table, prefix in zip(mapped, ("latent_", "unfitted_"), strict=True)
    )
    np.testing.assert_array_equal(as_it_is, unfitted)
    predictions = pd.read_parquet(tmp_path / "results" / "predictions" / "labeled.parquet")
    assert np.mean(predictions["best_label"] == chain.labeled.obs["cell_type"].to_numpy()) > 0.9


def test_a_changed_archive_is_refused_before_any_job(chain, packed, tmp_path):
    whole = packed.read_bytes()
    (tmp_path / packed.name).write_bytes(whole[: len(whole) // 2] + b"?" + whole[len(whole) // 2 + 1 :])
    config = trained_before(chain) | {"pretrained": str(tmp_path / packed.name)}
    result = snakemake(tmp_path, "--cores", "2", config=config)
    said = result.stdout + result.stderr
    assert result.returncode == 1
    assert f"pretrained: {tmp_path / packed.name}: is not a packed reference, or was changed after" in said
    assert not (tmp_path / "results").exists()


def test_every_rule_left_a_log_and_a_benchmark(chain):
    rules = {path.name for path in (chain.results / "benchmarks").iterdir()}
    assert rules == {path.name for path in (chain.folder / "logs").iterdir()}
    assert len(rules) == 21
    for path in (chain.results / "benchmarks").rglob("*.tsv"):
        assert float(pd.read_csv(path, sep="\t")["s"].iloc[0]) > 0


def test_nothing_half_written_is_left(chain):
    assert not hidden(chain.results)


def test_memory_is_as_predicted(chain):
    """Within 30 % of the largest job of every rule (here mostly interpreter and libraries)."""
    config = copy.deepcopy(chain.config)
    fill_defaults(config)
    inspected = [read_artifact(Inspection, path) for path in (chain.results / "inspected").glob("*.json")]
    predicted = {}
    for job in expected_jobs(config, inspected):
        predicted[job.rule] = max(predicted.get(job.rule, 0), job.peak_mb(4000))
    used = {cost["rule"]: cost["used"] for cost in costs(chain.results / "benchmarks", chain.folder / "logs")}
    assert set(predicted) == set(used)
    off = {
        rule: (predicted[rule], used[rule]) for rule in used if abs(predicted[rule] / used[rule] - 1) > 0.3
    }
    assert not off
