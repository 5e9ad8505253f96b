"""The whole workflow on a SLURM, as a user starts it: shipped profile, real cells, conda."""

import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.json_files import read_artifact
from cluster import GPU_RULES, GROUPS, Run
from running import ROOT

LOCAL_RULES = ("all", "check_datasets", "demo_data", "gather_scores")


@pytest.fixture(scope="module")
def chain(cluster, launcher, tmp_path_factory):
    """A finished run of the demo, started from a login node's environment with a conda on the PATH."""
    folder = tmp_path_factory.mktemp("chain")
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    # Fewer epochs than the demo: only the end of the run is tested.
    config["model"] = {"epochs": 100}
    run = Run(
        cluster,
        folder,
        config,
        launcher=launcher,
        **{"slurm-keep-successful-logs": True},
    )
    code, said = run.finish()
    assert code == 0, said
    return SimpleNamespace(run=run, said=said, jobs=cluster.accounted(run), folder=folder)


def test_the_labels_are_right(chain):
    scores = read_artifact(Evaluation, chain.folder / "results" / "evaluation" / "pbmc_query.json")
    assert scores.forced.accuracy > 0.75
    assert "pbmc_query: accuracy" in chain.said


def test_the_labels_are_those_of_before(chain):
    """The demo's labels do not change between versions; processors differ in the last digits."""
    before = pd.read_csv(Path(__file__).with_name("demo_labels.csv"), index_col="cell")
    now = pd.read_csv(chain.folder / "results" / "predictions" / "pbmc_query.csv.gz", index_col="cell")
    assert now.index.equals(before.index)
    assert (now["best_label"] == before["best_label"]).mean() > 0.97
    assert (now["label"] == before["label"]).mean() > 0.95
    assert (now["probability"] - before["probability"]).abs().mean() < 0.02


def test_every_rule_is_in_jobs_of_its_own_or_of_its_group_but_the_local_ones(chain):
    jobs = re.findall(r"^(\w+) +(\d+)$", chain.said.partition("total ")[0], re.M)
    planned = {rule: int(count) for rule, count in jobs if rule not in LOCAL_RULES}
    done = {rule: sum(rule in job["rules"] for job in chain.jobs) for rule in planned}
    assert done == planned
    assert {job["State"] for job in chain.jobs} == {"COMPLETED"}
    for job in chain.jobs:
        (group,) = {GROUPS.get(rule) for rule in job["rules"]}
        together = {rule for rule in planned if group and GROUPS.get(rule) == group}
        assert set(job["rules"]) == (together or {job["rules"][0]})


def test_jobs_ask_for_what_the_profile_says(chain):
    profile = chain.run.profile

    def amounts(job, name):
        """Request of each rule of a job on the first attempt."""
        resources = [profile["set-resources"][rule][name] for rule in job["rules"]]
        return [int(re.match(r"min\((\d+) \* attempt", amount)[1]) for amount in resources]

    for job in chain.jobs:
        threads = [profile["set-threads"].get(rule, 1) for rule in job["rules"]]
        assert float(job["ReqMem"].rstrip("M")) == max(amounts(job, "mem_mb")), job
        assert int(job["TimelimitRaw"]) == sum(amounts(job, "runtime")), job
        assert int(job["ReqCPUS"]) == max(threads), job


def test_gpu_rules_and_they_alone_get_a_gpu_in_its_partition(chain):
    for job in chain.jobs:
        on_gpu = job["rules"][0] in GPU_RULES
        assert job["Partition"] == ("gpu" if on_gpu else "cpu"), job
        assert ("gres/gpu=1" in job["AllocTRES"]) == on_gpu, job


def test_logs_are_where_the_readme_says(chain):
    for job in chain.jobs:
        for rule in job["rules"]:
            assert list((chain.folder / "logs" / rule).rglob("*.log")), rule
        kind = "group" if job["rules"][0] in GROUPS else "rule"
        name = job["Comment"].partition("_wildcards_")[0].removeprefix("rule_")
        logs = chain.folder / "logs" / "slurm" / f"{kind}_{name}"
        assert list(logs.rglob(f"{job['JobID']}.log")), job


def test_each_script_ran_in_its_rules_environment(chain, launcher):
    made = {path.name for path in (launcher.folder / "conda").iterdir() if path.is_dir()}
    assert len(made) == 5
    said = chain.said + "".join(path.read_text() for path in (chain.folder / "logs" / "slurm").rglob("*.log"))
    assert set(re.findall(r"Activating conda environment: \S*/conda/(\w+)", said)) == made
