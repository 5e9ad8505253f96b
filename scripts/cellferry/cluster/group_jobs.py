"""Additions to Snakemake and the SLURM plugin for jobs of several rules (`groups` in the profile).

Imported by the Snakefile only: it imports snakemake, which the rules' environments lack.
"""

import sys
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

from snakemake.io import apply_wildcards
from snakemake.jobs import GroupJob
from snakemake.logging import logger
from snakemake.target_jobs import parse_target_jobs_cli_args

from ..core.logs import INPUT_ERROR, mistake_of_this_run


def complete_group_jobs() -> None:
    """Log the reason if a group's job cannot be submitted, and continue the run.

    Snakemake drops that message. The plugin prints it with the job's rule, which a group does not have: the
    run would wait forever.
    """
    log_error = GroupJob.log_error
    if getattr(log_error, "has_message", False):  # a module is read again for `use rule ... with`
        return

    def log_message_too(self: GroupJob, msg: str | None = None, *args: Any, **kwargs: Any) -> None:
        if msg:
            logger.error(f"Error in group {self.groupid}:\n    message: {msg}\n    jobid: {self.jobid}")
        log_error(self, msg, *args, **kwargs)

    log_message_too.has_message = True
    GroupJob.log_error = log_message_too
    GroupJob.rule = property(lambda self: SimpleNamespace(name=self.name))


def stop_after_a_mistake(workflow: Any) -> None:
    """End a group's job if an earlier attempt in this run ended with a user's mistake.

    Otherwise the rules before the failing one would be repeated in vain. A job of one rule ends by itself
    (`cellferry.core.logs.logged`).
    """
    targets = _target_jobs(sys.argv)
    for target in targets if len(targets) > 1 else []:
        rule = workflow.get_rule(target.rulename)
        for log in rule.log:
            if mistake := mistake_of_this_run(apply_wildcards(log, target.wildcards_dict)):
                sys.exit(f"Error in rule {rule.name}: as in an earlier attempt\n{INPUT_ERROR}{mistake}")


def _target_jobs(command: list[str]) -> list[Any]:
    """Target jobs of the snakemake in a SLURM job; Snakemake parses them only after the rules."""
    option = "--target-jobs"
    after = command[command.index(option) + 1 :] if option in command else []
    return parse_target_jobs_cli_args(list(takewhile(lambda word: not word.startswith("--"), after)))
