"""The command that started snakemake, and its end with an error message.

Imported by the Snakefile alone, since it imports snakemake, which the environments of the rules lack.
"""

import os
import re
import shlex
import shutil
import sys
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from snakemake.cli import get_argument_parser

from ..core.logs import COMMAND, INPUT_ERROR, RUN
from ..errors import InputError, SupersededError

SELECTING = (
    "--forcerun",
    "-R",
    "--forceall",
    "-F",
    "--force",
    "-f",
    "--until",
    "-U",
    "--omit-from",
    "-O",
    "--batch",
)
"""Options of snakemake that select jobs."""

LOOKING = (
    "--dry-run",
    "--dryrun",
    "--summary",
    "--detailed-summary",
    "--list",
    "--lint",
    "--rulegraph",
    "--filegraph",
    "--dag",
    "--d3dag",
    "--report",
    "--containerize",
    "--unlock",
    "--delete-",
)
"""Beginnings of options of snakemake with which no job runs; short ones are -n, -S, -D and -l."""


def begin_run() -> str:
    """Give this run an id, and return it; its scripts inherit the environment, on a cluster too."""
    os.environ[RUN] = uuid.uuid4().hex
    os.environ[COMMAND] = command_for()
    return os.environ[RUN]


def command_for(*targets: str, instead_of: Collection[str] = ()) -> str:
    """The command that started this process, or the same for `targets` in the place of `instead_of`."""
    if not targets:
        return shlex.join([*_program(), *sys.argv[1:]])
    kept, last, selects = [], "", False
    for word in takewhile(lambda word: word != "--", sys.argv[1:]):  # behind it there are targets
        if word.startswith("-"):
            selects = word.partition("=")[0] in SELECTING
        if not selects and (word not in instead_of or _takes_a_value(last)):
            kept.append(word)
        last = word
    # Targets first: several options take all that follows them.
    return shlex.join([*_program(), *targets, *kept])


def _takes_a_value(word: str) -> bool:
    """Whether a word is an option of snakemake that takes values."""
    option = get_argument_parser()._option_string_actions.get(word)
    return option is not None and option.nargs != 0


def is_snakemake_cli() -> bool:
    """Whether this process is the snakemake program and not a caller of its API."""
    return "snakemake" in Path(sys.argv[0]).parts[-2:]


def is_looking_only() -> bool:
    """Whether this process is a snakemake that runs no job, as a dry run, and needs no room."""
    words = list(takewhile(lambda word: word != "--", sys.argv[1:]))
    return any(word.startswith(LOOKING) or re.fullmatch(r"-[a-zA-Z]*[nSDl][a-zA-Z]*", word) for word in words)


def _program() -> list[str]:
    """How this process was started: by a name that the shell finds, a path, or a module of a Python."""
    program = Path(sys.argv[0])
    words = [str(program)] if program.name != "__main__.py" else [sys.executable, "-m", program.parent.name]
    on_path = shutil.which(Path(words[0]).name)
    if on_path and Path(on_path).resolve() == Path(words[0]).resolve():
        words[0] = Path(words[0]).name
    return words


@contextmanager
def exit_with_message() -> Iterator[None]:
    """Exit snakemake with the message of an error that needs no stack; for the Snakefile."""
    try:
        yield
    except (InputError, SupersededError) as error:
        sys.exit(f"{INPUT_ERROR}{error}")
