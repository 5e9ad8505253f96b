"""plan: jobs of every rule, their needs, and requests that are too small."""

import re

import pytest
from cellferry.artifacts.json_files import write_artifact
from cellferry.config.schema import fill_defaults
from cellferry.resources.expected_jobs import Job, expected_jobs
from cellferry.resources.memory import MEMORY_MODELS, sums_mb
from cellferry.resources.plan import Asked, Shortage, plan
from cellferry.resources.plan_table import as_table
from example_artifacts import hierarchy_of, inspection_of, reference_labels_of
from plan import print_plan

ONLY_CYTOMETRY = ("select_markers", "compare_panels", "write_fcs")
TRAINED = reference_labels_of(
    hierarchy_of([f"label {n:02}" for n in range(20)]), {f"label {n:02}": 5000 for n in range(20)}
)
"""Labels of an earlier run's reference."""
ENOUGH = Asked(mem_mb=[4000, 8000], runtime=[60, 120])


def about(name, role, **changes):
    found = {"cells": 100_000, "genes": 20_000, "label": "type", "values_per_cell": 2000.0, "n_labels": 20}
    return inspection_of(name, role, **found | {"n_batches": 1} | changes)


@pytest.fixture
def config():
    config = {
        "datasets": {
            "atlas": {"role": "reference", "path": "a.h5ad", "label": "type", "chunks": 25},
            "blood": {"role": "query", "path": "b.h5ad", "chunks": 7},
        }
    }
    fill_defaults(config)
    return config


def jobs(config, **query):
    return list(expected_jobs(config, [about("blood", "query", **query), about("atlas", "reference")]))


def largest(found, rule, mem_mb=4000):
    return max(job.peak_mb(mem_mb) for job in found if job.rule == rule)


def test_jobs_are_counted_per_chunk(config):
    counted = {}
    for job in jobs(config):
        counted[job.rule] = counted.get(job.rule, 0) + job.jobs
    assert counted["convert_to_chunks"] == 2
    assert counted["map_query"] == 25 + 3 + 3 + 7
    assert counted["predict_labels"] == 3 + 7
    assert counted["calibrate_classifier"] == counted["leave_labels_out"] == 1
    assert counted["fit_query_model"] == 3


def test_several_references_are_one_to_most_rules(config):
    config["datasets"]["lung"] = {"role": "reference", "path": "c.h5ad", "label": "type", "chunks": 10}
    fill_defaults(config)
    found = [about("blood", "query"), about("atlas", "reference"), about("lung", "reference", cells=50_000)]
    (split,) = (job for job in expected_jobs(config, found) if job.rule == "split_reference")
    assert split.cells == 150_000
    mapped = sum(job.jobs for job in expected_jobs(config, found) if job.rule == "map_query")
    assert mapped == 25 + 10 + 4 + 4 + 7


def test_of_a_dataset_to_evaluate_few_cells_are_mapped(config):
    config["datasets"]["lung"] = {"role": "evaluate", "path": "c.h5ad", "label": "type", "max_cells": 1000}
    fill_defaults(config)
    found = [about("blood", "query"), about("atlas", "reference")]
    found.append(about("lung", "evaluate", unlabeled_cells=40_000))
    by_rule = {}
    for job in expected_jobs(config, found):
        by_rule.setdefault(job.rule, []).append(job)
    assert [job.cells for job in by_rule["subset_common_genes"]] == [100_000, 100_000]
    assert by_rule["predict_labels"][-1].jobs * by_rule["predict_labels"][-1].cells == 1000
    assert [job.cells for job in by_rule["evaluate"]] == [10_000, 100_000, 1000]
    assert by_rule["report"][0].held_cells == 80_000 + 100_000


def test_memory_does_not_grow_with_cells_beyond_a_few_bytes_each(config):
    few, many = jobs(config), jobs(config, cells=10_100_000)
    for rule in {job.rule for job in few}:
        growth = (largest(many, rule) - largest(few, rule)) * 2**20 / 10**7
        assert growth <= 60, rule


