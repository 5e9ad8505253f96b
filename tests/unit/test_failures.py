"""Explanations of failed jobs: from their logs and SLURM's accounting, with a remedy."""

from types import SimpleNamespace

import pytest
from cellferry.cluster import failures
from cellferry.cluster.failures import accounting, explain_failures, read_attempts

SLURM_LOG = "logs/slurm/rule_convert_to_chunks/patients/{number}.log"
SUBMITTED = f"Job 8 has been submitted with SLURM jobid {{number}} (log: {SLURM_LOG})."
LOGS = f"logs/convert_to_chunks/patients.log, {SLURM_LOG}"
FAILED = f"""\
[Sun Nov 22 09:27:37 2026]
Error in rule convert_to_chunks:
    message: SLURM-job '{{number}}' failed, SLURM status is: 'FAILED'. For further error details see the logs.
    jobid: 8
    input: patients.h5ad, results/datasets.tsv
    output: results/chunks/patients
    log: {LOGS} (check log file(s) for error details)
    external_jobid: {{number}}
Logfile logs/slurm/rule_convert_to_chunks/patients/{{number}}.log:
=====
[Sun Nov 22 09:27:30 2026]
Error in rule convert_to_chunks:
    message: None
    jobid: 0
    output: results/chunks/patients
    log: logs/convert_to_chunks/patients.log (check log file(s) for error details)
=====
"""
RESTARTED = "Trying to restart job 8."
REFUSED = """\
Error in rule report:
    message: SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: main'.
    sbatch call:
        sbatch --parsable -p main --wrap="python -m snakemake"
For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: 1
    output: results/report.html
    log: logs/report/report.log (check log file(s) for error details)
"""
SACCT = """\
700012|FAILED|c1|00:00:12|08:00:00||8000M
700012.batch|FAILED|c1|00:00:12||101.50M|
700012.0|OUT_OF_MEMORY|c1|00:00:10||7990.12M|
700015|CANCELLED by 0|c2|00:00:02|08:00:00||16000M
"""


def attempts(*numbers):
    lines = []
    for number in numbers:
        lines += [SUBMITTED.format(number=number), FAILED.format(number=number), RESTARTED]
    return "\n".join(lines[:-1])


CONVERT = SimpleNamespace(
    rule=SimpleNamespace(name="convert_to_chunks"),
    output=["results/chunks/patients"],
    log=["logs/convert_to_chunks/patients.log"],
    is_group=lambda: False,
)
REPORT = SimpleNamespace(
    rule=SimpleNamespace(name="report"),
    output=["results/report.html"],
    log=["logs/report/report.log"],
    is_group=lambda: False,
)


