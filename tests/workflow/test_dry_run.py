"""Every shipped configuration and profile: the whole plan is complete before the first job."""

import os
import re
import resource
import sys
import time
from functools import partial

import pytest
import yaml
from cellferry.resources.rules import RULES, Request
from placeholders import write_earlier_run, write_placeholders
from running import ROOT, command_line, finished, slurm_profile, snakemake
from simulate import simulate_cells

WRITTEN = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
ONLY_CYTOMETRY = re.findall(r"^rule (\w+):", (ROOT / "rules" / "cytometry.smk").read_text(), re.M)
# Snakemake reads profiles/default besides each of them.
PROFILES = [path.name for path in (ROOT / "profiles").iterdir() if path.name != "default"]
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))


def told(result):
    return result.stdout + result.stderr


def plan(run, *arguments, **kwargs):
    result = run("--dry-run", *arguments, **kwargs)
    assert result.returncode == 0, result.stdout + result.stderr
    return plan_of(result)


def plan_of(result):
    """Jobs by rule, from a dry run's table."""
    return dict(re.findall(r"^(\w+) +(\d+)$", told(result), re.M))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_shipped_config_shows_every_rule(run, profile):
    jobs = plan(
        run, "--profile", ROOT / "profiles" / profile, "--configfile", ROOT / "config" / "config.yaml"
    )
    # In that configuration queries have all genes; the model is fitted, trained here, and of RNA.
    optional = {"estimate_missing_genes", "copy_reference_model", *ONLY_CYTOMETRY}
    optional |= {"import_reference", "unpack_reference"}
    # Rules that run on request only are not predicted.
    predicted = {name for name, rule in RULES.items() if rule.memory}
    assert predicted - optional == set(jobs) - {"all", "total"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_example_shows_its_plan(tmp_path, example, profile):
    config = yaml.safe_load(example.read_text(encoding="utf-8"))
    folder = tmp_path / "run"
    folder.mkdir()
    write_placeholders(config, folder)
    result = snakemake(folder, "--dry-run", "--profile", ROOT / "profiles" / profile, "--configfile", example)
    assert result.returncode == 0, told(result)
    jobs = plan_of(result)
    assert {"inspect_dataset", "map_query", "report"} <= set(jobs)
    trained = config.get("pretrained")
    assert ("train_reference_model" in jobs) == (trained is None)
    assert ("import_reference" in jobs) == isinstance(trained, dict)
    assert ("unpack_reference" in jobs) == ("@" in str(trained))
    fits = config.get("surgery", {}).get("fit", config.get("modality") != "cytometry")
    assert ("fit_query_model" in jobs, "copy_reference_model" in jobs) == (fits, not fits)


def test_the_examples_cover_every_modality_role_and_kind_of_reference():
    configs = [yaml.safe_load(example.read_text(encoding="utf-8")) for example in EXAMPLES]
    roles = [dataset["role"] for config in configs for dataset in config["datasets"].values()]
    assert set(roles) == {"reference", "query", "evaluate"}
    assert {config.get("modality", "rna") for config in configs} == {"rna", "cytometry"}
    assert {type(config.get("pretrained")) for config in configs} == {type(None), str, dict}


def test_messages_name_the_dataset_and_the_piece_that_a_job_works_on(run):
    result = run("--dry-run", "--cores", "1", "--configfile", ROOT / "config" / "config.yaml")
    messages = set(re.findall(r"^Job \d+: (.*)$", told(result), re.M))
    assert {
        "Inspecting pbmc_query",
        "Checking that pbmc_reference, pbmc_query can be used",
        "Converting pbmc_query to chunks: job 0, one of 1",
        "Mapping chunk 0 of pbmc_query, one of 1",
        "Mapping chunk 0 of reference, one of 1",
        "Predicting labels for chunk 0 of pbmc_query, one of 1",
        "Training the reference model on pbmc_reference",
    } <= messages
    # Messages of jobs are unique.
    assert len(messages) == int(plan_of(result)["total"]) - 1  # `all` has no message


def test_messages_name_every_wildcard():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    for name, rule in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.M | re.S):
        log = re.search(r"log:\n\s+\"(.*)\"", rule)[1]
        message = re.search(r"message:\n\s+f?\"(.*)\"", rule)[1]
        for wildcard in re.findall(r"{(\w+)}", log):
            assert f"{{wildcards.{wildcard}}}" in message, name


