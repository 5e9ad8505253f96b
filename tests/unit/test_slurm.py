"""Requests to SLURM: resources of nodes, outages, and problems with remedies."""

import re
from types import SimpleNamespace

import pytest
from cellferry.cluster import backoff, checks, slurm
from cellferry.cluster import request as requests
from cellferry.cluster.checks import account_problems, request_problems
from cellferry.cluster.request import Node, Request
from cellferry.errors import InputError
from snakemake_executor_plugin_slurm.submit_string import get_submit_command

NODES = [
    Node("cpu", 64_000, 64, {}, 2880),
    Node("cpu", 128_000, 32, {}, 2880),
    Node("gpu", 64_000, 16, {"a100": 2, "v100": 1}, 1440),
]


class Dot(dict):
    """A job's resources, by name or after a dot."""

    __getattr__ = dict.__getitem__


def request(**changes):
    asked = {
        "rule": "map_query",
        "attempt": 1,
        "account": "lab",
        "partition": "cpu",
        "mem_mb": 8000,
        "cpus": 4,
        "minutes": 60,
        "gpus": 0,
        "gpu_kind": "",
    }
    return Request(**asked | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mem_mb": 128_000, "cpus": 32, "minutes": 2880},
        {"partition": "gpu", "gpus": 2, "gpu_kind": "a100"},
        {"partition": "gpu,cpu", "gpus": 1},
        {"partition": "gpu", "gpus": 1, "gpu_kind": "v100"},
        {"partition": ""},
    ],
)
def test_what_a_node_has_is_granted(changes):
    assert request_problems([request(**changes)], NODES) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"partition": "main"}, "there is no partition 'main'; this cluster has cpu, gpu"),
        ({"mem_mb": 200_000}, "requests 200000 MB, but the largest node of partition cpu has 128000"),
        ({"mem_mb": 200_000, "attempt": 3}, "requests 200000 MB on attempt 3"),
        ({"cpus": 65}, "requests 65 CPUs"),
        ({"mem_mb": 128_000, "cpus": 64}, "no single node of partition cpu has all three"),
        ({"minutes": 9000}, "requests 9000 minutes, but partition cpu allows 2880"),
        ({"gpus": 1}, "requests gpu:1, but partition cpu has no GPU"),
        (
            {"partition": "gpu", "gpus": 1, "gpu_kind": "h100"},
            "requests h100:1, but partition gpu has a100:2",
        ),
        # The large node has no GPU, and the node with a GPU has less memory.
        (
            {"partition": "gpu,cpu", "gpus": 1, "mem_mb": 100_000},
            "node of partition gpu,cpu has 64000",
        ),
    ],
)
def test_what_no_node_has_is_told_with_the_remedy(changes, said):
    (problem,) = request_problems([request(**changes)], NODES)
    assert problem.where == "map_query"
    assert said in problem.what
    assert "profiles/slurm/config.yaml" in problem.remedy


@pytest.mark.parametrize("partition", ["cpu", ""])
def test_a_cluster_that_does_not_know_its_memory(partition):
    nodes = [Node("cpu", slurm.UNKNOWN_MEM_MB, 64, {}, 2880)] * 2
    requests = [request(partition=partition), request(partition=partition, rule="report", mem_mb=2000)]
    (problem,) = request_problems(requests, nodes)
    assert problem.where == "map_query, report"
    assert problem.what.startswith("requests memory, but the nodes of ")
    assert problem.remedy.startswith("Set request_memory at the top of profiles/slurm/config.yaml to false")
    assert "max_mem_mb" not in str(problem)
    assert request_problems([request(partition=partition, mem_mb=0)], nodes) == []
    # Jobs can run on a node whose memory SLURM lists.
    assert request_problems([request()], [*nodes, Node("cpu", 8000, 4, {}, 2880)]) == []


@pytest.mark.parametrize(
    ("resources", "asked", "flag"),
    [
        ({"mem_mb": 2000}, 2000, "--mem 2000"),
        ({"mem_mb": 2000, "mem_mb_per_cpu": "0"}, 0, "--mem-per-cpu 0"),
        ({"mem_mb": 2000, "mem_mb_per_cpu": 0}, 2000, "--mem 2000"),
        ({"mem_mb": 2000, "mem_mb_per_cpu": 700}, 2800, "--mem-per-cpu 700"),
        ({"mem_mb": 0}, 0, None),
    ],
)
def test_memory_is_asked_for_as_the_plugin_does(resources, asked, flag):
    assert requests.memory_request({"_cores": 4, **resources}) == asked
    named = {"run_uuid": "1", "slurm_logfile": "log", "comment_str": "", "account": "", "partition": ""}
    job = SimpleNamespace(resources=Dot(resources), threads=4, is_group=lambda: False)
    command = get_submit_command(job, {**named, "workdir": None})
    assert re.findall(r"--mem\S* \d+", command) == ([flag] if flag else [])


