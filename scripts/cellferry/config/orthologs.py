"""The key `genes.orthologs`: a table of pairs of species that comes along, by its name, or one of the user.

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
    """Names of the tables that come along, such as `human-mouse`."""
    return sorted(path.name.removesuffix(ENDING) for path in FOLDER.glob(f"*{ENDING}"))


def shipped_table(name: str | None) -> Path | None:
    """The table of this name, whose two species may stand in either order; None for another value."""
    for known in shipped_names():
        if name in (known, "-".join(reversed(known.split("-")))):
            return FOLDER / f"{known}{ENDING}"
    return None


def orthologs_problem(config: dict[str, Any]) -> Problem | None:
    """A table that neither comes along nor can be read; its content is checked by check_datasets."""
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
