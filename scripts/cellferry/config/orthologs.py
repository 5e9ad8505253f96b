"""The key `genes.orthologs`: the name of a shipped table, or the path of the user's.

Imported by the Snakefile: standard library only.
"""

from pathlib import Path
from typing import Any

from ..core.problems import Problem, suggestion
from ..core.project import PROJECT
from .paths import path_problem

FOLDER = PROJECT / "config" / "orthologs"
ENDING = ".tsv.gz"
KEY = "genes.orthologs"


def shipped_names() -> list[str]:
    """Names of the shipped tables, such as `human-mouse`."""
    return sorted(path.name.removesuffix(ENDING) for path in FOLDER.glob(f"*{ENDING}"))


def shipped_table(name: str | None) -> Path | None:
    """The table of this name, with its two species in either order; None for other values."""
    for known in shipped_names():
        if name in (known, "-".join(reversed(known.split("-")))):
            return FOLDER / f"{known}{ENDING}"
    return None


def orthologs_problem(config: dict[str, Any]) -> Problem | None:
    """The problem of a table that is neither shipped nor readable; check_datasets checks its content."""
    genes = config.get("genes")
    given = genes.get("orthologs") if isinstance(genes, dict) else None
    if not isinstance(given, str) or shipped_table(given):
        return None
    problem = path_problem(given, folders=False)
    if problem is None:
        return None
    known = shipped_names()
    what = f"{problem.what}{suggestion(given, known)}"
    return Problem(KEY, what, f"name {', '.join(known)} or the path of a table of two columns")
