"""The configuration's tables of labels: spellings, parents, ontology ids.

Each is a mapping in the configuration, or the path of a table. Read by the Snakefile too, so it imports
nothing that a login node with Snakemake alone lacks.
"""

import re
from pathlib import Path
from typing import Any

from ..core.problems import Problem
from ..core.reading import readable
from ..core.table_start import Blanks, rows_from_header, table_start
from ..core.text import first_control, printable
from ..errors import InputError

ONTOLOGY_ID = re.compile(r"^CL:\d{7}$")


def one_line(label: Any) -> str:
    """A label with single blanks between its words: no tabs, line ends, or blanks around it."""
    return " ".join(str(label).split())


def read_renames(given: dict | str) -> dict[str, str]:
    """Label by spelling.

    Parameters
    ----------
    given
        `labels.rename` of the configuration: a mapping, or the path of a table (csv or tsv) whose first two
        columns are spelling and label.

    Raises
    ------
    InputError
        If a spelling has two labels, or is renamed to one that is renamed itself.
    """
    renames = _read_pairs(given, "labels.rename")
    for spelling, label in renames.items():
        final = renames.get(label, label)
        if final != label:
            what = f"'{spelling}' becomes '{label}', and '{label}' becomes '{final}'"
            remedy = f"give '{spelling}' its final label"
            raise InputError(Problem("labels.rename", what, remedy))
    return renames


def read_parents(given: dict | str) -> dict[str, str]:
    """Parent by label, from `labels.parents`: a mapping, or the path of a table of label and parent.

    Raises
    ------
    InputError
        If a label has two parents, is its own ancestor, or its parent is called `unknown`.
    """
    parents = _read_pairs(given, "labels.parents")
    for label, parent in parents.items():
        if parent.casefold() == "unknown":
            what = f"'{parent}', the parent of '{label}', is the name of unlabeled cells"
            remedy = "rename it or remove the line"
            raise InputError(Problem("labels.parents", what, remedy))
    return check_circles(parents, key="labels.parents")


def check_circles(parents: dict[str, str], *, key: str) -> dict[str, str]:
    """The same parents; raise `InputError`, with their key, if a label is its own ancestor."""
    for label in parents:
        chain = [label]
        while chain[-1] in parents:
            chain.append(parents[chain[-1]])
            if chain[-1] in chain[:-1]:
                circle = " → ".join(chain[chain.index(chain[-1]) :])
                what = f"contains a circle, {circle}"
                raise InputError(Problem(key, what, "remove one of them"))
    return parents


def ancestors_of(label: str, parents: dict[str, str]) -> list[str]:
    """A label's parent, its parent's parent and so on; `parents` holds no circle."""
    above = []
    while label in parents:
        label = parents[label]
        above.append(label)
    return above


def read_ontology(given: dict | str) -> dict[str, str]:
    """Cell Ontology id by label, from `labels.ontology`: a mapping, or the path of a table of label and id.

    Raises
    ------
    InputError
        If a label has two ids, or an id is invalid.
    """
    ids = _read_pairs(given, "labels.ontology")
    if isinstance(given, str) and ids and not ONTOLOGY_ID.match(next(iter(ids.values()))):
        del ids[next(iter(ids))]  # the table's header
    for label, given_id in ids.items():
        if not ONTOLOGY_ID.match(given_id):
            what = f"'{given_id}', given to '{label}', is not an id of the Cell Ontology (CL:0000084)"
            raise InputError(Problem("labels.ontology", what, "correct it"))
    return ids


def _read_pairs(given: dict | str, key: str) -> dict[str, str]:
    pairs = table_rows(Path(given), key) if isinstance(given, str) else list(given.items())
    by_name: dict[str, str] = {}
    for name, value in ((one_line(name), one_line(value)) for name, value in pairs):
        if not name or not value:
            what = f"'{name}' has the value '{value}', and neither may be empty"
            raise InputError(Problem(key, what, "correct it"))
        if found := first_control([value]):
            raise InputError(Problem(key, f"the value of '{printable(name)}' is {found}", "correct it"))
        if by_name.setdefault(name, value) != value:
            what = f"duplicate name '{name}', with '{by_name[name]}' and '{value}'"
            raise InputError(Problem(key, what, "keep one of them"))
    return by_name


def without_header(named: dict[str, bool], given: dict | str) -> dict[str, bool]:
    """Names, and whether they were found, without a table's header: a first one that was not."""
    first = next(iter(named), None)
    is_header = isinstance(given, str) and len(named) > 1 and not named[first]
    return {name: is_found for name, is_found in named.items() if not (is_header and name == first)}


def table_rows(path: Path, key: str) -> list[tuple[str, str]]:
    """The first two columns of a table, its header included if it has one."""
    return [(row[0], row[1]) for row in rows_of_two(path, key, blanks="quoted", remedy="correct it")]


def rows_of_two(path: Path, key: str, *, blanks: Blanks, remedy: str) -> list[list[str]]:
    """Fields of a table that must have two columns or more, its header included if it has one."""
    with readable(path):
        start = table_start(path, blanks=blanks)
        rows = list(rows_from_header(path, start)) if start else []
    for number, row in rows:
        if len(row) < 2:
            what = f"line {number} of {path} has one column, and two are needed"
            raise InputError(Problem(key, what, remedy))
    return [row for _, row in rows]
