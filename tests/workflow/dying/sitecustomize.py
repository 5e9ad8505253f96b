"""Kill scripts of rules before they rename an output; Python runs this first if its folder is on the path.

Each rename of a rule kills the first job that reaches it: the whole output has its hidden name, and some
other outputs of the rule have their final names.
"""

import os
import re
import signal
import sys
from pathlib import Path

DEATHS = "CELLFERRY_DEATHS"
"""Environment variable: folder with a note per kill."""

_replace = os.replace
_renames = 0


def die_or_replace(source, target, **options):
    """`os.replace`, except for the first job that reaches this rename."""
    global _renames
    script = re.search(r"\.snakemake/scripts/tmp\w+\.(\w+)\.py$", sys.argv[0])
    if script and gives_the_final_name(Path(source), Path(target)):
        # The number of a training's checkpoints depends on its duration.
        kept_aside = "checkpoints" in Path(target).parts
        _renames += not kept_aside
        note = Path(os.environ[DEATHS], f"{script[1]}.{'checkpoint' if kept_aside else _renames}")
        if not note.exists():
            note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return _replace(source, target, **options)


def gives_the_final_name(source, target):
    """True if the workflow renames, not a library, and not within a folder."""
    hidden = re.match(r"\.[0-9a-f]{8}\.", source.name)
    return hidden and source.exists() and not any(part.startswith(".") for part in target.parts)


if DEATHS in os.environ:
    os.replace = die_or_replace