def test_from_the_projects_own_folder_as_the_readme_says():
    result = finished([sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", "-n"], cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "train_reference_model" in result.stdout + result.stderr


def test_a_reference_that_was_not_fetched_ends_the_run_with_the_command_that_does(run):
    (run.folder / "query.csv").write_text("x")
    entry = {"name": "lung", "version": "1.0", "location": "zenodo:1/lung.zip", "sha256": "a" * 64, "size": 9}
    entry |= {"license": "CC0-1.0", "description": "a lung"}
    (run.folder / "refs.yaml").write_text(yaml.safe_dump({"references": [entry]}))
    config = {
        "datasets": {"patients": {"role": "query", "path": "query.csv"}},
        "pretrained": "lung@1.0",
        "references": {"registries": ["refs.yaml"], "cache": "cache"},
    }
    result = run("--dry-run", "--cores", "1", config=config)
    assert result.returncode == 1
    assert "the configuration has 1 problem(s)" in told(result)
    where = f"CONFIG={run.folder}/config.yaml DIRECTORY={run.folder}"
    assert f"run `make fetch REFERENCE=lung@1.0 {where}`" in told(result)


def test_number_of_jobs_is_known_before_anything_runs(run):
    for name in ("reference.csv", "query.csv"):
        (run.folder / name).write_text("x")
    datasets = {
        "atlas": {"role": "reference", "path": "reference.csv", "obs": "obs.csv", "label": "cell_type"},
        "patients": {"role": "query", "path": "query.csv", "chunks": 40},
    }
    (run.folder / "obs.csv").write_text("cell,cell_type\na,b\n")
    jobs = plan(run, "--cores", "1", config={"datasets": datasets})
    # one for the reference, which is small, and for each held-out tenth; 40 for the query
    assert int(jobs["map_query"]) == 1 + 1 + 1 + 40
    assert int(jobs["convert_to_chunks"]) == 2


def test_several_references_are_one_part(run):
    for name in ("atlas.csv", "lung.csv", "query.csv"):
        (run.folder / name).write_text("x")
    (run.folder / "obs.csv").write_text("cell,cell_type\na,b\n")
    reference = {"role": "reference", "obs": "obs.csv", "label": "cell_type"}
    datasets = {
        "atlas": {**reference, "path": "atlas.csv", "chunks": 25},
        "patients": {"role": "query", "path": "query.csv", "chunks": 2},
        "lung": {**reference, "path": "lung.csv", "chunks": 10},
    }
    jobs = plan(run, "--cores", "1", config={"datasets": datasets})
    # 35 for the references together, 4 for each held-out tenth, 2 for the query
    assert int(jobs["map_query"]) == 35 + 4 + 4 + 2
    assert (jobs["split_reference"], jobs["subset_reference"], jobs["merge_h5ad"]) == ("1", "1", "3")


def test_a_dataset_to_evaluate_is_predicted_and_scored(run):
    for name in ("atlas.csv", "lung.csv"):
        (run.folder / name).write_text("x")
    (run.folder / "obs.csv").write_text("cell,cell_type\na,b\n")
    table = {"obs": "obs.csv", "label": "cell_type"}
    datasets = {
        "atlas": {**table, "role": "reference", "path": "atlas.csv", "chunks": 25},
        "lung": {**table, "role": "evaluate", "path": "lung.csv", "chunks": 4},
    }
    jobs = plan(run, "--cores", "1", config={"datasets": datasets})
    # the test part and the dataset
    assert (jobs["evaluate"], jobs["gather_predictions"], jobs["subset_common_genes"]) == ("2", "2", "1")
    assert int(jobs["predict_labels"]) == 3 + 4


def test_queries_of_cytometry_are_written_for_cytometrists(run):
    simulate_cells(60).write_h5ad(run.folder / "cells.h5ad")
    own = {"path": "cells.h5ad", "label": "cell_type", "chunks": 2}
    datasets = {"atlas": {**own, "role": "reference"}, "lung": {**own, "role": "evaluate"}}
    jobs = plan(run, config={"modality": "cytometry", "datasets": datasets})
    assert "write_fcs" not in jobs
    datasets |= {name: {**own, "role": "query"} for name in ("blood", "marrow")}
    jobs = plan(run, config={"modality": "cytometry", "datasets": datasets})
    assert jobs["write_fcs"] == "2"


def test_a_hundred_datasets_are_planned_without_an_explosion(tmp_path):
    names = ["atlas", *(f"query{number}" for number in range(1, 100))]
    datasets = {name: {"role": "query", "path": f"{name}.csv", "chunks": 25} for name in names}
    datasets["atlas"] |= {"role": "reference", "obs": "obs.csv", "label": "cell_type"}
    for name in names:
        (tmp_path / f"{name}.csv").write_text("x")
    (tmp_path / "obs.csv").write_text("cell,cell_type\na,b\n")
    arguments = ["--dry-run", "--profile", ROOT / "profiles" / "slurm"]
    command = command_line(tmp_path, *arguments, config={"datasets": datasets})
    # Takes 20 to 40 CPU seconds; the limit is for jobs or inputs that grow faster than the number of chunks.
    # Not of wall time, which other tests prolong, so in a process of its own, not a fork of the warm one.
    limit = partial(resource.setrlimit, resource.RLIMIT_CPU, (120, 120))
    result = finished(command, env=os.environ, preexec_fn=limit)
    assert result.returncode == 0, told(result)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", told(result), re.M))
    # 25 for every dataset, 3 for each held-out tenth of the reference
    assert int(jobs["map_query"]) == 100 * 25 + 3 + 3
    assert int(jobs["predict_labels"]) == 99 * 25 + 3
    assert int(jobs["convert_to_chunks"]) == 100


def test_a_config_on_the_command_line_replaces_the_shipped_one(run):
    for name in ("reference.csv", "query.csv"):
        (run.folder / name).write_text("x")
    (run.folder / "obs.csv").write_text("cell,cell_type\na,b\n")
    datasets = {
        "atlas": {"role": "reference", "path": "reference.csv", "obs": "obs.csv", "label": "cell_type"},
        "patients": {"role": "query", "path": "query.csv"},
    }
    (run.folder / "config").mkdir()
    (run.folder / "config" / "config.yaml").write_text((ROOT / "config" / "config.yaml").read_text())
    jobs = plan(run, "--cores", "1", config={"datasets": datasets})
    assert jobs["inspect_dataset"] == "2"


@pytest.mark.parametrize("profile", PROFILES)
def test_one_value_can_be_changed_on_the_command_line(profile):
    command = ["--profile", f"profiles/{profile}", "-n", "--config", "seed=3"]
    result = finished([sys.executable, "-m", "snakemake", *command], cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_file_overwritten_in_a_folder_is_noticed(run):
    folder = run.folder / "query"
    folder.mkdir()
    (folder / "matrix.mtx.gz").write_text("%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 3\n")
    (folder / "features.tsv.gz").write_text("ENSG00000000001\tGENE0\tGene Expression\n")
    (folder / "barcodes.tsv.gz").write_text("cell1\n")
    (run.folder / "reference.csv").write_text("x")
    (run.folder / "obs.csv").write_text("cell,cell_type\na,b\n")
    datasets = {
        "atlas": {"role": "reference", "path": "reference.csv", "obs": "obs.csv", "label": "cell_type"},
        "patients": {"role": "query", "path": "query"},
    }
    target = "results/inspected/patients.json"
    assert run(target, "--cores", "1", config={"datasets": datasets}).returncode == 0
    assert "Nothing to be done" in told(run(target, "-n", config={"datasets": datasets}))
    time.sleep(1.1)  # times of files are compared to the second
    with open(folder / "matrix.mtx.gz", "w") as file:
        file.write("y")
    assert "Updated input files: query/matrix.mtx.gz" in told(
        run(target, "-n", config={"datasets": datasets})
    )


ON_SLURM = {name: rule.slurm for name, rule in RULES.items() if rule.slurm}
GPU_RULES = {rule for rule, request in ON_SLURM.items() if request.gpu}


def test_every_rule_has_a_request_and_those_that_are_jobs_one_for_slurm():
    assert sorted(re.findall(r"^rule (\w+):", WRITTEN, re.M)) == sorted(RULES)
    rules = re.split(r"^rule ", WRITTEN, flags=re.M)
    local = {rule.split(":")[0] for rule in rules if "localrule: True" in rule}
    assert local == set(RULES) - set(ON_SLURM)


def among(rule):
    """Number of a run's rules that share a SLURM job with a rule, itself included."""
    groups = slurm_profile()["groups"]
    others = [name for name in groups if groups[name] == groups.get(rule) and name not in ONLY_CYTOMETRY]
    return max(1, len(others))


def test_slurm_profile_requests_what_the_table_of_rules_holds():
    profile = slurm_profile()
    asked = {}
    for rule, resources in profile["set-resources"].items():
        mem_mb = re.fullmatch(r"min\((\d+) \* attempt, 180000\)", resources["mem_mb"])
        runtime = re.fullmatch(rf"min\((\d+) \* attempt, {2880 // among(rule)}\)", resources["runtime"])
        threads = profile["set-threads"].get(rule, RULES[rule].local.threads)
        asked[rule] = Request(int(mem_mb[1]), int(runtime[1]), threads, gpu=bool(resources.get("gpu")))
    assert asked == ON_SLURM
    # Every rule states whether it computes on a GPU.
    assert all("gpu" in resources for resources in profile["set-resources"].values())
    assert set(profile["set-threads"]) <= set(ON_SLURM)


def test_the_top_of_the_slurm_profile_is_all_that_a_site_fills_in():
    site = {
        "account": 12345,
        "cpu_partition": "all",
        "gpu_partition": "gpu-long",
        "gpu_kind": "a100",
        "max_mem_mb": 64000,
        "max_minutes": 600,
        "scratch": "/scratch/$USER",
    }
    profile = slurm_profile(**site)
    everywhere = profile["default-resources"]
    # Names are in quotes: Snakemake would take them for numbers and functions of Python.
    assert everywhere["slurm_account"] == "'12345'"
    assert everywhere["slurm_partition"] == "'all'"
    assert everywhere["scratch"] == "'/scratch/$USER'"
    for rule, resources in profile["set-resources"].items():
        assert resources["mem_mb"].endswith(", 64000)"), rule
        # The minutes of rules in one job add up.
        assert resources["runtime"].endswith(f", {600 // among(rule)})"), rule
        assert resources.get("slurm_partition") == ("'gpu-long'" if rule in GPU_RULES else None), rule
        assert resources.get("gpu_model") == ("'a100'" if rule in GPU_RULES else None), rule


@pytest.mark.parametrize("request_memory", [True, False, "false"])
def test_memory_that_slurm_is_not_asked_for_stays_the_budget(request_memory):
    profile = slurm_profile(request_memory=request_memory)
    assert ("mem_mb_per_cpu" in profile["default-resources"]) == (request_memory is not True)
    assert profile["set-resources"] == slurm_profile()["set-resources"]


def test_without_gpus_nothing_asks_for_one():
    for resources in slurm_profile(gpus=0)["set-resources"].values():
        assert set(resources) == {"mem_mb", "runtime", "gpu"}
        assert resources["gpu"] == 0


def test_rules_have_log_benchmark_and_script_of_their_own_name():
    for path in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            name = rule.split(":")[0]
            assert f'"logs/{name}/' in rule, name
            assert f'"results/benchmarks/{name}/' in rule, name
            assert f'"../scripts/{name}.py"' in rule, name
            assert f'threads: threads_of("{name}")' in rule, name
            assert f'        **resources_of("{name}"),\n' in rule, name
            assert "retries:" not in rule, name
            assert list((ROOT / "tests" / "scripts").glob(f"test_{name}.py")), name


def test_what_a_killed_job_left_in_an_earlier_run_is_no_chunk_of_it(run):
    simulate_cells(60).write_h5ad(run.folder / "cells.h5ad")
    earlier = run.folder / "earlier" / "results"
    write_earlier_run(earlier)
    (earlier / "mapped" / "reference" / ".12345678.1.parquet").touch()
    patients = {"role": "query", "path": "cells.h5ad", "chunks": 2}
    jobs = plan(run, config={"datasets": {"patients": patients}, "pretrained": "./earlier/results/"})
    assert jobs["map_query"] == "2"
    assert jobs["estimate_missing_genes"] == "1"
    assert "train_reference_model" not in jobs
