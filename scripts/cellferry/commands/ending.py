"""Error exit of the commands."""

import sys

from ..core.text import printable


def fail(command: str, error: Exception | str) -> int:
    """Print an error after the command's name; return the exit status."""
    print("\n".join(map(printable, f"{command}: {error}".split("\n"))), file=sys.stderr)
    return 1
