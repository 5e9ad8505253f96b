"""What the answer is: cells per label, counted from a query's predictions block by block."""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from .cells import UNKNOWN
from .latents import blocks


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
        One dict per label, the largest first: `label`, `cells`, `share` of all cells, `probability`
        (mean over its cells). `unknown` is not among them.
    """

    n_cells: int
    n_unknown: int
    labels: list[dict]


def count_labels(predictions: str) -> LabelCounts:
    """Count the answers in a parquet file of predictions."""
    cells: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for block in blocks([predictions], ["label", "probability"]):
        grouped = pa.table(block).group_by("label").aggregate([("probability", "sum"), ([], "count_all")])
        for row in grouped.to_pylist():
            cells[row["label"]] += row["count_all"]
            sums[row["label"]] += row["probability_sum"]
    n_cells = cells.total()
    n_unknown = cells.pop(UNKNOWN, 0)
    labels = [
        {"label": label, "cells": n, "share": n / n_cells, "probability": sums[label] / n}
        for label, n in sorted(cells.items(), key=lambda item: (-item[1], item[0]))
    ]
    return LabelCounts(n_cells, n_unknown, labels)
