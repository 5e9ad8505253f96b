"""A query's labels in the Cell Annotation Schema: `results/labeled/{query}.cas.json`.

The schema (https://github.com/cellannotation/cell-annotation-schema, its core and the BICAN extension)
records label sets, which are obs columns of the labeled file, and one annotation per label of each.
"""

import json
from collections import defaultdict

from ..core.atomic import complete
from ..labels.hierarchy import LabelHierarchy
from ..labels.vocabulary import LEAF_LEVEL, UNKNOWN
from ..runs.hashes import labeled_by, of_predictions, of_settings
from ..runs.versions import versions
from .counting import count_by
from .json_files import read_artifact
from .labels import ReferenceLabels
from .latents import blocks, count_cells

SCHEMA_VERSION = "1.1.0"

MAX_CELLS_WITH_IDS = 50_000
"""Maximum of cells in a query with names listed by annotation; the h5ad has the names otherwise."""

MAX_TITLE = 200
"""Characters of a title, by the schema."""

type Groups = dict[tuple[str, str], "Group"]
"""By label set and label."""


class Group:
    """Cells of an annotation: their number, the sum of their probabilities, levels, reasons, and names."""

    def __init__(self) -> None:
        self.cells = 0
        self.probability = 0.0
        self.levels: set[str] = set()
        self.reasons: dict[str, int] = defaultdict(int)
        self.names: list[str] = []


