"""Cells per label, counted from a query's predictions."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..artifacts.counting import count_by
from ..artifacts.latents import blocks, count_cells
from ..labels.vocabulary import LEAF_LEVEL, MAPPINGS, UNKNOWN

MIN_CELLS_OF_LABEL = 20
"""Smallest number of cells for a reliable mean probability of a label."""


@dataclass(frozen=True)
class LabelCounts:
    """Cells per label of a query.

    Attributes
    ----------
    n_cells
        All cells.
    n_unknown
        Cells that were called unknown.
    labels
        One dict per label, the largest first: `label`, its `level`, `cells`, `share` of all cells,
        `probability` (mean over its cells). `unknown` is not among them.
    reasons
        Cells by the reason why they are unknown, or have a label of a coarser level; the largest first.
    same_by_mappings
        Share of cells to which heads on latents give the same label in both mappings; None for a single
        mapping.
    rare
        Cells by the rare label that they resemble, the largest first.
    """

    n_cells: int
    n_unknown: int
    labels: list[dict]
    reasons: dict[str, int]
    same_by_mappings: float | None = None
    rare: dict[str, int] = field(default_factory=dict)

    @property
    def n_coarser(self) -> int:
        """Cells that got a label of a level above the reference's own labels."""
        return sum(entry["cells"] for entry in self.labels if entry["level"] != LEAF_LEVEL)

    @property
    def expected_error(self) -> float | None:
        """Expected share of wrong labels, by their probabilities; None without labels."""
        labeled = sum(entry["cells"] for entry in self.labels)
        wrong = sum(entry["cells"] * (1 - entry["probability"]) for entry in self.labels)
        return wrong / labeled if labeled else None

    @property
    def expected_errors(self) -> dict[str, float]:
        """Expected error of each label that was given to 20 cells or more."""
        return {
            entry["label"]: 1 - entry["probability"]
            for entry in self.labels
            if entry["cells"] >= MIN_CELLS_OF_LABEL
        }


def count_labels(predictions: list[str]) -> LabelCounts:
    """Count answers in parquet files of predictions."""
    cells: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    rare: Counter[str] = Counter()
    n_unknown = 0
    columns = pq.read_schema(predictions[0]).names
    keys = ["label", "level", "reason", *({"rare_label"} & set(columns))]
    probabilities = ["probability"]
    probabilities += [name for name in columns if name.startswith("level_") and name.endswith("_probability")]
    for row in count_by(blocks(predictions, keys + probabilities), keys, sums=probabilities):
        label, level = row["label"], row["level"]
        if row["reason"] is not None:
            reasons[row["reason"]] += row["cells"]
        if row.get("rare_label") is not None:
            rare[row["rare_label"]] += row["cells"]
        if label == UNKNOWN:
            n_unknown += row["cells"]
        if level is not None:
            cells[label, level] += row["cells"]
            sums[label, level] += row["probability" if level == LEAF_LEVEL else f"level_{level}_probability"]
    n_cells = cells.total() + n_unknown
    labels = [
        {"label": label, "level": level, "cells": n, "share": n / n_cells}
        | {"probability": sums[label, level] / n}
        for (label, level), n in sorted(cells.items(), key=lambda item: (-item[1], item[0]))
    ]
    same = _same_by_mappings(predictions)
    return LabelCounts(
        n_cells, n_unknown, labels, dict(reasons.most_common()), same, dict(rare.most_common())
    )


def _same_by_mappings(predictions: list[str]) -> float | None:
    columns = [f"{mapping}_label" for mapping in MAPPINGS]
    if not set(columns).issubset(pq.read_schema(predictions[0]).names):
        return None
    same = [pc.mean(pc.equal(*block.columns)).as_py() * len(block) for block in blocks(predictions, columns)]
    return sum(same) / count_cells(predictions) if same else None
