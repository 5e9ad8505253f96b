"""Wrong answers and unknown cells, counted from a confusion matrix."""

from collections import Counter

from ..artifacts.evaluation import Confusion
from ..labels.vocabulary import UNKNOWN

MAX_MISTAKES_SHOWN = 500


def cells_of_truth(confusion: Confusion) -> Counter[str]:
    """Cells by true label."""
    cells: Counter[str] = Counter()
    for row, _, n in confusion.cells:
        cells[confusion.truth[row]] += n
    return cells


def unknown_shares(confusion: Confusion) -> dict[str, float]:
    """Share of `unknown` cells by true label; labels without such cells are left out."""
    cells = cells_of_truth(confusion)
    return {
        confusion.truth[row]: n / cells[confusion.truth[row]]
        for row, column, n in confusion.cells
        if confusion.predicted[column] == UNKNOWN
    }


def mistakes(confusion: Confusion) -> list[dict]:
    """The most frequent wrong answers: truth, answer, cells, share of the true label's cells."""
    cells = cells_of_truth(confusion)
    counted = [
        {"truth": truth, "answer": answer, "cells": n, "share": n / cells[truth]}
        for row, column, n in confusion.cells
        if (answer := confusion.predicted[column]) != (truth := confusion.truth[row])
    ]
    return sorted(counted, key=lambda pair: -pair["cells"])[:MAX_MISTAKES_SHOWN]
