# Checks before the first job, and messages at the end of a run. Included last.

import atexit
import shutil

from scripts.cellferry.artifacts.evaluation import Evaluation, Scores
from scripts.cellferry.artifacts.inspection import with_problems
from scripts.cellferry.artifacts.json_files import read_artifact
from scripts.cellferry.cluster.checks import check_cluster
from scripts.cellferry.cluster.environments import check_environments
from scripts.cellferry.cluster.failures import explain_failures
from scripts.cellferry.cluster.group_jobs import complete_group_jobs, stop_after_a_mistake
from scripts.cellferry.cluster.slurm import cancel_what_is_left
from scripts.cellferry.core.atomic import remove_remnants, set_aside_damaged
from scripts.cellferry.core.disk import WRITTEN, check_temporary_folder, check_writable
from scripts.cellferry.core.logs import PEAK
from scripts.cellferry.core.run_record import other_runs, unregister_run
from scripts.cellferry.runs.as_module import mark_own_rules, run_handlers
from scripts.cellferry.runs.changes import describe_changes
from scripts.cellferry.runs.clock import check_clock
from scripts.cellferry.runs.command_line import command_for, exit_with_message, is_snakemake_cli
from scripts.cellferry.runs.literal_paths import name_literally
from scripts.cellferry.runs.methods import METHOD_VERSIONS
from scripts.cellferry.runs.takeover import invalidate, invalidate_unrecorded, supersede_other_runs

for each in mark_own_rules(MODIFIER):
    name_literally(each)
    if each.output:
        PROVENANCE.record(each)

if IMAGE:
    # The profile may name a node's own disk for it.
    scratch = workflow.get_rule("convert_to_chunks").expand_resources({}, [], 1, skip_evaluation={"tmpdir"})
    with exit_with_message():
        show_folders(config, [PROJECT, *filter(None, [scratch.get("scratch")])])

if workflow.is_main_process:
    # Identifies the configuration, the methods and the user's files.
    MADE_FROM = of_settings(
        [config, METHOD_VERSIONS, PROVENANCE.of_shared_files(), *map(inspected_from, DATASETS)]
    )
    with exit_with_message():
        invalidate_unrecorded(MADE_FROM)
    # Problems may have been mended.
    invalidate(with_problems(f"results/inspected/{dataset}.json" for dataset in DATASETS))
    complete_group_jobs()
else:
    stop_after_a_mistake(workflow)


def scores_in_words(query, evaluation):
    """One line of scores of a query's labels against the truth."""

    def number(score):
        return "-" if score is None else f"{score:.3f}"

    forced = evaluation.forced
    # None if the reference has no counts to train it on.
    baseline = evaluation.baseline or Scores(None, None)
    return (
        f"{query}: accuracy {number(forced.accuracy)}, macro-F1 {number(forced.macro_f1)} "
        f"(baseline {number(baseline.accuracy)}, {number(baseline.macro_f1)}); "
        f"called unknown: {number(evaluation.answered.rejected_share)}"
    )


def remove_what_killed_jobs_left():
    """Remove temporary files, unless another run uses this folder; call it when no job of this run runs."""
    if workflow.execution_settings.lock and not other_runs():
        for folder in ("results", "resources/demo"):
            remove_remnants(folder)


def print_changes():
    """Print the change and the jobs that it repeats; after the table of a dry run."""
    try:
        changes = describe_changes(workflow.dag, workflow.persistence, config)
    except Exception as error:  # not a reason to stop a run
        changes = f"Changes since the last run cannot be determined ({error!r})."
    if changes:
        print(changes)


if workflow.is_main_process and is_snakemake_cli():
    # Snakemake has no hook for dry runs.
    atexit.register(lambda: workflow.dryrun and workflow.scheduler and print_changes())


onstart:
    print_changes()
    with exit_with_message():
        check_temporary_folder()
        check_writable(*WRITTEN)
        check_clock(file for job in workflow.dag.needrun_jobs() if job.output for file in job.input)
        if not workflow.deployment_settings.deployment_method and not workflow.touch:
            own = own_rules(workflow)
            scripts = [job for job in workflow.dag.needrun_jobs() if job.is_script and job.rule in own]
            check_environments(job.rule.conda_env for job in scripts)
        if workflow.executor_plugin.name == "slurm":
            check_cluster(
                [job for job in workflow.dag.needrun_jobs() if not job.is_local],
                group_of=workflow.dag.get_job_group,
                attempts=1 + workflow.execution_settings.retries,
                first_look_seconds=workflow.executor_settings.init_seconds_before_status_checks,
            )
        if workflow.execution_settings.lock:
            supersede_other_runs(workflow, RUN, MADE_FROM)


onsuccess:
    unregister_run()
    remove_what_killed_jobs_left()
    # Without a model, another run resumes the training.
    if Path("results/reference/model").exists():
        shutil.rmtree(CHECKPOINTS, ignore_errors=True)
    if "plan" in {job.rule.name for job in workflow.dag.jobs}:
        print(Path("logs/plan/plan.log").read_text().rpartition(f"\n{PEAK}")[0])
    # A run may not include all targets.
    scored = {job.output.evaluation for job in workflow.dag.jobs if job.rule.name == "evaluate"}
    for query in ["test", *SCORED]:
        if (path := f"results/evaluation/{query}.json") in scored:
            print(scores_in_words(query, read_artifact(Evaluation, path)))


onerror:
    # Otherwise Snakemake warns of incomplete files, which this workflow cannot have.
    workflow.execution_settings.keep_incomplete = False
    if workflow.executor_plugin.name == "slurm":
        print(cancel_what_is_left(Path.cwd()))
    elif workflow.executor_plugin.name == "local":
        # HDF5 may crash on a full disk: free it of half-written files.
        remove_what_killed_jobs_left()
    unregister_run()
    set_aside_damaged("results")
    print(explain_failures(workflow.scheduler.failed, workflow.dag.jobid, log))
    report_so_far = command_for("report_so_far", instead_of=workflow.dag_settings.targets)
    print(f"A report of what there is: {report_so_far}")


# Snakemake runs handlers of the main Snakefile only.
if not MODIFIER.is_main_snakefile():
    run_handlers(workflow, [onstart, onsuccess, onerror])