def test_a_head_that_is_switched_off_costs_nothing(config):
    every = jobs(config)
    config["prediction"]["heads"] = ["neighbors"]
    one = jobs(config)
    for rule in ("train_classifier", "calibrate_classifier"):
        assert largest(one, rule) < largest(every, rule)
    seconds = [job.seconds for found in (one, every) for job in found if job.rule == "train_classifier"]
    assert seconds[0] < seconds[1] / 2


def test_scanvis_classifier_counts_where_there_is_one(config):
    without = largest(jobs(config), "calibrate_classifier")
    config["model"]["type"] = "scanvi"
    assert largest(jobs(config), "calibrate_classifier") > without


def test_heads_of_cytometry_count_there(config):
    def classifier(found):
        (job,) = (job for job in found if job.rule == "train_classifier")
        return job

    on_genes = classifier(jobs(config))
    config["modality"] = "cytometry"
    on_markers = classifier(jobs(config))
    assert on_markers.cells == 2 * on_genes.cells
    assert on_markers.more_mb > on_genes.more_mb
    all_heads = largest(jobs(config), "calibrate_classifier")
    config["prediction"]["heads"] = ["xgboost", "cytovi"]
    assert classifier(jobs(config)).more_mb == on_genes.more_mb
    assert largest(jobs(config), "calibrate_classifier") < all_heads


def test_less_memory_makes_smaller_blocks_and_a_lower_peak(config):
    assert largest(jobs(config), "convert_to_chunks", 590) < largest(jobs(config), "convert_to_chunks", 4000)


def test_sorting_a_file_takes_larger_blocks(config):
    in_order, sorted_first = (
        largest(jobs(config, in_order=in_order), "convert_to_chunks") for in_order in (True, False)
    )
    assert sorted_first > in_order + 1000


def test_what_does_not_fit_is_marked():
    job = Job("split_reference", held_cells=10**9)
    needed = job.peak_mb(4000) + 250
    (line,) = plan([job], {"split_reference": ENOUGH})
    assert line.shortages == [Shortage("mem_mb", [4000, 8000], needed, fits_on=None)]
    (line,) = plan([Job("merge_h5ad")], {"merge_h5ad": Asked(mem_mb=[300, 600], runtime=[60, 120])})
    (shortage,) = line.shortages
    assert (shortage.resource, shortage.requested, shortage.fits_on) == ("mem_mb", [300, 600], 2)
    (line,) = plan([Job("merge_h5ad")], {"merge_h5ad": ENOUGH})
    assert not line.shortages


def test_what_takes_too_long_is_marked(monkeypatch):
    slow = Job("train_reference_model", cells=MEMORY_MODELS["train_reference_model"].cells_per_s * 5400)
    (line,) = plan([slow], {"train_reference_model": ENOUGH})
    assert [(shortage.resource, shortage.fits_on) for shortage in line.shortages] == [("runtime", 2)]


def said_of(lines, *, free_mb=10**6, found=()):
    return as_table(lines, datasets=list(found) or [about("blood", "query")], free_mb=free_mb, note="")


def test_the_table_says_when_the_disk_is_too_small():
    lines = plan([Job("merge_h5ad", disk_mb=5000)], {"merge_h5ad": ENOUGH})
    said = said_of(lines, free_mb=1024)
    assert "DOES NOT FIT (1):\n  disk: the results take 4.9 GB, but 1.0 GB are free here." in said
    assert "snakemake --directory" in said
    assert "DOES NOT" not in said_of(lines)
    assert "Everything fits; 976.6 GB of disk are free here." in said_of(lines)