def test_a_problem_of_several_rules_is_told_once():
    requests = [request(partition="main"), request(rule="report", partition="main")]
    (problem,) = request_problems(requests, NODES)
    assert problem.where == "map_query, report"
    requests += [request(rule=rule, partition="main") for rule in ("a", "b")]
    (problem,) = request_problems(requests, NODES)
    assert problem.where == "a, b, map_query, report"
    (problem,) = request_problems(requests, NODES, max_rules=3)
    assert problem.where == "a, b and 2 more rules"


def test_a_group_asks_for_the_sum_of_its_minutes_and_for_the_most_of_the_rest():
    split = request(rule="split", minutes=30, mem_mb=2000, cpus=1, texts=(("slurm_partition", "cpu"),))
    genes = request(rule="genes", minutes=2000, mem_mb=9000, cpus=8, texts=(("slurm_partition", "cpu"),))
    markers = request(rule="markers", minutes=900, mem_mb=500, cpus=2)
    asked = Request.of_group("cells", [[split], [genes, markers]])
    assert (asked.minutes, asked.mem_mb, asked.cpus) == (2030, 9500, 10)
    assert (asked.account, asked.partition, asked.differing) == ("lab", "cpu", ())
    assert request_problems([asked], NODES) == []
    asked = Request.of_group("cells", [[split], [genes], [markers]])
    (problem,) = request_problems([asked], NODES)
    assert problem.where == "cells (split, genes, markers)"
    assert problem.what == "requests 2930 minutes together, but partition cpu allows 2880"
    assert "remove these rules from groups there" in problem.remedy
    assert Request.of_group("cells", [[genes]]) == genes


def test_rules_of_a_group_that_ask_for_different_things_are_told():
    split = request(rule="split", texts=(("qos", "short"), ("slurm_partition", "cpu")))
    train = request(
        rule="train", partition="gpu", gpus=1, texts=(("gpu_model", "a100"), ("slurm_partition", "gpu"))
    )
    (problem,) = request_problems([Request.of_group("cells", [[split], [train]])], NODES)
    assert problem.where == "cells (split, train)"
    assert problem.what.endswith("differ in their requests (slurm_partition: cpu, gpu)")
    assert problem.remedy.endswith("remove differing rules from groups in profiles/slurm/config.yaml")


def test_words_of_a_job_are_those_that_slurm_is_told():
    resources = {"mem": "2 GB", "tmpdir": "/tmp", "slurm_partition": "cpu", "mem_mb": 2000, "qos": "short"}
    assert requests.texts_of(resources) == (("qos", "short"), ("slurm_partition", "cpu"))


def test_accounts():
    assert account_problems({"lab", "Lab", "lab,lab"}, {"lab"}) == []
    assert account_problems({"lab"}, set()) == []  # a site without accounting
    (problem,) = account_problems({"default"}, {"lab", "other"})
    assert problem.what == "there is no account 'default' for you; you have lab, other"
    assert problem.remedy == "Set account at the top of profiles/slurm/config.yaml"
    assert str(problem) == f"{problem.what}. {problem.remedy}"


def test_a_kind_of_gpu_that_the_plugin_refuses_is_told():
    (problem,) = request_problems([request(partition="gpu", gpus=1, gpu_kind="a100-sxm4")], NODES)
    assert "takes letters, digits, _ and . only" in problem.what


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:2", {"": 2}),
        ("gpu", {"": 1}),
        ("nvme:1,gpu:rtx3090:8", {"rtx3090": 8}),
        ("gpu:a100:2(S:0),gpu:v100:2(S:1)", {"a100": 2, "v100": 2}),
        ("gpu:2080ti:8", {"2080ti": 8}),
        ("gpu:3090:4", {"3090": 4}),
        ("gpu:1g.10gb:7", {"1g.10gb": 7}),
        ("gpu_mem:40000", {}),
        ("(null)", {}),
    ],
)
def test_gpus_as_slurm_writes_them(gres, gpus):
    assert requests.parse_gpus(gres) == gpus


