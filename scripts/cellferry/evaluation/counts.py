"""Counts of a query's predictions against true labels, block by block."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..artifacts.counting import count_by
from ..artifacts.evaluation import Separation
from ..artifacts.latents import blocks, count_cells, read_codes
from ..core.progress import Progress
from ..labels.hierarchy import IN_REFERENCE, LabelHierarchy
from ..labels.vocabulary import LEAF_LEVEL, SET_SEPARATOR
from .metrics import Pairs, Reliability, auroc

ROWS = 1 << 13
"""Cells per block: a block's columns of strings are in memory several times."""

Answer = tuple[str | None, str, str | None, str | None]
"""Truth, label, level, reason."""

LOWER_OUT_OF_REFERENCE = {"ood_pvalue": True, "distance": False, "probability": True}
"""Scores that separate unknown from known cells, and whether unknown ones are lower."""


@dataclass
class Tally:
    """Counts of a query's cells.

    Attributes
    ----------
    n_cells
        All cells.
    answers
        Cells per true label (None if missing), prediction, its level and its reason.
    pairs
        By column of labels (`best_label`, `{head}_label`, `level_{name}`): cells per (truth, value), for
        cells with a true label.
    reliability
        By the same columns, for cells with a true label at the column's level.
    in_sets, set_sizes, n_sets
        For cells whose true label is one of the reference's: number with the label in the prediction set,
        total size of the sets, number of cells.
    """

    n_cells: int = 0
    answers: Counter[Answer] = field(default_factory=Counter)
    pairs: dict[str, Pairs] = field(default_factory=dict)
    reliability: dict[str, Reliability] = field(default_factory=dict)
    in_sets: int = 0
    set_sizes: int = 0
    n_sets: int = 0


def tally(predictions: str, tree: LabelHierarchy, heads: list[str]) -> Tally:
    """Count the cells of a parquet file of predictions, which has a column `truth`."""
    # Column of labels: that of their probability, and the level they are at.
    columns = {"best_label": ("probability", LEAF_LEVEL)}
    columns |= {f"{head}_label": (f"{head}_probability", LEAF_LEVEL) for head in heads}
    columns |= {f"level_{name}": (f"level_{name}_probability", name) for name in tree.names[1:]}
    answers = _counted(predictions, ["truth", "label", "level", "reason"])
    pairs = {column: _with_truth(_counted(predictions, ["truth", column])) for column in columns}
    counts = Tally(answers.total(), answers, pairs, _reliability(predictions, columns, tree))
    _count_sets(counts, _with_truth(_counted(predictions, ["truth", "prediction_set"])), tree)
    return counts


def _counted(predictions: str, columns: list[str]) -> Counter[tuple]:
    """Cells per combination of the columns' values."""
    rows = count_by(blocks([predictions], columns), columns)
    return Counter({tuple(row[column] for column in columns): row["cells"] for row in rows})


def _with_truth(counted: Counter[tuple]) -> Counter[tuple]:
    return Counter({values: n for values, n in counted.items() if values[0] is not None})


def _reliability(
    predictions: str, columns: dict[str, tuple[str, str]], tree: LabelHierarchy
) -> dict[str, Reliability]:
    """By column of labels; `columns` has the column of their probability, and their level."""
    by_column = {column: Reliability() for column in columns}
    read = ["truth", *columns, *(probability for probability, _ in columns.values())]
    progress = Progress("scored", count_cells([predictions]))
    for block in blocks([predictions], read, rows=ROWS):
        table = pa.table(block)
        table = table.filter(pc.is_valid(table["truth"]))
        for column, (probability, level) in columns.items():
            truth = _at_level(table["truth"], tree, level)
            says = pc.is_valid(truth)
            right = pc.equal(truth, table[column]).filter(says).to_numpy()
            by_column[column].add(table[probability].filter(says).to_numpy(), right)
        progress.add(len(block))
    return by_column


def _at_level(truth: pa.ChunkedArray, tree: LabelHierarchy, level: str) -> pa.ChunkedArray:
    """The node of each cell's true label at a level; null for coarser labels."""
    encoded = truth.combine_chunks().dictionary_encode()
    nodes = [tree.of_truth(value, level) for value in encoded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(nodes, pa.string()).take(encoded.indices)])


def _count_sets(counts: Tally, counted: Pairs, tree: LabelHierarchy) -> None:
    for (truth, joined), n in counted.items():
        if tree.kind(truth) != IN_REFERENCE:
            continue
        counts.n_sets += n
        if joined:
            # With marked ends, so that no label matches within a longer one.
            marked = f"{SET_SEPARATOR}{joined}{SET_SEPARATOR}"
            counts.in_sets += n * (f"{SET_SEPARATOR}{truth}{SET_SEPARATOR}" in marked)
            counts.set_sizes += n * (joined.count(SET_SEPARATOR) + 1)


def separation(
    predictions: str, known: set[str], unknown: list[str]
) -> tuple[dict[str, Separation], Separation]:
    """AUROC of cells of labels missing from the reference against cells of its labels.

    Parameters
    ----------
    predictions
        Parquet file of predictions.
    known
        True labels in the reference.
    unknown
        True labels missing from it.

    Returns
    -------
    By label of `unknown`, and for all together: AUROC of `ood_pvalue`, `distance` and `probability`; 1 if all
    unknown cells are farther, or less certain, than every known one, .5 by chance. Cells without a value are
    left out. One column is in memory at a time: 4 bytes per cell, and 4 to sort it.
    """
    codes, names = read_codes([predictions], "truth")
    # One entry more than names: code -1 (no truth) indexes the last.
    is_known = np.array([name in known for name in names] + [False])
    by_label: dict[str, dict[str, float | None]] = {label: {} for label in unknown}
    together: dict[str, float | None] = {}
    for column in LOWER_OUT_OF_REFERENCE:
        values = _column(predictions, column, len(codes))
        if LOWER_OUT_OF_REFERENCE[column]:
            np.negative(values, out=values)
        inside = values[is_known[codes]]
        inside = inside[~np.isnan(inside)]
        inside.sort()
        total, n_outside = 0.0, 0
        for label in unknown:
            outside = values[codes == names.index(label)]
            outside = outside[~np.isnan(outside)]
            area = auroc(inside, outside)
            by_label[label][column] = area
            if area is not None:
                total += area * len(outside)
                n_outside += len(outside)
        together[column] = total / n_outside if n_outside else None
    return {label: Separation(**areas) for label, areas in by_label.items()}, Separation(**together)


def _column(path: str, column: str, n_cells: int) -> np.ndarray:
    """A column of numbers of all cells (float32), NaN for null."""
    values = np.empty(n_cells, dtype=np.float32)
    start = 0
    for block in blocks([path], [column]):
        values[start : start + len(block)] = block.column(0).to_numpy(zero_copy_only=False)
        start += len(block)
    return values