def test_what_does_not_fit_stands_at_the_end_with_a_remedy():
    few = Asked(mem_mb=[300, 600], runtime=[60, 120])
    jobs = [
        Job("split_reference", held_cells=10**9),
        Job("merge_h5ad"),
        Job("map_query", cells=MEMORY_MODELS["map_query"].cells_per_s * 36_000),
    ]
    lines = plan(jobs, {"split_reference": ENOUGH, "merge_h5ad": few, "map_query": ENOUGH})
    said = said_of(lines)
    needed = jobs[0].peak_mb(4000) + 250
    assert re.search(r"^split_reference .* TOO LITTLE$", said, re.M)
    assert re.search(r"^merge_h5ad .* later$", said, re.M)
    table, _, wrong = said.partition("DOES NOT FIT (2):")
    assert "merge_h5ad: mem_mb=300 is too low, attempt 2 has enough." in table
    assert f"split_reference: mem_mb is at most 8000, but {needed} is needed." in wrong
    assert f"set mem_mb of split_reference (and max_mem_mb) to {needed} or more" in wrong
    assert "map_query: runtime is at most 120" in wrong
    assert "Raise datasets.NAME.chunks" in wrong


def test_the_plan_of_huge_datasets_is_at_most_a_hundred_columns_wide(config):
    found = [
        about("a" * 60, "query", cells=123_456_789),
        about("atlas", "reference", cells=98_765_432, cells_kept=1_234_567),
    ]
    config["datasets"]["a" * 60] = config["datasets"].pop("blood")
    lines = plan(expected_jobs(config, found), dict.fromkeys(MEMORY_MODELS, ENOUGH))
    said = said_of(lines, free_mb=1, found=found)
    assert max(map(len, said.splitlines())) <= 100
    assert "1,234,567 of 98,765,432" in said
    assert re.search(r"^all +\d+ +4,000 MB ", said, re.M)


def test_every_rule_has_a_line(config, tmp_path, capsys):
    paths = []
    for name, role in (("atlas", "reference"), ("blood", "query")):
        paths.append(str(tmp_path / f"{name}.json"))
        write_artifact(about(name, role), paths[-1])
    asked = {rule: {"mem_mb": [4000, 8000], "runtime": [600, 1200]} for rule in MEMORY_MODELS}
    print_plan(paths, config, asked, trained_labels=None)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    for rule in set(MEMORY_MODELS) - {
        "demo_data",
        "estimate_missing_genes",
        "copy_reference_model",
        "import_reference",
        "unpack_reference",
        *ONLY_CYTOMETRY,
    }:
        assert re.search(rf"^{rule} +\d+ ", said, re.M), rule


def test_genes_that_queries_may_lack_are_a_job_of_each(config):
    config["genes"]["retrain_on_common"] = False
    assert [job.jobs for job in jobs(config) if job.rule == "estimate_missing_genes"] == [1]


def test_files_for_cytometrists_are_a_job_of_each_query(config):
    assert "write_fcs" not in {job.rule for job in jobs(config)}
    config["modality"] = "cytometry"
    config["datasets"]["lung"] = {"role": "evaluate", "path": "c.fcs", "label": "type"}
    fill_defaults(config)
    found = [about("blood", "query", genes=40), about("atlas", "reference", genes=40)]
    found.append(about("lung", "evaluate", genes=40))
    (written,) = (job for job in expected_jobs(config, found) if job.rule == "write_fcs")
    assert written.cells == 100_000
    # 40 channels, two labels, their probability and p-value, and 30 latents, in float32
    assert written.disk_mb == pytest.approx(100_000 * 74 * 4 / 1024**2)


def test_a_model_of_others_is_taken_in_and_its_classifiers_trained(config):
    del config["datasets"]["atlas"]
    config["pretrained"] = {"model": "model", "latents": "cells.h5ad", "label": "type"}
    fill_defaults(config)
    found = list(expected_jobs(config, [about("blood", "query")], TRAINED))
    rules = {job.rule for job in found}
    assert {"import_reference", "train_classifier", "calibrate_classifier", "leave_labels_out"} <= rules
    assert not rules & {"split_reference", "select_genes", "train_reference_model", "estimate_missing_genes"}
    (imported,) = (job for job in found if job.rule == "import_reference")
    assert imported.held_cells == 100_000


