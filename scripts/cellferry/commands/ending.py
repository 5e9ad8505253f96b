"""The end of a command that cannot do what it was asked to."""

import sys

from ..core.text import printable


def fail(command: str, error: Exception | str) -> int:
    """Print what is wrong, after the command's name; returns the exit status."""
    print("\n".join(map(printable, f"{command}: {error}".split("\n"))), file=sys.stderr)
    return 1
