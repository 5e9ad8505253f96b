"""What is wrong with the labels of datasets, together and beside the configuration's section `labels`."""

from collections import Counter
from collections.abc import Iterable, Iterator

from ..artifacts.inspection import Inspection
from ..core.problems import Problem, problems_of
from ..errors import InputError
from ..labels.hierarchy import LabelHierarchy
from ..labels.levels import joined_hierarchy
from ..labels.names import closest, folded
from ..labels.suggestions import parents_by_name, suggestion_lines
from ..labels.tables import read_ontology, read_parents, without_header
from ..labels.tree import depths_of, describe_depths, tree_of_labels
from .unused_names import unused_names

MAX_ASKED = 50
"""Foreign labels of a dataset that are said one by one."""


def references_of(datasets: list[Inspection]) -> list[Inspection]:
    """Those of the datasets that are references."""
    return [dataset for dataset in datasets if dataset.role == "reference"]


def label_problems(
    datasets: list[Inspection], parents: dict | str, ontology: dict | str, is_a: str | None
) -> list[Problem]:
    """Problems of the references' labels; prints what should be looked at in the labels of all."""
    references = references_of(datasets)
    if not references:
        return []
    problems = []
    nodes: set[str] = set()
    cells = _cells_by_label(references)
    try:
        tree = tree_of_labels(parents, ontology, is_a, cells)
        nodes |= set(tree.values())
        if is_a and tree == read_parents(parents):
            raise InputError(
                "labels.is_a: finds no label above another one; give the labels, and those above them, "
                "their Cell Ontology ids in labels.ontology, or take the key out"
            )
        _check_labels(references)
        nodes |= _reference_hierarchy(references).coarser_labels
    except InputError as error:
        problems += problems_of(error, where=references[0].dataset)
    print_questions(datasets, nodes)
    if not problems:
        _print_tree(datasets, cells, tree)
    return problems


def unused_labels(
    datasets: list[Inspection], parents: dict | str, ontology: dict | str, is_a: str | None
) -> Iterator[tuple[list[str], list[str]]]:
    """Problems and warnings of names in the configuration's section `labels` that no label has."""
    labels = {label for dataset in datasets for label in dataset.labels}
    references = references_of(datasets)
    labels_of = {label for dataset in references for label in dataset.labels}
    renamed = merged_names(dataset.named.get("labels.rename", {}) for dataset in datasets)
    problems, warnings = unused_names(renamed, key="labels.rename", what="label of a dataset", known=labels)
    if not references:  # what was trained before may have them
        yield [], problems + warnings
        return
    yield problems, warnings
    above = read_parents(parents)
    nodes = labels_of.union(above.values())
    named = without_header({label: label in nodes for label in above}, parents)
    yield unused_names(named, key="labels.parents", what="label of a reference", known=labels_of)
    nodes |= _reference_hierarchy(references).coarser_labels
    nodes.update(tree_of_labels(parents, ontology, is_a, labels_of).values())
    named = {label: label in nodes for label in read_ontology(ontology)}
    yield unused_names(named, key="labels.ontology", what="label of a reference or parent", known=nodes)


def print_questions(datasets: list[Inspection], nodes: set[str]) -> None:
    """Print what should be asked about the labels, as warnings."""
    for question in _questions(datasets, nodes):
        print(f"warning: {question}")


def _cells_by_label(references: list[Inspection]) -> Counter[str]:
    """Cells of each label in all references."""
    cells: Counter[str] = Counter()
    for dataset in references:
        cells.update(dataset.labels)
    return cells


def _print_tree(datasets: list[Inspection], cells: Counter[str], tree: dict[str, str]) -> None:
    """Print what becomes of labels that are also parents, and which others may stand below another."""
    for line in describe_depths(cells, depths_of(cells, tree, min_cells=1)):
        print(line)
    columns = _reference_hierarchy(references_of(datasets))
    if columns.levels:  # `labels.parents` would be refused beside them
        for label, n_below in ((label, len(columns.leaves_below(label))) for label in cells):
            if n_below > 1:
                print(
                    f"warning: '{label}' ({cells[label]} cells) stands above {n_below} labels in the columns "
                    "of datasets.NAME.levels and is a label beside them; if it is a coarser one of these, "
                    "give the tree in labels.parents in their place"
                )
        return
    foreign = {label for dataset in datasets for label in dataset.labels} - cells.keys() - set(tree.values())
    for line in suggestion_lines(parents_by_name(cells, sorted(foreign), tree), "by their names"):
        print(line)


def _check_labels(references: list[Inspection]) -> None:
    """Refuse references that have one label together."""
    labels = {label for dataset in references for label in dataset.labels}
    if len(labels) < 2:
        named = ", ".join(f"'{dataset.label}' of {dataset.path}" for dataset in references)
        keys = ", ".join(f"datasets.{dataset.dataset}.label" for dataset in references)
        raise InputError(
            f"{keys}: all labeled cells have the same label '{''.join(labels)}' in {named}, and two are "
            "needed; name another column, or correct datasets.NAME.cells"
        )


def _reference_hierarchy(references: list[Inspection]) -> LabelHierarchy:
    """Hierarchy of the references' columns, after a look whether they fit together."""
    labels = [label for dataset in references for label in dataset.labels]
    return joined_hierarchy({dataset.dataset: dataset.hierarchy for dataset in references}, labels)


def _questions(datasets: list[Inspection], nodes: set[str]) -> list[str]:
    """What to ask about labels: those that no reference has, and references' that differ in spelling only.

    Parameters
    ----------
    datasets
        What `inspect_dataset` wrote for each dataset.
    nodes
        Coarser labels, which a query's truth may be, and labels of a reference that was trained before.
    """
    known: dict[str, str] = {}
    spelled: dict[str, tuple[str, str]] = {}
    asked = []
    for dataset in datasets:
        if dataset.role != "reference":
            continue
        for label in dataset.labels:
            known.setdefault(label, dataset.dataset)
            like, first = spelled.setdefault(folded(label), (label, dataset.dataset))
            if like != label:
                asked.append(
                    f"'{label}' of {dataset.dataset} and '{like}' of {first} are two labels; if they are "
                    "one, say so in labels.rename"
                )
    names = [*known, *sorted(nodes - known.keys())]
    for dataset in datasets:
        if dataset.role == "reference":
            continue
        foreign = {label: n for label, n in dataset.labels.items() if label not in names}
        for label, n in list(foreign.items())[:MAX_ASKED]:
            like = closest(label, names)
            hint = f"; did you mean '{like}'? Then say so in labels.rename" if like else ""
            asked.append(f"{dataset.dataset}: no reference has the label '{label}' ({n} cells){hint}")
        if len(foreign) > MAX_ASKED:
            asked.append(f"{dataset.dataset}: nor {len(foreign) - MAX_ASKED} more of its labels")
    return asked


def merged_names(named: Iterable[dict[str, bool]]) -> dict[str, bool]:
    """Names of all datasets, and whether any of these has them."""
    merged: dict[str, bool] = {}
    for names in named:
        merged |= {name: is_found or merged.get(name, False) for name, is_found in names.items()}
    return merged
