"""Hierarchies of labels from obs columns, of several references, and from a table of parents."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from ..errors import InputError
from .hierarchy import LabelHierarchy
from .tables import ancestors_of

MAX_SAID = 5


def hierarchy_of_columns(columns: list[str], cells: Counter, key: str) -> LabelHierarchy:
    """Hierarchy of a dataset's obs columns.

    Parameters
    ----------
    columns
        Their names, finest first.
    cells
        Cells per tuple of a label and its values in the columns, None if missing.
    key
        The columns' configuration key, for messages.

    Raises
    ------
    InputError
        If a label has several values in a column, or a node is below two others.
    """
    nodes: dict[str, list[str | None]] = {
        row[0]: [None] * len(columns) for row in cells if row[0] is not None
    }
    for position, column in enumerate(columns, start=1):
        counted: dict[str, Counter] = {}
        for row, n in cells.items():
            if row[0] is not None and row[position] is not None:
                counted.setdefault(row[0], Counter())[row[position]] += n
        several = {label: values for label, values in counted.items() if len(values) > 1}
        if several:
            described = "; ".join(_described(label, several[label]) for label in list(several)[:MAX_SAID])
            more = f", and {len(several) - MAX_SAID} more labels" if len(several) > MAX_SAID else ""
            raise InputError(
                f"{key}: a label must have one value in '{column}', and there are several for "
                f"{described}{more}; correct the column, or rename the labels"
            )
        for label, values in counted.items():
            (nodes[label][-position],) = values
    hierarchy = LabelHierarchy(columns[::-1], nodes, sorted(nodes))
    _check_tree(hierarchy, key)
    return hierarchy


def _described(label: str, nodes: Counter) -> str:
    return f"'{label}' ({', '.join(f'{node}: {n} cells' for node, n in nodes.most_common(MAX_SAID))})"


def _check_tree(hierarchy: LabelHierarchy, key: str) -> None:
    """Refuse a node below several nodes of the next coarser level."""
    for coarse, fine in pairwise(hierarchy.levels):
        parents: dict[str, tuple[str, str]] = {}
        for label in hierarchy.nodes:
            parent, node = hierarchy.node(label, coarse), hierarchy.node(label, fine)
            if parent is None or node is None:
                continue
            other, before = parents.setdefault(node, (parent, label))
            if other != parent:
                raise InputError(
                    f"{key}: '{node}' of '{fine}' is below '{other}' of '{coarse}' in "
                    f"cells of '{before}', and below '{parent}' in cells of '{label}'; it must be one of them"
                )


def joined_hierarchy(hierarchies: dict[str, LabelHierarchy], labels: Iterable[str]) -> LabelHierarchy:
    """Merged hierarchy of several references, with the first one's names and nodes for every label.

    Parameters
    ----------
    hierarchies
        By dataset, as `hierarchy_of_columns` gives them; a dataset may have no levels.
    labels
        The labels of all.

    Raises
    ------
    InputError
        If they have different numbers of levels, a label has several parents, or a node is below two others.
    """
    given = {dataset: hierarchy for dataset, hierarchy in hierarchies.items() if hierarchy.levels}
    first = next(iter(given), None)
    levels = given[first].levels if given else []
    for dataset, hierarchy in given.items():
        if len(hierarchy.levels) != len(levels):
            raise InputError(
                f"datasets.{dataset}.levels: names {len(hierarchy.levels)} column(s), and "
                f"datasets.{first}.levels {len(levels)}; name as many, of the same levels"
            )
    known: list[dict[str, str]] = [{} for _ in levels]
    origin: dict[tuple[int, str], str] = {}
    for dataset, hierarchy in given.items():
        for place, level in enumerate(hierarchy.levels):
            for label, nodes in hierarchy.nodes.items():
                if (node := nodes[place]) is None:
                    continue
                before = known[place].setdefault(label, node)
                other = origin.setdefault((place, label), dataset)
                if before != node:
                    raise InputError(
                        f"datasets.{dataset}.levels: '{label}' is below '{node}' in '{level}', "
                        f"and below '{before}' in {other}; make them the same, for example with labels.rename"
                    )
    nodes = _padded(known, labels)
    whole = LabelHierarchy(levels, nodes, sorted(nodes))
    _check_tree(whole, f"datasets.{first}.levels")
    return whole


def _padded(levels: list[dict[str, str]], labels: Iterable[str]) -> dict[str, list[str]]:
    """By label, its node on every level.

    A missing node is replaced by the node on the next finer level (on the finest, by the label itself),
    unless other labels show the node above that one.

    Parameters
    ----------
    levels
        Node by label on each level, the coarsest first.
    labels
        All labels.
    """
    lines = {label: [label] for label in labels}
    for given in reversed(levels):
        known = {lines[label][0]: given[label] for label in lines if label in given}
        for label, line in lines.items():
            line.insert(0, given.get(label, known.get(line[0], line[0])))
    return {label: line[:-1] for label, line in lines.items()}


def hierarchy_of_parents(
    parents: dict[str, str], labels: Iterable[str], leaves: Iterable[str]
) -> LabelHierarchy:
    """Hierarchy of a table of parents: `level_1` holds the ancestors farthest from the labels.

    Parameters
    ----------
    parents
        Parent by label, without circles.
    labels
        All labels.
    leaves
        Labels that can be predicted; their ancestors give the number of levels.
    """
    lines = {label: [*ancestors_of(label, parents)[::-1], label] for label in labels}
    leaves = sorted(leaves)
    depth = max((len(lines[label]) - 1 for label in leaves), default=0)
    return LabelHierarchy(
        [f"level_{number + 1}" for number in range(depth)],
        {label: [line[min(place, len(line) - 1)] for place in range(depth)] for label, line in lines.items()},
        leaves,
    )
