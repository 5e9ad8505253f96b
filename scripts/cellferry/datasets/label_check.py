"""Problems of the datasets' labels, together and with the configuration's section `labels`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property

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
"""Unknown labels of a dataset that are listed one by one."""


def references_of(datasets: list[Inspection]) -> list[Inspection]:
    """The datasets that are references."""
    return [dataset for dataset in datasets if dataset.role == "reference"]


class LabelCheck:
    """Check of datasets' labels against the section `labels`; tables and ontology are read once.

    Parameters
    ----------
    datasets
        Inspection of each dataset.
    parents, ontology, is_a
        As in the section `labels`.
    """

    def __init__(
        self, datasets: list[Inspection], parents: dict | str, ontology: dict | str, is_a: str | None
    ) -> None:
        self._datasets, self._references = datasets, references_of(datasets)
        self._given_parents, self._given_ontology, self._is_a = parents, ontology, is_a

    @cached_property
    def _cells(self) -> Counter[str]:
        """Cells per label in all references."""
        cells: Counter[str] = Counter()
        for dataset in self._references:
            cells.update(dataset.labels)
        return cells

    @cached_property
    def _parents(self) -> dict[str, str]:
        return read_parents(self._given_parents)

    @cached_property
    def _ontology(self) -> dict[str, str]:
        return read_ontology(self._given_ontology)

    @cached_property
    def _tree(self) -> dict[str, str]:
        """Parent by label, by the table and the Cell Ontology."""
        return tree_of_labels(self._parents, self._ontology, self._is_a, self._cells)

    @cached_property
    def _columns(self) -> LabelHierarchy:
        """Hierarchy of the references' columns, after a check that they fit together."""
        by_dataset = {dataset.dataset: dataset.hierarchy for dataset in self._references}
        return joined_hierarchy(by_dataset, self._cells)

    def problems(self) -> list[Problem]:
        """Problems of the references' labels; prints warnings on the labels of all datasets."""
        if not self._references:
            return []
        problems = []
        nodes: set[str] = set()
        try:
            nodes |= set(self._tree.values())
            if self._is_a and self._tree == self._parents:
                raise InputError(
                    "labels.is_a: no label is above another one; add Cell Ontology ids of the labels, and of "
                    "those above them, to labels.ontology, or remove the key"
                )
            _check_labels(self._references)
            nodes |= self._columns.coarser_labels
        except InputError as error:
            problems += problems_of(error, where=self._references[0].dataset)
        print_questions(self._datasets, nodes)
        if not problems:
            self._print_tree()
        return problems

    def unused(self) -> Iterator[tuple[list[str], list[str]]]:
        """Problems and warnings of names in the section `labels` that match no label; after `problems`."""
        labels = {label for dataset in self._datasets for label in dataset.labels}
        renamed = merged_names(dataset.named.get("labels.rename", {}) for dataset in self._datasets)
        problems, warnings = unused_names(
            renamed, key="labels.rename", what="label of a dataset", known=labels
        )
        if not self._references:  # an earlier trained reference may have them
            yield [], problems + warnings
            return
        yield problems, warnings
        nodes = {*self._cells, *self._parents.values()}
        named = without_header({label: label in nodes for label in self._parents}, self._given_parents)
        yield unused_names(named, key="labels.parents", what="label of a reference", known=self._cells)
        nodes |= self._columns.coarser_labels.union(self._tree.values())
        named = {label: label in nodes for label in self._ontology}
        yield unused_names(named, key="labels.ontology", what="label of a reference or parent", known=nodes)

    def _print_tree(self) -> None:
        """Print the depths of labels that are also parents, and suggested parents for the rest."""
        cells, tree = self._cells, self._tree
        for line in describe_depths(cells, depths_of(cells, tree, min_cells=1)):
            print(line)
        if self._columns.levels:  # `labels.parents` cannot be combined with them
            n_below = {label: len(self._columns.leaves_below(label)) for label in cells}
            for label in (label for label in cells if n_below[label] > 1):
                print(
                    f"warning: '{label}' ({cells[label]} cells) is above {n_below[label]} labels in the "
                    "columns of datasets.NAME.levels and a label itself; if it is a coarser one of these, "
                    "replace the columns by labels.parents"
                )
            return
        foreign = {label for dataset in self._datasets for label in dataset.labels}
        foreign -= cells.keys() | set(tree.values())
        for line in suggestion_lines(parents_by_name(cells, sorted(foreign), tree), "by their names"):
            print(line)


def print_questions(datasets: list[Inspection], nodes: set[str]) -> None:
    """Print warnings on the labels' names."""
    for question in _questions(datasets, nodes):
        print(f"warning: {question}")


def _check_labels(references: list[Inspection]) -> None:
    """Raise an `InputError` if the references have only one label together."""
    labels = {label for dataset in references for label in dataset.labels}
    if len(labels) < 2:
        named = ", ".join(f"'{dataset.label}' of {dataset.path}" for dataset in references)
        keys = ", ".join(f"datasets.{dataset.dataset}.label" for dataset in references)
        raise InputError(
            f"{keys}: all labeled cells have the same label '{''.join(labels)}' in {named}, but two are "
            "needed; name another column, or correct datasets.NAME.cells"
        )


def _questions(datasets: list[Inspection], nodes: set[str]) -> list[str]:
    """Warnings on labels that no reference has, and on references' labels that differ only in spelling.

    Parameters
    ----------
    datasets
        Results of `inspect_dataset`, one per dataset.
    nodes
        Coarser labels, which a query's truth may contain, and labels of an earlier trained reference.
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
                    "the same, merge them in labels.rename"
                )
    names = [*known, *sorted(nodes - known.keys())]
    for dataset in datasets:
        if dataset.role == "reference":
            continue
        foreign = {label: n for label, n in dataset.labels.items() if label not in names}
        for label, n in list(foreign.items())[:MAX_ASKED]:
            like = closest(label, names)
            hint = f"; did you mean '{like}'? Then add it to labels.rename" if like else ""
            asked.append(f"{dataset.dataset}: no reference has the label '{label}' ({n} cells){hint}")
        if len(foreign) > MAX_ASKED:
            asked.append(f"{dataset.dataset}: no reference has {len(foreign) - MAX_ASKED} more of its labels")
    return asked


def merged_names(named: Iterable[dict[str, bool]]) -> dict[str, bool]:
    """Names of all datasets, each with whether any of them contains it."""
    merged: dict[str, bool] = {}
    for names in named:
        merged |= {name: is_found or merged.get(name, False) for name, is_found in names.items()}
    return merged
