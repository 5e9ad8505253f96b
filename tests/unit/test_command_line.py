"""Printed commands can be run as they are."""

import sys

import pytest
from cellferry.runs.command_line import command_for, is_looking_only

PROGRAM = "/somewhere/.venv/bin/snakemake"


@pytest.mark.parametrize(
    ("given", "targets", "command"),
    [
        (["--profile", "p", "--", "all"], {"all"}, f"{PROGRAM} report_so_far --profile p"),
        (["-k", "results/x", "--cores", "2"], {"results/x"}, f"{PROGRAM} report_so_far -k --cores 2"),
        (["--cores", "2", "--config", "seed=3"], set(), f"{PROGRAM} report_so_far --cores 2 --config seed=3"),
        # Options that the report does not use, and that would run other jobs.
        (["--forcerun", "a", "b", "-n"], {"a", "b"}, f"{PROGRAM} report_so_far -n"),
        (["x", "-U", "x", "-p"], {"x"}, f"{PROGRAM} report_so_far -p"),
        (["x", "--directory", "x"], {"x"}, f"{PROGRAM} report_so_far --directory x"),
    ],
)
def test_the_command_for_another_target_can_be_run(monkeypatch, given, targets, command):
    monkeypatch.setattr(sys, "argv", [PROGRAM, *given])
    assert command_for("report_so_far", instead_of=targets) == command
    assert command_for() == " ".join([PROGRAM, *given])


def test_the_program_is_named_as_it_can_be_started(monkeypatch, tmp_path):
    program = tmp_path / "snakemake"
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "-n"])
    assert command_for() == f"{program} -n"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_for() == "snakemake -n"
    monkeypatch.setattr(sys, "argv", ["/lib/snakemake/__main__.py", "-n"])
    assert command_for() == f"{sys.executable} -m snakemake -n"


@pytest.mark.parametrize(
    ("words", "only_looks"),
    [
        (["all", "-n"], True),
        (["-np", "all"], True),
        (["--dry-run"], True),
        (["--rulegraph"], True),
        (["--unlock"], True),
        (["all", "--cores", "2"], False),
        (["-j", "2", "--profile", "profiles/slurm"], False),
        (["--cores", "2", "--", "-n"], False),
    ],
)
def test_a_snakemake_that_runs_no_job(monkeypatch, words, only_looks):
    monkeypatch.setattr(sys, "argv", ["snakemake", *words])
    assert is_looking_only() == only_looks