def write_cell_annotations(predictions: str, labels: str, path: str, *, query: str) -> None:
    """Write the labels of a query's cells as JSON in the Cell Annotation Schema.

    Memory and size grow with the labels, and with the cells up to `MAX_CELLS_WITH_IDS`. The same predictions
    give the same bytes.

    Parameters
    ----------
    predictions
        Parquet file of all cells of the query.
    labels
        Labels of the reference.
    path
        File to write.
    query
        Name of the query.
    """
    known = read_artifact(ReferenceLabels, labels)
    columns = {level: column_of(level) for level in known.hierarchy.names}
    groups = counted(predictions, columns)
    if count_cells([predictions]) <= MAX_CELLS_WITH_IDS:
        add_names(groups, predictions, list(columns.values()))
    algorithm = f"cellferry {versions([])['cellferry']}"
    rank = {column: number for number, column in enumerate(columns.values())}
    order = sorted(groups, key=lambda key: (rank[key[0]], -groups[key].cells, key[1]))
    made_from = ", ".join(f"{name} {value}" for name, value in of_predictions([predictions]).items())
    head = {
        "title": query[:MAX_TITLE],
        # Required; the author of the annotations fills it in.
        "author_name": "",
        "description": f"Cell-type labels of {query}, transferred from an annotated reference by {algorithm}."
        + (f" Hashes of their inputs: {made_from}." if made_from else ""),
        "cellannotation_schema_version": SCHEMA_VERSION,
        "labelsets": [label_set(level, number, algorithm) for number, level in enumerate(columns)],
    }
    transfer = {"algorithm_name": algorithm} | source_of(labeled_by(predictions))
    with complete(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        # One annotation a line, and no more than one of them as text at a time.
        file.write(as_json(head)[:-1] + ', "annotations": [')
        for number, (column, label) in enumerate(order):
            group = groups[column, label]
            found = annotation(column, label, group, known, transfer)
            file.write(("," if number else "") + "\n" + as_json(found))
        file.write("\n]}\n")


def column_of(level: str) -> str:
    """The obs column with the labels of a level, which is the name of its label set."""
    return LEAF_LEVEL if level == LEAF_LEVEL else f"level_{level}"


def counted(predictions: str, columns: dict[str, str]) -> Groups:
    """Count cells by label set (the `columns` of levels) and label, in one pass."""
    above = [column for level, column in columns.items() if level != LEAF_LEVEL]
    keys = [LEAF_LEVEL, "level", "reason", *above]
    sums = ["probability", *(f"{column}_probability" for column in above)]
    groups: Groups = defaultdict(Group)
    for row in count_by(blocks([predictions], keys + sums), keys, sums=sums):
        for level, column in columns.items():
            group = groups[column, row[column]]
            answered = row["level"] if level == LEAF_LEVEL else level
            group.cells += row["cells"]
            if column == LEAF_LEVEL and row["reason"] is not None:
                group.reasons[row["reason"]] += row["cells"]
            if answered is not None:
                group.levels.add(answered)
                name = "probability" if answered == LEAF_LEVEL else f"{column_of(answered)}_probability"
                group.probability += row[name]
    return groups


def add_names(groups: Groups, predictions: str, columns: list[str]) -> None:
    """Add the names of the cells of each group, in the order of the file."""
    for block in blocks([predictions], ["cell", *columns]):
        names = block.column("cell").to_pylist()
        for column in columns:
            for name, label in zip(names, block.column(column).to_pylist(), strict=True):
                groups[column, label].names.append(name)


def label_set(level: str, rank: int, algorithm: str) -> dict:
    """The label set of a level; `automated_annotation` would need the address of a repository."""
    what = (
        f"The decision for each cell: a label of the finest level, a coarser one, or {UNKNOWN}."
        if level == LEAF_LEVEL
        else f"The best label of each cell at the level {level}, also of cells with the decision {UNKNOWN}."
    )
    return {
        "name": column_of(level),
        "description": f"{what} Transferred from an annotated reference by {algorithm}.",
        "annotation_method": "algorithmic",
        "rank": rank,
    }


def source_of(reference: dict[str, str]) -> dict[str, str]:
    """The schema's record of the reference, if the predictions name it."""
    name = " ".join(reference[key] for key in ("name", "version") if reference.get(key))
    return {"source_taxonomy": name} if name else {}


def annotation(
    column: str, label: str, group: Group, known: ReferenceLabels, transfer: dict[str, str]
) -> dict:
    """One annotation: label, number of cells and origin of the label."""
    found = {
        "labelset": column,
        "cell_label": label,
        "cell_set_accession": accession(column, label),
        "rationale": rationale(group),
        "author_annotation_fields": {"cells": group.cells},
    }
    above = parent(label, group.levels, column, known.hierarchy)
    if above is not None:
        found["parent_cell_set_accession"] = accession(*above)
    if label in known.ontology:
        found["cell_ontology_term_id"] = known.ontology[label]
    if group.levels:
        found["author_annotation_fields"]["mean_probability"] = round(group.probability / group.cells, 6)
        comment = "Label of the reference, given by calibrated classifiers."
        found["transferred_annotations"] = [{"transferred_cell_label": label, **transfer, "comment": comment}]
    if group.names:
        found["cell_ids"] = group.names
    return found


def accession(column: str, label: str) -> str:
    """An identifier of a set of cells, the same in every query; labels may hold any character."""
    return of_settings([column, label])


def parent(label: str, levels: set[str], column: str, hierarchy: LabelHierarchy) -> tuple[str, str] | None:
    """Label set and label of the next coarser set that holds all cells of a label; None at the top.

    A label at several levels has the parent that its cells share. A coarser label is in the set of its own
    level.
    """
    names = hierarchy.names
    lowest = 1 if column == LEAF_LEVEL else names.index(*levels) + 1
    for level in names[lowest:]:
        above = {hierarchy.of_answer(label, answered, level) for answered in levels}
        if len(above) == 1 and above != {UNKNOWN}:
            return column_of(level), above.pop()
    return None


def rationale(group: Group) -> str:
    """Reasons for labels and for `unknown`, in a sentence or two."""
    reasons = sorted(group.reasons.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{reason} {cells}" for reason, cells in reasons)
    mean = (
        f"Mean calibrated probability {group.probability / group.cells:.3f} over {group.cells} cells."
        if group.levels
        else f"{group.cells} cells without a label."
    )
    return f"{mean} By reason: {told}." if told else mean


def as_json(value: dict) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)
