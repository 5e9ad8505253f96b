"""`plan`: jobs, memory, disk and time of every rule, and mismatches, before submission."""

import re

import pytest
from cellferry.core.digests import RECORDS
from running import ROOT
from simulate import simulate_cells

# Snakemake reads profiles/default besides each of them.
PROFILES = [path.name for path in (ROOT / "profiles").iterdir() if path.name != "default"]
CONFIGS = sorted((ROOT / "tests" / "configs").glob("*.yaml"))
# Made before the plan.
BEFORE = {"demo_data", "all", "total"}


def plan(run, *arguments, profile="slurm", **kwargs):
    """Output of `make plan`, and its lines by rule."""
    where = [
        "plan",
        "--forcerun",
        "plan",
        "--profile",
        ROOT / "profiles" / profile,
        "--executor",
        "local",
        "--cores",
        "1",
    ]
    result = run(*where, *arguments, **kwargs)
    assert result.returncode == 0, result.stdout + result.stderr
    table = f"\n{result.stdout}".partition("\nrule ")[2]
    lines = table.partition("\n\n")[0].splitlines()[1:]
    return result.stdout, {line.split()[0]: line for line in lines}


def dry_run(run, *arguments, **kwargs):
    result = run("--dry-run", "--cores", "1", *arguments, **kwargs)
    assert result.returncode == 0, result.stdout + result.stderr
    return dict(re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.M))


@pytest.fixture
def datasets(run):
    simulate_cells(300, batches=("a", "b")).write_h5ad(run.folder / "atlas.h5ad")
    simulate_cells(100).write_h5ad(run.folder / "blood.h5ad")
    return {
        "atlas": {"role": "reference", "path": "atlas.h5ad", "label": "cell_type", "batch": "sample"},
        "blood": {"role": "query", "path": "blood.h5ad", "chunks": 7},
        "scored": {"role": "query", "path": "blood.h5ad", "label": "cell_type", "chunks": 2},
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_the_shipped_config_fits_and_nothing_but_headers_is_read(run, profile):
    said, lines = plan(run, "--configfile", ROOT / "config" / "config.yaml", profile=profile)
    assert "DOES NOT FIT" not in said
    assert {"convert_to_chunks", "train_reference_model", "report"} <= set(lines)
    assert {path.name for path in (run.folder / "results").iterdir()} <= {
        "inspected", "checked", "datasets.tsv", "benchmarks", RECORDS,
    }  # fmt: skip


def test_it_counts_the_jobs_that_will_run(run, datasets):
    jobs = dry_run(run, config={"datasets": datasets})
    _, lines = plan(run, config={"datasets": datasets})
    assert {rule: line.split()[1] for rule, line in lines.items() if rule != "all"} == {
        rule: n for rule, n in jobs.items() if rule not in BEFORE
    }


def test_it_is_said_again_when_nothing_has_changed(run, datasets):
    first, _ = plan(run, config={"datasets": datasets})
    second, lines = plan(run, config={"datasets": datasets})
    assert "train_reference_model" in lines
    assert second.splitlines()[-20:-2] == first.splitlines()[-20:-2]  # less the disk that is free
    assert "--forcerun plan" in (ROOT / "Makefile").read_text()


def test_a_rule_that_does_not_fit_is_marked(run, datasets):
    arguments = ["--set-resources", "map_query:mem_mb=400"]
    said, lines = plan(run, *arguments, profile="local", config={"datasets": datasets})
    assert lines["map_query"].endswith("TOO LITTLE")
    assert said.count("TOO LITTLE") == 1
    assert re.search(r"DOES NOT FIT \(1\):\n  map_query: mem_mb is at most 400, but \d+ is needed\.", said)


def test_a_mistake_in_the_input_is_told_instead(run, datasets):
    datasets["blood"]["batch"] = "donor"
    (run.folder / "blood.csv").write_text("x")
    result = run("plan", "--cores", "1", config={"datasets": datasets})
    assert result.returncode == 1
    assert "no obs column 'donor'" in result.stdout + result.stderr


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_real_pairs_fit_a_small_node(run, config, test_data):
    (run.folder / "data").symlink_to(test_data)
    said, lines = plan(run, "--configfile", config)
    assert "DOES NOT FIT" not in said
    assert int(lines["map_query"].split()[1]) > 1
