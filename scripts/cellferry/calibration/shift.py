"""Raised thresholds for a query that is less certain than held-out cells.

Held-out cells estimate the error for similar cells. Cells of another laboratory are often less certain, and
their own probabilities show it: the mean of 1 - probability over assigned labels is the expected error. It
does not detect that two studies define labels differently.
"""

from dataclasses import replace

import numpy as np

from ..artifacts.decision import DecisionModel, RaisedThresholds
from ..labels.best_path import best_path
from ..labels.hierarchy import LabelHierarchy
from .thresholds import NEVER


def raise_thresholds(
    decision: DecisionModel, probabilities: np.ndarray, usable: np.ndarray, hierarchy: LabelHierarchy
) -> DecisionModel:
    """The decision for a query: no threshold is lower, and the expected error is at most the one allowed.

    Per level, the finest first, cells with a label there must exceed one more threshold, common to all
    labels: the lowest with an expected error within the limit. 1 / max_error held-out cells are added, so
    that a few cells do not decide.

    Parameters
    ----------
    decision
        The decision fitted on held-out cells.
    probabilities
        Calibrated probabilities of a random sketch of the query: cells × leaves.
    usable
        Mask of cells within the reference and of sufficient quality.
    hierarchy
        The hierarchy of the leaves.
    """
    max_error = decision.held_out.max_error
    probabilities = probabilities[usable]
    thresholds, given_before, given = {}, [], []
    open_before, still_open = (np.ones(len(probabilities), dtype=bool) for _ in range(2))
    for level, nodes, _, best, probability in reversed(best_path(probabilities, hierarchy)):
        learned = np.array([decision.thresholds[level][node] for node in nodes])
        passes = probability >= learned[best]
        given_before.append(probability[open_before & passes])
        open_before &= ~passes
        least = least_probability(
            probability[still_open & passes], max_error, known_error=decision.held_out.error
        )
        passes &= probability >= least
        given.append(probability[still_open & passes])
        still_open &= ~passes
        thresholds[level] = dict(zip(nodes, np.maximum(learned, least).tolist(), strict=True))
    before, after = np.concatenate(given_before), np.concatenate(given)
    return replace(
        decision,
        thresholds=dict(reversed(thresholds.items())),
        set_thresholds=covering_thresholds(decision, probabilities, max_error),
        raised=RaisedThresholds(
            cells=len(usable),
            labeled=len(after),
            labeled_before=len(before),
            expected_error=float(1 - after.mean()) if len(after) else None,
            expected_error_before=float(1 - before.mean()) if len(before) else None,
        ),
    )


def least_probability(probability: np.ndarray, max_error: float, *, known_error: float | None) -> float:
    """The lowest probability above which the expected error is at most `max_error`; 0 if it is for all.

    Parameters
    ----------
    probability
        Probabilities of cells that would get a label.
    max_error
        Accepted share of wrong labels among assigned ones.
    known_error
        Error of held-out cells, 1 / max_error of which are added; None without any.
    """
    candidates, cells_of = np.unique(probability, return_counts=True)
    known_error = max_error if known_error is None else min(known_error, max_error)
    # From the most certain cells down: cumulative numbers of cells, and of expected errors.
    cells = np.cumsum(cells_of[::-1])
    wrong = np.cumsum(((1.0 - candidates) * cells_of)[::-1], dtype=np.float64)
    passing = np.flatnonzero(wrong + known_error / max_error <= max_error * cells + 1)
    if len(candidates) == 0 or (len(passing) and passing[-1] == len(candidates) - 1):
        return 0.0
    return float(candidates[::-1][passing[-1]]) if len(passing) else NEVER


def covering_thresholds(
    decision: DecisionModel, probabilities: np.ndarray, max_error: float
) -> dict[str, float]:
    """Thresholds of prediction sets, lowered until the expected coverage is 1 - max_error.

    The expected coverage of a set is the sum of its labels' probabilities. The thresholds of all labels get
    one upper bound.
    """
    labels = list(decision.set_thresholds)
    learned = np.array([decision.set_thresholds[label] for label in labels])
    n_cells = len(probabilities)
    # Without held-out cells sets have no coverage to keep.
    if n_cells == 0 or decision.held_out.cells == 0:
        return decision.set_thresholds
    inside = probabilities >= learned
    inside[np.arange(n_cells), probabilities.argmax(axis=1)] = True
    missing = (1 - max_error) * n_cells - probabilities[inside].sum(dtype=np.float64)
    if missing <= 0:
        return decision.set_thresholds
    # The most probable of the other labels are added first, until the coverage is reached.
    others = np.sort(probabilities[~inside])[::-1]
    n_needed = int(np.searchsorted(np.cumsum(others, dtype=np.float64), missing))
    bound = float(others[min(n_needed, len(others) - 1)]) if len(others) else 0.0
    return dict(zip(labels, np.minimum(learned, bound).tolist(), strict=True))
