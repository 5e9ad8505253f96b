"""Python runs this first where the folder is on its path: scripts of rules die before they rename an output.

Each of a rule's renames is died at once, by whichever of its jobs comes there first: the whole output stands
under its hidden name, and in a rule of several outputs some have their final names already.
"""

import os
import re
import signal
import sys
from pathlib import Path

DEATHS = "CELLFERRY_DEATHS"
"""Environment variable: folder with a note for each death."""

_replace = os.replace
_renames = 0


def die_or_replace(source, target, **options):
    """`os.replace`, but for the first job that comes to this rename."""
    global _renames
    script = re.search(r"\.snakemake/scripts/tmp\w+\.(\w+)\.py$", sys.argv[0])
    if script and gives_the_final_name(Path(source), Path(target)):
        # How many checkpoints a training writes depends on how long it takes.
        kept_aside = "checkpoints" in Path(target).parts
        _renames += not kept_aside
        note = Path(os.environ[DEATHS], f"{script[1]}.{'checkpoint' if kept_aside else _renames}")
        if not note.exists():
            note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return _replace(source, target, **options)


def gives_the_final_name(source, target):
    """Whether this is the workflow's own rename, and not one of a library's or within a folder."""
    hidden = re.match(r"\.[0-9a-f]{8}\.", source.name)
    return hidden and source.exists() and not any(part.startswith(".") for part in target.parts)


if DEATHS in os.environ:
    os.replace = die_or_replace
