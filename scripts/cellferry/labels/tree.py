"""Parents of labels, by a table and by the Cell Ontology, and coarser labels.

Read by the Snakefile too, so it imports nothing that a login node with Snakemake alone lacks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..core.problems import Problem, Problems
from ..errors import InputError
from .ontology import Ontology, ontology_path, read_obo
from .tables import ONTOLOGY_ID, ancestors_of, check_circles, read_ontology, read_parents


def tree_of_labels(
    parents: dict | str, ontology: dict | str, is_a: str | None, labels: Iterable[str]
) -> dict[str, str]:
    """Parent by label: the table's, or else the nearest one in the Cell Ontology.

    Parameters
    ----------
    parents, ontology, is_a
        As in the configuration's section `labels`.
    labels
        Labels of the references; Cell Ontology ids among them need no entry in `ontology`.

    Raises
    ------
    InputError
        If an id is not in the ontology, two labels have one id, a label is below two others of which
        neither is below the other, or parents form a circle.
    """
    given = read_parents(parents)
    if is_a is None:
        return given
    ids = read_ontology(ontology)
    ids |= {label: label for label in labels if ONTOLOGY_ID.match(label) and label not in ids}
    known = read_obo(ontology_path(is_a))
    problems = [*_unknown_ids(ids, known), *_shared_ids(ids)]
    tree = {}
    if not problems:
        name_of = {term: name for name, term in ids.items()}
        for name, term in ids.items():
            above = [name_of[each] for each in known.nearest(term, set(name_of))]
            if len(above) > 1 and name not in given:
                what = f"'{name}' ({term}) is below '{above[0]}' and '{above[1]}' in the Cell Ontology"
                problems.append(Problem("labels.is_a", what, f"give '{name}' one of them in labels.parents"))
            if above:
                tree[name] = above[0]
    if problems:
        raise InputError(Problems("the Cell Ontology gives no hierarchy of the labels", tuple(problems)))
    return check_circles(tree | given, key="labels.parents")


def _unknown_ids(ids: dict[str, str], known: Ontology) -> list[Problem]:
    problems = []
    where = f"the Cell Ontology ({known.release or 'no release stated'})"
    for name, term in ids.items():
        if term in known.names:
            continue
        what = f"{term}, the id of '{name}', is not in {where}"
        remedy = "correct it, or name an OBO file of another release in labels.is_a"
        if term in known.obsolete:
            successor = known.obsolete[term]
            what = f"{term}, the id of '{name}', is obsolete in {where}"
            remedy = f"write {successor} instead" if successor else "write another one"
        problems.append(Problem("labels.ontology", what, remedy))
    return problems


def _shared_ids(ids: dict[str, str]) -> list[Problem]:
    first: dict[str, str] = {}
    return [
        Problem(
            "labels.ontology",
            f"'{first[term]}' and '{name}' have one id, {term}",
            "make them one label in labels.rename, or correct an id",
        )
        for name, term in ids.items()
        if first.setdefault(term, name) != name
    ]


@dataclass(frozen=True)
class Depths:
    """Labels by their place in the hierarchy.

    Attributes
    ----------
    below
        By coarser label, the two or more labels below it that can be predicted.
    above_one
        By label, the only label below it that can be predicted; both are predicted.
    childless
        Parents without a label below them that can be predicted.
    """

    below: dict[str, list[str]]
    above_one: dict[str, str]
    childless: list[str]


def depths_of(cells: Mapping[str, int], parents: dict[str, str], *, min_cells: int) -> Depths:
    """Find the coarser labels: those above two or more labels that can be predicted.

    With a single one below, the sum would be that label, and every cell of the coarser label would train it.
    So both stay labels.

    Parameters
    ----------
    cells
        Cells by label.
    parents
        Parent by label, without circles.
    min_cells
        Minimum of cells of a label that can be predicted.
    """
    above = {label: ancestors_of(label, parents) for label in cells}
    leaves_below: dict[str, list[str]] = {}
    below, above_one, childless = {}, {}, []
    is_parent = set(parents.values())
    # Descendants come before their ancestors.
    for label in sorted(cells, key=lambda label: (-len(above[label]), label)):
        leaves = leaves_below.get(label, [])
        if len(leaves) > 1:
            below[label] = sorted(leaves)
            continue
        if cells[label] >= min_cells:
            if leaves:
                above_one[label] = leaves[0]
            elif label in is_parent:
                childless.append(label)
            for node in above[label]:
                leaves_below.setdefault(node, []).append(label)
    return Depths(below, above_one, sorted(childless))


def describe_depths(cells: Mapping[str, int], depths: Depths) -> list[str]:
    """Lines for a log: the use of each label that is also a parent."""
    lines = []
    for label, leaves in depths.below.items():
        named = ", ".join(leaves[:5]) + (f" and {len(leaves) - 5} more" if len(leaves) > 5 else "")
        lines.append(f"'{label}' is a coarser label: its {cells[label]} cells train the sum of {named}")
    for label, leaf in depths.above_one.items():
        lines.append(
            f"warning: '{label}' ({cells[label]} cells) has one label below it, '{leaf}': both are predicted "
            f"as labels; name the other cells in labels.rename, such as '{label}': 'other {label}'"
        )
    lines += [
        f"warning: '{label}' ({cells[label]} cells) is a coarser label without children in the "
        "reference: it is predicted as a label"
        for label in depths.childless
    ]
    return lines
