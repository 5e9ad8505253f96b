"""Selection in an R file: the object, its assay, and the place with the counts."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..interface import Options
from ..matrix import looks_like_counts
from .linked import View, view_of
from .matrices import matrix_of
from .nodes import Node, Tree
from .objects import Assay, Experiment, Part, describe, experiment_of, items
from .vectors import Vectors, vectors

RAW = ("counts", "raw.data")
"""Usual places of raw counts."""

MAX_LISTED = 10
MAX_LISTS = 3
"""Depth of nested lists that are searched."""

SCALED = "scale.data"
RNA = "RNA"


@dataclass
class Place:
    """A possible place of the counts, with a preview.

    Attributes
    ----------
    name
        Name in the configuration.
    parts
        The matrices that are side by side in it.
    views
        Their views; empty if one cannot be read.
    problem
        Reason why one cannot be read.
    preview
        Some of the values.
    """

    name: str
    parts: list[Part]
    views: list[View] = field(default_factory=list)
    problem: str | None = None
    preview: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def is_empty(self) -> bool:
        """True if it has no genes or cells: a slot that was never filled or was emptied."""
        return self.problem is None and not any(all(view.shape) for view in self.views)

    @property
    def looks_right(self) -> bool:
        """True if its first values look like counts."""
        return looks_like_counts(self.preview)

    def __str__(self) -> str:
        if self.problem:
            return f"{self.name} cannot be read"
        if self.is_empty:
            return f"{self.name} is empty"
        size = f"{self.views[0].shape[0]} × {sum(view.shape[1] for view in self.views)}"
        return f"{self.name}: {size}{'' if self.looks_right else ', does not look like counts'}"


@dataclass
class Chosen:
    """Selected object, assay and place.

    Attributes
    ----------
    place
        The selected place; it has views.
    places
        All places that are not empty, each with whether its first values look like counts.
    assay, experiment
        Assay and object of the place; None for a standalone matrix.
    remarks
        Remarks on the selection among several candidates.
    """

    place: Place
    places: dict[str, bool]
    assay: Assay | None
    experiment: Experiment | None
    remarks: list[str]


def choose(tree: Tree, options: Options) -> Chosen:
    """Select the object, its assay and the place of the counts.

    Raises
    ------
    InputError
        If there are no candidates, or several equivalent ones; the message lists them.
    """
    name, node, wanted = _object(tree, options)
    remarks = []
    # Objects within lists, without the lists themselves.
    every = tree.objects if name in tree.objects else _objects(tree)
    others = [other for other in every if other and not f"{name}/".startswith(f"{other}/")]
    if others:
        more = ", …" if len(others) > MAX_LISTED else ""
        remarks.append(f"the object {name} is read, but not {', '.join(others[:MAX_LISTED])}{more}")
    experiment = experiment_of(node)
    if experiment is None:
        return _matrix(tree, name or "matrix", node, options, wanted, remarks)
    assay = _assay(tree, experiment, options, wanted, remarks)
    place, places = _place(tree, experiment, assay, options, remarks)
    return Chosen(place, places, assay, experiment, remarks)


def _object(tree: Tree, options: Options) -> tuple[str, Node, str | None]:
    """The object, and the remaining part of the key `assay` that selects within it."""
    every, wanted = _objects(tree), options.assay
    usable = {name: node for name, node in every.items() if _is_usable(node)}
    if not usable:
        described = {name: describe(node) for name, node in tree.objects.items()}
        listed = ", ".join(f"{name}, {what}" if name else what for name, what in described.items())
        raise InputError(
            f"{tree.path}: holds {listed or 'nothing'}, but no Seurat object, SingleCellExperiment or matrix "
            f"of numbers; save one of these with saveRDS"
            f"{' (a table of counts can be written as csv)' if 'data.frame' in listed else ''}"
        )
    named = [name for name in usable if name and f"{wanted or ''}/".startswith(f"{name}/")]
    if named:
        name = max(named, key=len)
        return name, usable[name], wanted[len(name) + 1 :] or None
    # Objects in lists are used only if there are no others.
    outside = {name: node for name, node in usable.items() if name in tree.objects}
    usable = outside or usable
    if len(usable) > 1:
        listed = [f"{name}, {describe(node)}" for name, node in usable.items()]
        more = "" if len(listed) <= MAX_LISTED else "; …"
        asked = "" if wanted is None else f"{options.key('assay')} is '{wanted}', but it "
        raise InputError(
            f"{tree.path}: {asked}holds {len(usable)} objects with counts: "
            f"{'; '.join(listed[:MAX_LISTED])}{more}; set {options.key('assay')} to the name of one of them "
            "(a number in quotes), or to OBJECT/ASSAY"
        )
    ((name, node),) = usable.items()
    return name, node, wanted


def _objects(tree: Tree) -> dict[str, Node]:
    """The objects of a file, and those in its lists by LIST/NAME, or LIST/NUMBER if unnamed.

    A list written by saveRDS has no name itself.
    """
    objects: dict[str, Node] = {}

    def add(name: str, node: Node, level: int) -> None:
        objects[name] = node
        if level < MAX_LISTS and not _is_usable(node):
            for item, inner in items(node).items():
                add(f"{name}/{item}" if name else item, inner, level + 1)

    for name, node in tree.objects.items():
        add(name, node, 0)
    return objects


def _is_usable(node: Node) -> bool:
    is_linked = node.package == "BPCells" or {"seed", "filepath"} & node.attributes.keys()
    return (node.kind == "S4" and bool(is_linked)) or bool(matrix_of(node) or experiment_of(node))


def _matrix(
    tree: Tree, name: str, node: Node, options: Options, wanted: str | None, remarks: list[str]
) -> Chosen:
    for key, value in (("assay", wanted), ("counts", None if options.counts == "auto" else options.counts)):
        if value is not None:
            raise InputError(
                f"{tree.path}: {options.key(key)} is '{value}', but the file contains only a matrix "
                f"({describe(node)}); remove the key"
            )
    place = preview_place(tree, "matrix", [Part(name, node)])
    if place.problem:
        raise InputError(place.problem)
    if place.views[0].lacks_names:
        raise InputError(
            f"{tree.path}: {describe(node)} selects from a matrix with names, but does not contain them; "
            "turn it into a dgCMatrix or matrix in R and save it again"
        )
    return Chosen(place, {"matrix": place.looks_right}, None, None, remarks)


def _assay(
    tree: Tree, experiment: Experiment, options: Options, wanted: str | None, remarks: list[str]
) -> Assay:
    assays, kind = experiment.assays, experiment.kind_of_assay
    if wanted is not None:
        if wanted not in assays:
            raise InputError(
                f"{tree.path}: {options.key('assay')} is '{wanted}', which is not in the {experiment.what}; "
                f"it has: {', '.join(name for name in assays if name) or f'no named {kind}'}"
            )
        return assays[wanted]
    if kind == "experiment" or len(assays) == 1:
        chosen = assays.get(experiment.active) or next(iter(assays.values()))
    else:
        chosen = _with_rna(tree, experiment, options)
    others = [name for name in assays if name != chosen.name]
    if others:
        remarks.append(
            f"the {kind} {chosen.name or 'with the cells themselves'} is read, but not "
            f"{', '.join(others)} ({options.key('assay')})"
        )
    if chosen.is_derived:
        remarks.append(
            f"the assay {chosen.name} contains values computed from raw counts, which are not in the file"
        )
    return chosen


def _with_rna(tree: Tree, experiment: Experiment, options: Options) -> Assay:
    """The assay RNA; else the active one if it has raw counts; else the only one with raw counts."""
    assays = experiment.assays
    if not assays:
        raise InputError(f"{tree.path}: the {experiment.what} has no assays; save it again with its counts")
    if RNA in assays:
        return assays[RNA]
    with_counts = [name for name, assay in assays.items() if _has_raw(tree, assay)]
    if len(with_counts) > 1 and experiment.active not in with_counts:
        raise InputError(
            f"{tree.path}: several assays of the {experiment.what} contain counts, {', '.join(with_counts)}, "
            f"but none is named {RNA} or active; set {options.key('assay')} to one of them"
        )
    if not with_counts:  # reported when its places are checked
        return assays.get(experiment.active) or next(iter(assays.values()))
    return assays[experiment.active if experiment.active in with_counts else with_counts[0]]


def _has_raw(tree: Tree, assay: Assay) -> bool:
    return any(place.name in RAW and not place.is_empty for place in _looks(tree, assay))


def _place(
    tree: Tree, experiment: Experiment, assay: Assay, options: Options, remarks: list[str]
) -> tuple[Place, dict[str, bool]]:
    every = {place.name: place for place in _looks(tree, assay)}
    places = {name: place.looks_right for name, place in every.items() if not place.is_empty}
    if options.counts != "auto":
        place = every.get(options.counts)
        if place is None and options.counts in assay.parts:
            place = preview_place(tree, options.counts, assay.parts[options.counts])
        if place is None or place.is_empty:
            raise InputError(
                f"{tree.path}: {options.key('counts')} is '{options.counts}', which "
                f"{'is empty' if place else 'is not there'}; {_found(tree, experiment, assay)}"
            )
        if place.problem:
            raise InputError(place.problem)
        return place, places | {place.name: place.looks_right}
    raw = next((every[name] for name in RAW if name in every and not every[name].is_empty), None)
    others = [place for place in every.values() if place is not raw and place.name != SCALED]
    if raw is not None and raw.problem:
        raise InputError(raw.problem)
    if raw is not None and not raw.looks_right:
        same = next((place for place in others if _are_equal(raw, place)), None)
        if same is not None:
            raise InputError(
                f"{tree.path}: {raw.name} of {_named(experiment, assay)} holds the same values as "
                f"{same.name}, which are not counts; save it with its raw counts, or name another file"
            )
    likely = [place for place in (raw, *others) if place is not None and place.looks_right]
    chosen = likely[0] if likely else raw
    if chosen is None:
        raise InputError(
            f"{tree.path}: contains no raw counts; {_found(tree, experiment, assay)}; save the object with "
            "its raw counts, or name another file"
        )
    rest = [name for name in places if name != chosen.name]
    instead = f", not from {', '.join(rest)}" if rest else ""
    remarks.append(f"counts are taken from {chosen.name} of {_named(experiment, assay)}{instead}")
    return chosen, places


def _looks(tree: Tree, assay: Assay) -> Iterator[Place]:
    return (preview_place(tree, name, parts) for name, parts in assay.places.items())


def preview_place(tree: Tree, name: str, parts: list[Part]) -> Place:
    """Determine the matrices of a place, and preview some of their values."""
    place = Place(name, parts)
    try:
        for part in parts:
            view = view_of(part.matrix, tree, lambda node: read_whole(tree, node))
            if view is None:
                raise InputError(
                    f"{tree.path}: {part.where} is {describe(part.matrix)}, which cannot be read as a "
                    "matrix; turn it into a dgCMatrix or matrix in R and save it again"
                )
            for piece in view.pieces:
                piece.matrix.check(tree.path, part.where)
            place.views.append(view)
        kept = Vectors(tree, None, None)
        previews = [piece.matrix.glance(kept) for view in place.views for piece in view.pieces]
        place.preview = np.concatenate(previews) if previews else place.preview
    except InputError as error:
        place.problem = str(error)
        place.views = []
    return place


def read_whole(tree: Tree, node: Node) -> np.ndarray:
    """All numbers of a vector."""
    with tempfile.TemporaryDirectory() as folder, vectors(tree, [node], Path(folder)) as opened:
        return opened.numbers(node)[:]


def _are_equal(one: Place, other: Place) -> bool:
    shapes = [[view.shape for view in place.views] for place in (one, other)]
    return bool(one.views) and shapes[0] == shapes[1] and np.array_equal(one.preview, other.preview)


def _named(experiment: Experiment, assay: Assay) -> str:
    return f"{experiment.kind_of_assay} {assay.name}" if assay.name else f"the {experiment.what}"


def _found(tree: Tree, experiment: Experiment, assay: Assay) -> str:
    """All assays with all their places, the given assay first."""
    every = [assay, *(other for other in experiment.assays.values() if other is not assay)]
    places = ["; ".join(map(str, _looks(tree, each))) or "nothing in it" for each in every]
    listed = [f"{_named(experiment, each)} ({what})" for each, what in zip(every, places, strict=True)]
    return f"it has {', '.join(listed)}"