def told(folder, monkeypatch, text, *jobs, sacct=None):
    """The message on jobs that failed in all attempts; `text` is the main process's log."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(failures, "ask", lambda *command: sacct)
    (folder / "snakemake.log").write_text(text)
    return explain_failures(jobs, lambda job: 8 if job is CONVERT else 1, [str(folder / "snakemake.log")])


def write(folder, path, text):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def test_a_job_is_read_with_all_its_attempts():
    refusal, found = read_attempts(attempts(700012, "700015"), 8)
    assert refusal == ""
    assert [attempt.slurm_id for attempt in found] == ["700012", "700015"]
    assert found[1].slurm_log == SLURM_LOG.format(number=700015)


def test_other_jobs_attempts_are_not_its_own():
    assert read_attempts(attempts(700012), "88") == ("", [])
    assert read_attempts(attempts(700012), "0") == ("", [])


def test_a_refusal_counts_if_it_was_the_last_word():
    refused = REFUSED.replace("jobid: 1", "jobid: 8")
    assert read_attempts(attempts(700012) + "\n" + refused, "8")[0].startswith("sbatch: error: invalid")
    assert read_attempts(refused + attempts(700012), "8")[0] == ""
    odd = refused.replace(
        "SLURM sbatch failed. The error message was '", "Job submission failed with exception: "
    )
    assert read_attempts(odd, "8")[0].startswith("sbatch: error: invalid")


def test_a_step_that_was_killed_for_memory_says_so_for_its_job():
    jobs = accounting(SACCT)
    assert jobs["700012"].state == "OUT_OF_MEMORY"
    assert (jobs["700012"].used_mb, jobs["700012"].asked_mb) == (7990, 8000)
    assert jobs["700015"].state == "CANCELLED"


def test_what_slurm_knows_and_what_to_change(tmp_path, monkeypatch):
    said = told(tmp_path, monkeypatch, attempts(700015, 700012), CONVERT, sacct=SACCT)
    assert "1 job(s) failed" in said
    assert "attempt 2: OUT_OF_MEMORY on c1, 00:00:12 of 08:00:00, 7990 of 8000 MB (SLURM job 700012" in said
    assert (
        "needs more than its 8000 MB: raise mem_mb of convert_to_chunks in profiles/slurm/config.yaml" in said
    )


@pytest.mark.parametrize(
    ("written", "state", "remedy"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0.", "OUT_OF_MEMORY", "raise mem_mb"),
        (
            "slurmstepd: error: *** JOB 7 ON c1 CANCELLED AT 2026 DUE TO TIME LIMIT ***",
            "TIMEOUT",
            "raise runtime",
        ),
        ("*** JOB 7 ON c1 CANCELLED AT 2026 DUE TO NODE FAILURE ***", "NODE_FAIL", "exclude-failed-nodes"),
        ("slurmstepd: error: *** JOB 7 ON c1 CANCELLED AT 2026 ***", "CANCELLED", "start snakemake again"),
        ("ModuleNotFoundError: No module named 'h5py'\nsrun: error", "FAILED", "No module named 'h5py'"),
        ("OSError: [Errno 28] No space left on device", "FAILED", "the disk is full"),
        ("", "FAILED", "its logs contain no reason"),
    ],
)
def test_without_accounting_slurms_own_log_is_read(tmp_path, monkeypatch, written, state, remedy):
    write(tmp_path, "logs/slurm/rule_convert_to_chunks/patients/7.log", written)
    said = told(tmp_path, monkeypatch, attempts(7), CONVERT)
    assert f"attempt 1: {state} on" in said
    assert remedy in said


def test_where_no_log_could_be_written_the_disk_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "MIN_FREE_MB", 10**9)
    assert "MB left" in told(tmp_path, monkeypatch, attempts(7), CONVERT)


def test_a_users_mistake_is_the_last_that_is_said(tmp_path, monkeypatch):
    mistake = "error: patients.h5ad: X does not hold raw counts"
    write(tmp_path, "logs/convert_to_chunks/patients.log", f"reading\n{mistake}\n")
    said = told(tmp_path, monkeypatch, attempts(7) + "\n" + REFUSED, CONVERT, REPORT)
    assert said.startswith("\n2 job(s) failed")
    assert said.splitlines()[-1].strip() == mistake


def test_a_mistake_of_several_lines_is_told_whole(tmp_path, monkeypatch):
    mistake = "error: the datasets have 2 problem(s):\n  - a.h5ad: is empty\n  - b.h5ad: is broken"
    write(tmp_path, "logs/report/report.log", f"{mistake}\n")
    assert told(tmp_path, monkeypatch, "", REPORT).endswith(mistake)


@pytest.mark.parametrize("written", ["ValueError: something in the data", "cannot go on: mem_mb is 300"])
def test_what_the_script_said_comes_before_what_snakemake_makes_of_it(tmp_path, monkeypatch, written):
    write(tmp_path, "logs/convert_to_chunks/patients.log", f"reading\n{written}\n")
    slurm_log = "RuleException:\nCalledProcessError in file data.smk, line 1:\nWorkflowError:\nAt least one\n"
    write(tmp_path, SLURM_LOG.format(number=7), slurm_log)
    assert told(tmp_path, monkeypatch, attempts(7), CONVERT).endswith(f"  {written}")
    write(tmp_path, "logs/convert_to_chunks/patients.log", "")
    assert "its logs contain no reason" in told(tmp_path, monkeypatch, attempts(7), CONVERT)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Job violates accounting/QOS policy (job submit limit, user's time limits)", "lower jobs in"),
        ("Invalid qos specification", "set qos under default-resources"),
        ("Invalid account or account/partition combination specified", "set account at the top"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "lower max_minutes"),
    ],
)
def test_refusals_have_their_own_remedies(tmp_path, monkeypatch, said, remedy):
    refused = REFUSED.replace("invalid partition specified: main", said)
    assert remedy in told(tmp_path, monkeypatch, refused, REPORT)


def test_a_refused_job_is_told_with_slurms_words_and_the_remedy(tmp_path, monkeypatch):
    said = told(tmp_path, monkeypatch, REFUSED, REPORT)
    assert "SLURM refused it (sbatch: error: invalid partition specified: main)" in said
    assert "set cpu_partition and gpu_partition" in said


def test_nothing_is_said_where_no_job_failed(tmp_path, monkeypatch):
    assert told(tmp_path, monkeypatch, attempts(7)) == ""
