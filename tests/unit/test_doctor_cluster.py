"""`make doctor`: SLURM's answers, and a profile's requests that the cluster lacks."""

import re
import sys

import pytest
from cellferry.commands.doctor.cluster import check_slurm
from cellferry.commands.doctor.system import PROJECT
from machines import PROFILE, SINFO, failing, profile_with, worst


def test_no_slurm_is_a_note(programs):
    finding = worst(check_slurm(PROFILE))
    assert finding.status == "note"
    assert "login node" in finding.remedy


def test_a_cluster_that_the_profile_fits(cluster, tmp_path):
    findings = check_slurm(profile_with(tmp_path, max_mem_mb=64000, max_minutes=1440))
    assert {finding.status for finding in findings} == {"ok"}
    said = {finding.subject.strip(): finding.text for finding in findings}
    assert said["gpu"] == "1 node, up to 64000 MB and 16 CPUs, 1440 minutes, a100:4"
    assert re.search(r"the requests of all \d+ rules fit", said["profile"])


@pytest.mark.parametrize("command", ["sinfo", "squeue", "sbatch"])
def test_a_command_of_slurms_that_does_not_answer(cluster, command):
    cluster(command, "exit 1")
    finding = failing(check_slurm(PROFILE))
    assert finding.text == f"no answer from {command}"
    assert worst(check_slurm(PROJECT / "profiles" / "local")).status == "note"


def test_no_accounting_is_a_note(cluster, tmp_path):
    cluster("sacct", "exit 1")
    cluster("sacctmgr", "exit 1")
    finding = worst(check_slurm(profile_with(tmp_path, max_mem_mb=64000, max_minutes=1440)))
    assert (finding.status, finding.subject) == ("note", "accounting")


def test_a_cluster_without_partitions(cluster):
    cluster("sinfo", "true")
    findings = check_slurm(PROFILE)
    assert ("FAILS", "sinfo lists no partition") in {(finding.status, finding.text) for finding in findings}


@pytest.mark.parametrize("with_yte", [True, False])
@pytest.mark.parametrize(
    ("values", "said", "remedy"),
    [
        (
            {"cpu_partition": "main"},
            "there is no partition 'main'; this cluster has cpu, gpu",
            "Set cpu_part",
        ),
        ({"gpu_kind": "h100"}, "requests h100:1, but partition gpu has a100:4", "Set gpu_partition"),
        ({"gpu_kind": "a100-sxm4"}, "takes letters, digits", "Set gpu_kind"),
        ({"gpus": 8}, "requests gpu:8", "Set gpu_partition"),
        ({"account": "lab"}, "there is no account 'lab' for you; you have default", "Set account"),
    ],
)
def test_values_that_the_cluster_does_not_have(
    monkeypatch, cluster, tmp_path, with_yte, values, said, remedy
):
    if not with_yte:
        monkeypatch.setitem(sys.modules, "yte", None)
    site = {"max_mem_mb": 64000, "max_minutes": 1440, **values}
    finding = failing(check_slurm(profile_with(tmp_path, **site)))
    assert said in finding.text
    assert finding.remedy.startswith(remedy)


def test_what_rules_ask_for_on_the_last_attempt(cluster, tmp_path):
    # train_reference_model: 720 minutes, three times.
    finding = failing(check_slurm(profile_with(tmp_path, max_mem_mb=64000)))
    assert "train_reference_model: requests 2160 minutes on attempt 3, but partition gpu allows 1440" in (
        finding.text
    )
    assert finding.remedy.startswith("Set max_minutes")


def test_more_memory_than_the_largest_node_has_is_noted(cluster, tmp_path):
    finding = worst(check_slurm(profile_with(tmp_path, max_minutes=1440)))
    assert finding.status == "note"
    assert finding.remedy == "Set max_mem_mb to 64000 or less"


@pytest.mark.parametrize("with_yte", [True, False])
def test_a_cluster_that_does_not_know_its_memory(monkeypatch, cluster, tmp_path, with_yte):
    if not with_yte:
        monkeypatch.setitem(sys.modules, "yte", None)
    cluster("sinfo", f"cat <<'END'\n{SINFO.replace('64000', '1')}\nEND")
    findings = check_slurm(profile_with(tmp_path, max_minutes=1440))
    problems = [finding for finding in findings if finding.status != "ok"]
    assert [finding.text.rpartition("nodes of ")[2][:13] for finding in problems] == [
        "partition cpu",
        "partition gpu",
    ]
    for finding in problems:
        assert finding.status == "FAILS"
        assert finding.remedy.startswith("Set request_memory at the top")
        assert "max_mem_mb" not in finding.text + finding.remedy
    findings = check_slurm(profile_with(tmp_path, max_minutes=1440, request_memory="false"))
    assert {finding.status for finding in findings} == {"ok"}
    assert any("memory unknown to SLURM" in finding.text for finding in findings)


def test_memory_that_is_not_asked_for_without_need_is_noted(cluster, tmp_path):
    finding = worst(check_slurm(profile_with(tmp_path, max_minutes=1440, request_memory="false")))
    assert (finding.status, finding.remedy) == ("note", "Set request_memory to true")


def test_a_controller_that_forgets_jobs(cluster, tmp_path):
    cluster("scontrol", "echo 'MinJobAge = 100 sec'")
    finding = failing(check_slurm(profile_with(tmp_path, max_mem_mb=64000, max_minutes=1440)))
    assert "MinJobAge" in finding.text
    assert finding.remedy.startswith("Set slurm-init-seconds-before-status-checks")
