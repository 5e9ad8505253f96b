import pytest
from cellferry import failures
from cellferry.failures import accounting, explain_failures, read_failures

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
Logfile logs/convert_to_chunks/patients.log:
=====
    jobid: 99
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


def told(folder, monkeypatch, text, *, sacct=None):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(failures, "ask", lambda *command: sacct)
    (folder / "snakemake.log").write_text(text)
    return explain_failures([str(folder / "snakemake.log")])


def write(folder, path, text):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def test_a_job_that_failed_is_read_with_all_its_attempts():
    (failure,) = read_failures(attempts(700012, 700015))
    assert failure.rule == "convert_to_chunks"
    assert failure.outputs == "results/chunks/patients"
    assert failure.log == "logs/convert_to_chunks/patients.log"
    assert [attempt.slurm_id for attempt in failure.attempts] == ["700012", "700015"]


def test_a_job_that_was_repaired_by_another_attempt_is_none_that_failed():
    assert read_failures(attempts(700012) + "\nFinished jobid: 8 (Rule: convert_to_chunks)\n") == []


def test_a_step_that_was_killed_for_memory_says_so_for_its_job():
    jobs = accounting(SACCT)
    assert jobs["700012"].state == "OUT_OF_MEMORY"
    assert (jobs["700012"].used_mb, jobs["700012"].asked_mb) == (7990, 8000)
    assert jobs["700015"].state == "CANCELLED"


def test_what_slurm_knows_and_what_to_change(tmp_path, monkeypatch):
    said = told(tmp_path, monkeypatch, attempts(700015, 700012), sacct=SACCT)
    assert "1 job(s) failed" in said
    assert "attempt 2: OUT_OF_MEMORY on c1, 00:00:12 of 08:00:00, 7990 of 8000 MB (SLURM job 700012" in said
    assert "needs more than 8000 MB: raise mem_mb of convert_to_chunks in profiles/slurm/config.yaml" in said


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
        ("", "FAILED", "its logs do not say why"),
    ],
)
def test_without_accounting_slurms_own_log_is_read(tmp_path, monkeypatch, written, state, remedy):
    write(tmp_path, "logs/slurm/rule_convert_to_chunks/patients/7.log", written)
    said = told(tmp_path, monkeypatch, attempts(7))
    assert f"attempt 1: {state} on" in said
    assert remedy in said


def test_where_no_log_could_be_written_the_disk_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "LEAST_FREE_MB", 10**9)
    assert "MB left on the disk" in told(tmp_path, monkeypatch, attempts(7))


def test_a_users_mistake_is_the_last_that_is_said(tmp_path, monkeypatch):
    mistake = "error: patients.h5ad: X does not hold raw counts"
    write(tmp_path, "logs/convert_to_chunks/patients.log", f"reading\n{mistake}\n")
    said = told(tmp_path, monkeypatch, attempts(7) + "\n" + REFUSED)
    assert said.startswith("\n2 job(s) failed")
    assert said.splitlines()[-1].strip() == mistake


def test_a_mistake_of_several_lines_is_told_whole(tmp_path, monkeypatch):
    mistake = "error: the datasets have 2 problem(s):\n  - a.h5ad: is empty\n  - b.h5ad: is broken"
    write(tmp_path, "logs/check_datasets/check_datasets.log", f"{mistake}\n")
    local = REFUSED.replace("report", "check_datasets").split("    message")[0] + (
        "    message: None\n    jobid: 1\n    output: results/datasets.tsv\n"
        "    log: logs/check_datasets/check_datasets.log (check log file(s) for error details)\n"
    )
    assert told(tmp_path, monkeypatch, local).endswith(mistake)


def test_a_refused_job_is_told_with_slurms_words_and_the_remedy(tmp_path, monkeypatch):
    said = told(tmp_path, monkeypatch, REFUSED)
    assert "SLURM did not take it (sbatch: error: invalid partition specified: main)" in said
    assert "set cpu_partition and gpu_partition" in said


def test_nothing_is_said_where_no_job_failed(tmp_path, monkeypatch):
    assert told(tmp_path, monkeypatch, "Finished jobid: 8 (Rule: convert_to_chunks)\n") == ""