def test_a_packed_reference_is_unpacked_and_taken_as_it_is(config):
    del config["datasets"]["atlas"]
    config |= {"pretrained": "blood-1.cellferry.zip", "surgery": {"fit": False}}
    fill_defaults(config)
    found = [job.rule for job in expected_jobs(config, [about("blood", "query")], TRAINED)]
    assert (found.count("unpack_reference"), found.count("copy_reference_model")) == (1, 1)
    assert not {"fit_query_model", "train_reference_model", "import_reference"} & {*found}


def test_nothing_is_trained_where_an_earlier_run_has_done_it(config, tmp_path, capsys):
    del config["datasets"]["atlas"]
    write_artifact(about("blood", "query"), tmp_path / "blood.json")
    write_artifact(TRAINED, tmp_path / "labels.json")
    asked = {rule: {"mem_mb": [4000, 8000], "runtime": [600, 1200]} for rule in MEMORY_MODELS}
    labels = str(tmp_path / "labels.json")
    print_plan([str(tmp_path / "blood.json")], config, asked, trained_labels=labels)
    said = capsys.readouterr().out
    for rule in ("subset_common_genes", "map_query", "estimate_missing_genes", "predict_labels", "report"):
        assert re.search(rf"^{rule} +\d+ ", said, re.M), rule
    for rule in ("split_reference", "select_genes", "train_reference_model", "train_classifier", "calibrate"):
        assert rule not in said
    # The classifiers of 80,000 training cells are in memory.
    found = expected_jobs(config, [about("blood", "query")], TRAINED)
    assert largest(found, "predict_labels") > MEMORY_MODELS["predict_labels"].fixed_mb + 15


def test_sums_of_genes_are_held_where_they_are_made_and_read(config):
    config["genes"]["n_variable"] = 4000
    rules = ("predict_labels", "gather_predictions")

    def peaks(n_labels, **reference):
        found = [about("blood", "query"), about("atlas", "reference", n_labels=n_labels, **reference)]
        found = list(expected_jobs(config, found))
        return [largest(found, rule) for rule in rules]

    few, many = peaks(20), peaks(2000)
    assert many[1] - few[1] == 2 * (sums_mb(n_labels=2000, n_genes=4000) - sums_mb(n_labels=20, n_genes=4000))
    assert many[0] - few[0] >= sums_mb(n_labels=1980, n_genes=4000)
    # A query of fewer genes has fewer to sum.
    assert peaks(2000, genes=1000)[1] - few[1] < sums_mb(n_labels=2000, n_genes=4000)


def test_a_model_of_others_comes_without_sums_of_genes(config):
    del config["datasets"]["atlas"]
    of_run, of_model = (
        largest(expected_jobs(config, [about("blood", "query")], TRAINED), "gather_predictions")
        for config["pretrained"] in ("results", {"model": "m", "latents": "l", "label": "type"})
    )
    assert of_run - of_model == 2 * sums_mb(n_labels=20, n_genes=4000)


def test_labeled_files_without_counts_take_little_disk(config):
    disks = {}
    for config["output"]["labeled"] in ("all", "obs"):
        found = [job for job in jobs(config) if job.rule == "gather_predictions"]
        disks[config["output"]["labeled"]] = sum(job.disk_mb for job in found)
        assert all(job.peak_mb(2000) <= 2000 - 250 for job in found)
    assert disks["obs"] == pytest.approx(100_000 * (1 + 0.1) * (4 * 30 + 200) / 1024**2)
    assert disks["all"] > 5 * disks["obs"]


def test_a_file_that_must_be_sorted_needs_disk_for_it(config):
    disks = [
        max(job.disk_mb for job in jobs(config, in_order=in_order) if job.rule == "convert_to_chunks")
        for in_order in (True, False)
    ]
    assert disks[1] > 2 * disks[0]
