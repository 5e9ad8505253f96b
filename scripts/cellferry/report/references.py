"""Agreement of labels between several references, and the nearest reference of each cell."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq

from ..artifacts.counting import count_by
from ..artifacts.latents import blocks
from .costs import read_table

NEAREST = "nearest_reference"
MIN_SHARE = 0.1
"""Share of a label's cells from which a call is shown."""

SAME, UNJUDGED = "same", ("too few cells", "reference labels nothing", "one way only")
IN_WORDS = {
    SAME: "the same as {}",
    "narrower": "narrower than {}",
    "broader": "broader than {}",
    "overlapping": "overlaps with {}",
}
"""Relations of a label to others, in the order of a sentence."""

MAX_CONFLICTS_NAMED = 10
MAX_JUDGED_SHOWN = 500


@dataclass(frozen=True)
class JudgedLabel:
    """A label of a dataset, compared with the labels of another reference.

    Attributes
    ----------
    dataset, label, reference
        The dataset, its label, and the dataset that labels its cells.
    part, cells
        The labeled cells, `held-out` or `training`, and their number.
    calls
        Labels given to at least a tenth of these cells, with their shares, the most frequent first.
    relation
        Relation of the label to those of `reference`, in words.
    agrees, judged, conflict
        True if it is the same as one label there, if it could be compared, and if a label of the same name
        there covers other cells.
    """

    dataset: str
    label: str
    reference: str
    part: str
    cells: int
    calls: dict[str, float]
    relation: str
    agrees: bool
    judged: bool
    conflict: bool

    @property
    def calls_in_words(self) -> str:
        """The calls with their shares."""
        return ", ".join(f"{label} {share:.0%}" for label, share in self.calls.items())


def judged_labels(table: str | Path) -> list[JudgedLabel]:
    """Read train_classifier's table: one entry per label and reference, conflicts first."""
    rows = read_table(table)
    found = [
        _judged(key, list(of_label))
        for key, of_label in groupby(rows, lambda row: (row["dataset"], row["label"], row["reference"]))
    ]
    return sorted(found, key=lambda row: not row.conflict)


def _judged(key: tuple[str, str, str], rows: list[dict[str, str]]) -> JudgedLabel:
    """One label from its rows; each row holds a call."""
    dataset, label, reference = key
    calls = {row["called"]: float(row["share"]) for row in rows if row["called"]}
    by_relation: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["relation"]:
            by_relation[row["relation"]].append(row["called"])
    relations = [
        IN_WORDS[name].format(", ".join(by_relation[name])) for name in IN_WORDS if name in by_relation
    ]
    return JudgedLabel(
        dataset,
        label,
        reference,
        rows[0]["part"],
        int(rows[0]["cells"]),
        {name: share for name, share in calls.items() if share >= MIN_SHARE},
        " and ".join(relations) or next(iter(by_relation)),
        agrees=SAME in by_relation,
        judged=not set(UNJUDGED) & set(by_relation),
        conflict=rows[0]["conflict"] == "yes",
    )


def agreement(judged: Sequence[JudgedLabel]) -> list[dict]:
    """Numbers of compared, agreeing and conflicting labels, by dataset and labeling reference."""
    pairs: dict[tuple[str, str], list[JudgedLabel]] = defaultdict(list)
    for row in judged:
        pairs[row.dataset, row.reference].append(row)
    return [
        {
            "dataset": dataset,
            "reference": reference,
            "labels": len(rows),
            "judged": sum(row.judged for row in rows),
            "agree": sum(row.agrees for row in rows),
            "conflicts": sum(row.conflict for row in rows),
        }
        for (dataset, reference), rows in sorted(pairs.items())
    ]


def conflicts_in_words(judged: Sequence[JudgedLabel]) -> list[str]:
    """One sentence per label that two references give to different cells, with the calls of both."""
    by_name: dict[tuple[str, frozenset[str]], list[JudgedLabel]] = defaultdict(list)
    for row in judged:
        if row.conflict:
            by_name[row.label, frozenset((row.dataset, row.reference))].append(row)
    sentences = []
    for (label, datasets), rows in by_name.items():
        calls = "; ".join(
            f"{row.reference} calls those of {row.dataset} {row.calls_in_words}" for row in rows
        )
        sentences.append(
            f"{label}: {' and '.join(sorted(datasets))} use this label for different cells, which were "
            f"trained on as one label. {calls}. Rename the label in the label column of one of them."
        )
    more = len(sentences) - MAX_CONFLICTS_NAMED
    named = sentences[:MAX_CONFLICTS_NAMED]
    return (
        [*named, f"{more} more labels are used for different cells by two references."] if more > 0 else named
    )


def nearest_references(predictions: str) -> dict | None:
    """Cells of a query by answer and nearest reference; None if the predictions lack the column.

    Returns
    -------
    `names` of the references, `cells` by name, and `labels`: by answer, the most frequent first, the cells by
    name.
    """
    if NEAREST not in pq.read_schema(predictions).names:
        return None
    by_label: dict[str, Counter] = defaultdict(Counter)
    for row in count_by(blocks([predictions], ["label", NEAREST]), ["label", NEAREST]):
        by_label[row["label"]][row[NEAREST]] += row["cells"]
    cells = sum(by_label.values(), Counter())
    ordered = sorted(by_label, key=lambda label: (-by_label[label].total(), label))
    return {"names": sorted(cells), "cells": cells, "labels": {label: by_label[label] for label in ordered}}


def side_by_side(table: str | None, predicted: dict[str, str], references: Sequence[str]) -> dict:
    """Template variables on several references; empty lists and dicts for a single one.

    Parameters
    ----------
    table
        Table of agreeing labels that train_classifier wrote.
    predicted
        Predictions by query.
    references
        Names of the references.
    """
    judged = judged_labels(table) if table else []
    nearest = {query: nearest_references(path) for query, path in predicted.items()}
    return {
        "judged": judged,
        "max_judged_shown": MAX_JUDGED_SHOWN,
        "agreement": agreement(judged),
        "not_learned": sorted(set(references) - {row.dataset for row in judged}) if table else [],
        "nearest": {query: found for query, found in nearest.items() if found},
    }
