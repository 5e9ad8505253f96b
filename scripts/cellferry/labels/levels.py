"""Coarser labels above the labels: levels of a tree, from obs columns or from a table of parents.

A level is `{"name": NAME, "of": {LABEL: NODE}}`; a list of levels has the coarsest first and does not hold
the labels themselves. The labels, and the nodes of each level, have one parent on every level above.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import TypedDict

from ..errors import InputError

MAX_SAID = 5


class Level(TypedDict):
    """A level's name, and the node that each label belongs to."""

    name: str
    of: dict[str, str]


def levels_of_columns(columns: list[str], cells: Counter, key: str) -> list[Level]:
    """Levels of a dataset's obs columns.

    Parameters
    ----------
    columns
        Their names, finest first.
    cells
        Cells per tuple of a label and its values in the columns, None where there is none.
    key
        The columns' configuration key, for messages.

    Returns
    -------
    The levels. A label without a value in a column is not in that level.

    Raises
    ------
    InputError
        If a label has several values in a column.
    """
    levels: list[Level] = []
    for position, column in enumerate(columns, start=1):
        counted: dict[str, Counter] = {}
        for row, n in cells.items():
            if row[0] is not None and row[position] is not None:
                counted.setdefault(row[0], Counter())[row[position]] += n
        several = {label: nodes for label, nodes in counted.items() if len(nodes) > 1}
        if several:
            said = "; ".join(_described(label, several[label]) for label in list(several)[:MAX_SAID])
            more = f", and {len(several) - MAX_SAID} more labels" if len(several) > MAX_SAID else ""
            raise InputError(
                f"{key}: a label must have one value in '{column}', and there are several for {said}{more}; "
                "correct the column, or tell the labels apart"
            )
        levels.insert(
            0, {"name": column, "of": {label: next(iter(nodes)) for label, nodes in counted.items()}}
        )
    _check_tree(levels, key)
    return levels


def _described(label: str, nodes: Counter) -> str:
    return f"'{label}' ({', '.join(f'{node}: {n} cells' for node, n in nodes.most_common(MAX_SAID))})"


def _check_tree(levels: list[Level], key: str) -> None:
    """Refuse a node that stands below several of the next coarser level."""
    for coarse, fine in pairwise(levels):
        parents: dict[str, tuple[str, str]] = {}
        for label, node in fine["of"].items():
            parent = coarse["of"].get(label)
            if parent is None:
                continue
            other, before = parents.setdefault(node, (parent, label))
            if other != parent:
                raise InputError(
                    f"{key}: '{node}' of '{fine['name']}' stands below '{other}' of '{coarse['name']}' in "
                    f"cells of '{before}', and below '{parent}' in cells of '{label}'; it must be one of them"
                )


def joined_levels(levels: dict[str, list[Level]], labels: Iterable[str]) -> list[Level]:
    """Levels of several references as one, under the first one's names, with a node for every label.

    Parameters
    ----------
    levels
        Levels by dataset, as `levels_of_columns` gives them; a dataset may have none.
    labels
        The labels of all.

    Raises
    ------
    InputError
        If they have different numbers of levels, a label has one parent here and another there, or a node
        stands below two others.
    """
    given = {dataset: own for dataset, own in levels.items() if own}
    if not given:
        return []
    (first, names), *others = ((dataset, [level["name"] for level in own]) for dataset, own in given.items())
    for dataset, own in others:
        if len(own) != len(names):
            raise InputError(
                f"datasets.{dataset}.levels: names {len(own)} column(s), and datasets.{first}.levels "
                f"{len(names)}; name as many, of the same levels"
            )
    joined: list[Level] = [{"name": name, "of": {}} for name in names]
    origin: dict[tuple[str, str], str] = {}
    for dataset, own in given.items():
        for level, found in zip(joined, own, strict=True):
            for label, node in found["of"].items():
                before = level["of"].setdefault(label, node)
                other = origin.setdefault((level["name"], label), dataset)
                if before != node:
                    raise InputError(
                        f"datasets.{dataset}.levels: '{label}' stands below '{node}' in '{found['name']}', "
                        f"and below '{before}' in {other}; make them the same, for example with labels.rename"
                    )
    whole = _padded(joined, labels)
    _check_tree(whole, f"datasets.{first}.levels")
    return whole


def _padded(levels: list[Level], labels: Iterable[str]) -> list[Level]:
    """Levels in which every label has a node.

    Where one is missing, the node on the next finer level takes its place (on the finest, the label itself),
    unless other labels tell what stands above that node.
    """
    below = {label: label for label in labels}
    whole: list[Level] = []
    for level in reversed(levels):
        known = {below[label]: level["of"][label] for label in below if label in level["of"]}
        of = {label: level["of"].get(label, known.get(node, node)) for label, node in below.items()}
        whole.insert(0, {"name": level["name"], "of": of})
        below = of
    return whole


def levels_of_parents(parents: dict[str, str], labels: Iterable[str], used: Iterable[str]) -> list[Level]:
    """Levels of a table of parents: `level_1` holds the ancestors farthest from the labels.

    Parameters
    ----------
    parents
        Parent by label, without circles.
    labels
        All labels.
    used
        Those whose ancestors say how many levels there are.
    """
    lines = {label: _line(label, parents) for label in labels}
    depth = max((len(lines[label]) - 1 for label in used), default=0)
    return [
        {
            "name": f"level_{number + 1}",
            "of": {label: line[min(number, len(line) - 1)] for label, line in lines.items()},
        }
        for number in range(depth)
    ]


def _line(label: str, parents: dict[str, str]) -> list[str]:
    """A label's ancestors, the farthest first, and itself."""
    line = [label]
    while line[0] in parents:
        line.insert(0, parents[line[0]])
    return line
