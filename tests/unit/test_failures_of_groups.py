"""Explanations of failed jobs of several rules: they name the failed rule only."""

from types import SimpleNamespace

import pytest
from cellferry.cluster import failures
from cellferry.cluster.failures import explain_failures

RULES = ("split_reference", "select_genes", "shuffle_reference")
SLURM_LOG = "logs/slurm/group_reference_cells_select_genes/{number}.log"
JOB = "24c9b3f1-20d7-5dc7-9597-7bcf7f342f35"
SUBMITTED = f"Job {JOB} has been submitted with SLURM jobid {{number}} (log: {SLURM_LOG})."
# Snakemake's lines on the rules of a group, independent of the failed one.
FAILED = f"""\
Error in group reference_cells:
    message: SLURM-job '{{number}}' failed, SLURM status is: 'FAILED'. For further error details see the logs.
    jobid: {JOB}
[Mon Nov 30 07:42:41 2026]
    message: Error in group reference_cells
    log: {SLURM_LOG} (check log file(s) for error details)
    jobs:
        rule split_reference:
            jobid: 7
    [Mon Nov 30 07:42:41 2026]
    Error in rule split_reference:
        message: None
        jobid: 7
Trying to restart job {JOB}.
"""
REFUSED = f"""\
Error in group reference_cells:
    message: SLURM sbatch failed. The error message was 'sbatch: error: Invalid qos specification'.
    sbatch call:
        sbatch --parsable
For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: {JOB}
"""
BEGUN = "Select jobs to execute...\nExecute 1 jobs...\n"
SPLIT = f"{BEGUN}Finished jobid: 1 (Rule: split_reference)\n1 of 3 steps (33%) done\n"


class Group(list):
    """A Snakemake job of several rules."""

    groupid = "reference_cells"

    def is_group(self):
        return True


def group(*rules):
    return Group(
        SimpleNamespace(
            rule=SimpleNamespace(name=rule),
            output=[f"results/{rule}"],
            log=[f"logs/{rule}/{rule}.log"],
            is_group=lambda: False,
        )
        for rule in rules
    )


def write(folder, path, text):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The message on a group whose last attempt wrote a text into SLURM's log."""

    def tell(slurm_log, *, numbers=(7,), refused="", rules=RULES, sacct=None):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(failures, "ask", lambda *command: sacct)
        log = "".join(
            f"{SUBMITTED.format(number=number)}\n{FAILED.format(number=number)}" for number in numbers
        )
        (tmp_path / "snakemake.log").write_text(log + refused)
        if numbers:
            write(tmp_path, SLURM_LOG.format(number=numbers[-1]), slurm_log)
        return explain_failures([group(*rules)], lambda job: JOB, [str(tmp_path / "snakemake.log")])

    return tell


def test_the_rule_that_failed_is_named_with_all_attempts(told, tmp_path):
    write(tmp_path, "logs/select_genes/select_genes.log", "error: the datasets have no gene in common\n")
    write(tmp_path, "logs/split_reference/split_reference.log", "peak memory: 151 MB\n")
    # From an earlier run.
    write(tmp_path, "logs/shuffle_reference/shuffle_reference.log", "error: something else\n")
    said = told(f"{SPLIT}Error in rule select_genes:\n    message: None\n", numbers=(7, 8))
    assert said.splitlines()[1:] == [
        "1 job(s) failed; finished results are kept.",
        "",
        "select_genes: results/select_genes",
        "  log: logs/select_genes/select_genes.log",
        "  in the same job: split_reference, shuffle_reference",
        f"  attempt 1: FAILED on ?, ? of ? (SLURM job 7, {SLURM_LOG.format(number=7)})",
        f"  attempt 2: FAILED on ?, ? of ? (SLURM job 8, {SLURM_LOG.format(number=8)})",
        "  error: the datasets have no gene in common",
    ]


@pytest.mark.parametrize(
    ("said_by_slurm", "remedy"),
    [
        (
            "CANCELLED AT 2026 DUE TO TIME LIMIT",
            "raise runtime of select_genes in profiles/slurm/config.yaml (and max_minutes, if the partition "
            "allows more), remove select_genes from groups there, or use",
        ),
        ("CANCELLED AT 2026 DUE TO NODE FAILURE", "--slurm-exclude-failed-nodes"),
        ("CANCELLED AT 2026", "it was ended from outside"),
    ],
)
def test_what_was_ended_from_outside_is_the_first_that_had_not_finished(told, said_by_slurm, remedy):
    said = told(f"{SPLIT}slurmstepd: error: *** JOB 7 ON c1 {said_by_slurm} ***\n")
    assert "\nselect_genes: results/select_genes\n" in said
    assert remedy in said
    assert "split_reference:" not in said
    assert "shuffle_reference:" not in said


def test_a_rule_killed_for_its_memory(told):
    sacct = "7|FAILED|c1|00:00:12|05:30:00||2000M\n7.1|OUT_OF_MEMORY|c1|00:00:10||1990.12M|\n"
    said = told(f"{SPLIT}srun: error: Out Of Memory\nError in rule select_genes:\n", sacct=sacct)
    assert "attempt 1: OUT_OF_MEMORY on c1, 00:00:12 of 05:30:00, 1990 of 2000 MB" in said
    assert (
        "it needs more than its 2000 MB: raise mem_mb of select_genes in profiles/slurm/config.yaml" in said
    )


@pytest.mark.parametrize("slurm_log", ["", "slurmstepd: error: *** JOB 7 ON c1 CANCELLED AT 2026 ***\n"])
def test_a_job_that_began_with_no_rule_is_told_as_a_whole(told, slurm_log):
    said = told(slurm_log)
    assert "\nreference_cells (split_reference, select_genes, shuffle_reference): results/split_ref" in said
    assert "in the same job:" not in said


def test_a_group_that_was_refused(told):
    said = told("", numbers=(), refused=REFUSED)
    assert "\nreference_cells (split_reference, select_genes, shuffle_reference): results/" in said
    assert "SLURM refused it (sbatch: error: Invalid qos specification): set qos under" in said


def test_a_group_of_one_is_told_as_its_rule(told):
    said = told("", numbers=(), refused=REFUSED, rules=["select_genes"])
    assert "\nselect_genes: results/select_genes\n" in said
    assert "SLURM refused it" in said
