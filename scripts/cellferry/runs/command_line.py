"""The command that started snakemake, and its exit with an error message.

Imported by the Snakefile only: it imports snakemake, which the rules' environments lack.
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
"""Prefixes of snakemake options that run no job; short ones are -n, -S, -D and -l."""


def begin_run() -> str:
    """Set and return this run's id; its scripts inherit the environment, also on a cluster."""
    os.environ[RUN] = uuid.uuid4().hex
    os.environ[COMMAND] = command_for()
    return os.environ[RUN]


def command_for(*targets: str, instead_of: Collection[str] = ()) -> str:
    """The command that started this process, or the same with `targets` in place of `instead_of`."""
    if not targets:
        return shlex.join([*_program(), *sys.argv[1:]])
    kept, last, selects = [], "", False
    for word in takewhile(lambda word: word != "--", sys.argv[1:]):  # targets follow it
        if word.startswith("-"):
            selects = word.partition("=")[0] in SELECTING
        if not selects and (word not in instead_of or _takes_a_value(last)):
            kept.append(word)
        last = word
    # Targets first: several options take all following words.
    return shlex.join([*_program(), *targets, *kept])


def _takes_a_value(word: str) -> bool:
    """True if a word is a snakemake option with values."""
    option = get_argument_parser()._option_string_actions.get(word)
    return option is not None and option.nargs != 0


def is_snakemake_cli() -> bool:
    """True if this process is the snakemake program, not a caller of its API."""
    return "snakemake" in Path(sys.argv[0]).parts[-2:]


def is_looking_only() -> bool:
    """True if this snakemake runs no job, such as a dry run, and needs no disk space."""
    words = list(takewhile(lambda word: word != "--", sys.argv[1:]))
    return any(word.startswith(LOOKING) or re.fullmatch(r"-[a-zA-Z]*[nSDl][a-zA-Z]*", word) for word in words)


def _program() -> list[str]:
    """The program of this process: a name on the PATH, a path, or a Python module."""
    program = Path(sys.argv[0])
    words = [str(program)] if program.name != "__main__.py" else [sys.executable, "-m", program.parent.name]
    on_path = shutil.which(Path(words[0]).name)
    if on_path and Path(on_path).resolve() == Path(words[0]).resolve():
        words[0] = Path(words[0]).name
    return words


@contextmanager
def exit_with_message() -> Iterator[None]:
    """Exit snakemake with an error's message, without a traceback; for the Snakefile."""
    try:
        yield
    except (InputError, SupersededError) as error:
        sys.exit(f"{INPUT_ERROR}{error}")
