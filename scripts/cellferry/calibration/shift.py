"""Thresholds raised for a query whose cells are less sure than held-out ones.

Held-out cells promise an error for cells like them. Cells of another laboratory are often less sure, and
their own probabilities tell: the mean of 1 - probability of the labels given is the error that they expect.
It does not see that two studies draw labels differently.
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

    Level by level, the finest first: of the cells that would get a label there, those above one more
    threshold, common to all labels, the least with which their expected error is low enough. 1 / max_error
    held-out cells count beside them, so that a few cells do not decide.

    Parameters
    ----------
    decision
        As held-out cells taught it.
    probabilities
        Calibrated, of a random sketch of the query: cells × leaves.
    usable
        Which of these are inside the reference and of sufficient quality (mask).
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
    """The least probability above which the expected error is at most `max_error`; 0 where it is for all.

    Parameters
    ----------
    probability
        Of cells that would get a label.
    max_error
        Share of wrong labels among those given out.
    known_error
        That of held-out cells, 1 / max_error of which count as well; None where there were none.
    """
    candidates, cells_of = np.unique(probability, return_counts=True)
    known_error = max_error if known_error is None else min(known_error, max_error)
    # From the surest cells down: how many there are, and how many of them are expected to be wrong.
    cells = np.cumsum(cells_of[::-1])
    wrong = np.cumsum(((1.0 - candidates) * cells_of)[::-1], dtype=np.float64)
    passing = np.flatnonzero(wrong + known_error / max_error <= max_error * cells + 1)
    if len(candidates) == 0 or (len(passing) and passing[-1] == len(candidates) - 1):
        return 0.0
    return float(candidates[::-1][passing[-1]]) if len(passing) else NEVER


def covering_thresholds(
    decision: DecisionModel, probabilities: np.ndarray, max_error: float
) -> dict[str, float]:
    """Thresholds of prediction sets, lowered until these are expected to hold the truth in 1 - max_error.

    A set is expected to hold it with the sum of its labels' probabilities. The thresholds of all labels get
    one upper bound.
    """
    labels = list(decision.set_thresholds)
    learned = np.array([decision.set_thresholds[label] for label in labels])
    n_cells = len(probabilities)
    # Without held-out cells sets promise nothing that could be kept.
    if n_cells == 0 or decision.held_out.cells == 0:
        return decision.set_thresholds
    inside = probabilities >= learned
    inside[np.arange(n_cells), probabilities.argmax(axis=1)] = True
    missing = (1 - max_error) * n_cells - probabilities[inside].sum(dtype=np.float64)
    if missing <= 0:
        return decision.set_thresholds
    # Of the others the likeliest come in first, until enough are.
    others = np.sort(probabilities[~inside])[::-1]
    n_needed = int(np.searchsorted(np.cumsum(others, dtype=np.float64), missing))
    bound = float(others[min(n_needed, len(others) - 1)]) if len(others) else 0.0
    return dict(zip(labels, np.minimum(learned, bound).tolist(), strict=True))