@pytest.mark.parametrize(
    ("min_job_age", "first_look", "told"),
    [(300, 20, False), (120, 20, True), (50, 20, False), (120, 65, False)],
)
def test_a_controller_that_forgets_jobs_too_early_is_told(min_job_age, first_look, told):
    config = f"MessageTimeout = 10\nMinJobAge               = {min_job_age} sec\n"
    assert bool(checks.memory_of_jobs_problems(config, first_look)) == told
    assert checks.memory_of_jobs_problems("", first_look) == []


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("2-00:00:00", 2880), ("1:30:00", 90), ("30:00", 30), ("infinite", float("inf")), ("n/a", float("inf"))],
)
def test_times_as_slurm_writes_them(limit, minutes):
    assert requests.parse_minutes(limit) == minutes


def test_no_sbatch_is_told_with_the_ways_out(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no sbatch on the PATH.*login node.*profiles/local"):
        checks.check_cluster([], group_of=lambda job: None, attempts=3, first_look_seconds=20)


def test_a_full_disk_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "MIN_FREE_MB", 10**9)
    (problem,) = checks._disk_problems(tmp_path)
    assert str(tmp_path) in problem.what
    assert problem.what.endswith("MB left")


def test_jobs_left_behind_by_an_earlier_run_are_told(monkeypatch, tmp_path):
    queue = "\n".join(
        [
            f"7|RUNNING|{tmp_path}|rule_map_query_wildcards_patients_3",
            f"8|COMPLETING|{tmp_path}|rule_map_query_wildcards_patients_4",
            f"9|RUNNING|{tmp_path.parent}|rule_report",
            f"10|RUNNING|{tmp_path}|(null)",
            "CLUSTER: another",
        ]
    )
    monkeypatch.setattr(slurm, "ask", lambda *command: queue)
    (problem,) = checks._orphan_problems(tmp_path)
    assert "1 job(s) of an earlier run" in problem.what
    assert "7 (rule_map_query_wildcards_patients_3)" in problem.what
    assert problem.remedy.endswith("scancel 7")


def test_a_command_that_fails_or_is_missing_answers_nothing():
    assert slurm.ask("false") is None
    assert slurm.ask("no-such-command-here") is None
    assert slurm.ask("echo", "this") == "this\n"


def test_what_is_too_much_at_first_is_not_told_again_for_the_last_attempt():
    requests = [request(minutes=9000, attempt=3), request(minutes=9000)]
    (problem,) = request_problems(requests, NODES)
    assert "attempt" not in str(problem)


@pytest.fixture
def patience(monkeypatch):
    """A `SlurmBackoff` with a clock that sleeping advances; commands in `down` do not answer."""
    patience, clock = backoff.SlurmBackoff(), [1000.0]
    patience.down, patience.asked = set(), []
    patience.slept = lambda: clock[0] - 1000

    def ask(command, *arguments):
        patience.asked.append(command)
        return None if command in patience.down else ""

    def sleep(seconds):
        clock[0] += seconds
        if clock[0] >= 1060:
            patience.down.clear()

    monkeypatch.setattr(backoff, "ask", ask)
    monkeypatch.setattr(backoff.time, "sleep", sleep)
    monkeypatch.setattr(backoff.time, "monotonic", lambda: clock[0])
    return patience


@pytest.mark.parametrize("command", ["sinfo", "sacctmgr"])
def test_an_outage_is_waited_out(patience, command):
    patience.wait_until_slurm_answers()
    assert patience.slept() == 0
    backoff.time.sleep(20)  # an answer is valid for a while
    patience.down.add(command)
    patience.wait_until_slurm_answers()
    assert patience.slept() == 60


def test_a_site_without_accounting_is_not_waited_for(patience):
    patience.down.add("sacctmgr")
    patience.wait_until_slurm_answers()
    assert patience.slept() == 0


def test_thousands_of_jobs_ask_slurm_once(patience):
    for _ in range(1000):
        patience.wait_until_slurm_answers()
    assert len(patience.asked) == 2


def test_patience_has_an_end_and_is_not_begun_anew_by_every_job(patience):
    patience.down.add("sinfo")
    patience.LONGEST_SECONDS = 50
    for _ in range(100):
        patience.wait_until_slurm_answers()
    assert patience.slept() == 50


def test_what_a_run_leaves_in_the_queue_is_cancelled(monkeypatch, tmp_path):
    asked = []

    def ask(*command):
        asked.append(command)
        return f"7|RUNNING|{tmp_path}|rule_report" if command[0] == "squeue" else ""

    monkeypatch.setattr(slurm, "ask", ask)
    assert slurm.cancel_what_is_left(tmp_path) == "cancelled 1 job(s) that were left in the queue: 7"
    assert asked[-1] == ("scancel", "7")
    assert slurm.cancel_what_is_left(tmp_path / "another") == ""
