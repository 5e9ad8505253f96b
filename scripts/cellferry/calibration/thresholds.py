"""Probability thresholds of labels that keep the error within the user's limit."""

from dataclasses import dataclass

import numpy as np

from ..labels.best_path import node_codes
from ..labels.hierarchy import LabelHierarchy

NEVER = 2.0
"""A threshold that no probability reaches."""

UNTESTED = 0.5
"""Threshold if all held-out cells may be assigned: less certain cells are assigned too, down to this."""


MIN_CELLS = 5
"""Number of a node's most probable held-out cells that are used at every threshold."""


@dataclass(frozen=True)
class Held:
    """Held-out cells at one level: predicted node, probability, and whether it is right."""

    nodes: np.ndarray
    probability: np.ndarray
    right: np.ndarray

    def of_cells(self, kept: np.ndarray) -> "Held":
        """Some of them, given as a mask."""
        return Held(self.nodes[kept], self.probability[kept], self.right[kept])

    def of_node(self, node: int) -> "Held":
        """Cells with one predicted node."""
        return self.of_cells(self.nodes == node)


MIN_RARE = 0.8
"""A rare label, known from few cells, must be four times as likely as all others together."""

MAX_VETOED = 0.005
"""Share of held-out cells, all of other labels, that may be assigned a rare label."""


def rare_threshold(probability: np.ndarray, *, max_error: float) -> float:
    """Probability threshold of rare labels.

    Parameters
    ----------
    probability
        Probability of held-out cells' most probable rare label; empty without rare labels.
    max_error
        Accepted share of wrong labels among assigned ones; with 1 every cell gets a label.
    """
    if max_error >= 1:
        return NEVER
    if len(probability) == 0:
        return MIN_RARE
    return max(MIN_RARE, float(np.quantile(probability, 1 - MAX_VETOED, method="higher")))


def label_thresholds(held: Held, parents: np.ndarray, *, max_error: float) -> np.ndarray:
    """Lowest probability at which each node is assigned.

    A node's error above a threshold is estimated in four steps, each of which weighs s = 1 / max_error cells
    in the next: the error that the calibrated probabilities expect, the mean of 1 - probability; the held-out
    cells of all nodes, (wrong + s × expected) / (cells + s); those of the nodes of one parent, (wrong + s ×
    error of all) / (cells + s); and those predicted as the node itself. So a node with many held-out cells
    follows these, a node with few its siblings or all nodes together, and with few cells in total all nodes
    follow the probabilities. A node's five most probable cells are used at every threshold: a node that is
    always wrong would be assigned above them otherwise. The lowest threshold with an estimate of at most
    `max_error` is taken; if that holds with all held-out cells, it is lowered to one half.

    Parameters
    ----------
    held
        Held-out cells.
    parents
        Parent of each node, as a code; at the coarsest level one for all.
    max_error
        Accepted share of wrong labels among assigned ones; 1 assigns every label.

    Returns
    -------
    Thresholds, one per node; `NEVER` for a node that is never assigned. Without held-out cells
    1 - max_error.
    """
    n_nodes = len(parents)
    if max_error >= 1:
        return np.zeros(n_nodes)
    if len(held.nodes) == 0:
        return np.full(n_nodes, 1 - max_error)
    strength = 1 / max_error
    candidates = np.unique(held.probability)
    wrong, cells, expected = above(held, candidates)
    of_all = (wrong + strength * expected / cells) / (cells + strength)
    of_parents = dict.fromkeys(parents.tolist(), of_all)
    # A single parent has all cells, which are counted already.
    for parent in of_parents if len(of_parents) > 1 else []:
        wrong, cells, _ = above(held.of_cells(parents[held.nodes] == parent), candidates)
        of_parents[parent] = (wrong + strength * of_all) / (cells + strength)
    thresholds = np.empty(n_nodes)
    for node in range(n_nodes):
        of_node = held.of_node(node)
        likeliest = np.sort(of_node.probability)[-MIN_CELLS:]
        wrong, cells, _ = above(of_node, np.minimum(candidates, likeliest.min(initial=np.inf)))
        estimate = (wrong + strength * of_parents[parents[node]]) / (cells + strength)
        passing = candidates[estimate <= max_error]
        if len(passing) == 0:
            thresholds[node] = NEVER
        elif passing[0] == candidates[0]:
            thresholds[node] = min(passing[0], UNTESTED)
        else:
            thresholds[node] = passing[0]
    return thresholds


def above(held: Held, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wrong cells, all cells, and the wrong ones expected, with a probability of at least each threshold."""
    order = np.argsort(held.probability)
    below = np.searchsorted(held.probability[order], thresholds)
    wrong = np.concatenate([[0], np.cumsum(~held.right[order])])
    expected = np.concatenate([[0], np.cumsum(1 - held.probability[order], dtype=np.float64)])
    return wrong[-1] - wrong[below], len(order) - below, expected[-1] - expected[below]


def set_thresholds(
    probability_of_truth: np.ndarray, codes: np.ndarray, hierarchy: LabelHierarchy, *, max_error: float
) -> np.ndarray:
    """Threshold of each label in the prediction set, from held-out cells of the label.

    Class-conditional (Mondrian) conformal prediction: the set contains the true label in 1 - max_error of a
    label's cells, also for small labels. A label with too few held-out cells uses those of its nearest
    ancestor with enough, and finally all.

    Parameters
    ----------
    probability_of_truth
        Held-out cells' probabilities of their true label.
    codes
        Their labels.
    hierarchy
        The labels, and those above them.
    max_error
        Share of cells whose truth is not in the set.

    Returns
    -------
    A threshold per label.
    """
    thresholds = np.full(len(hierarchy.leaves), set_threshold(probability_of_truth, max_error=max_error))
    for level in hierarchy.names[::-1]:
        nodes, of_leaf = node_codes(hierarchy, level)
        for node in range(len(nodes)):
            of_node = probability_of_truth[of_leaf[codes] == node]
            if (len(of_node) + 1) * max_error >= 1:
                thresholds[of_leaf == node] = set_threshold(of_node, max_error=max_error)
    return thresholds


def set_threshold(probability_of_truth: np.ndarray, *, max_error: float) -> float:
    """Probability from which on a label is in the prediction set, which holds the truth in 1 - max_error.

    Split conformal prediction (Sadinle et al. 2019): of held-out cells' probabilities of their true label,
    the one that all but a share of `max_error` reach. Too few cells give every label.
    """
    n_cells = len(probability_of_truth)
    n_missed = int(np.floor((n_cells + 1) * max_error))
    if n_missed < 1 or n_cells == 0:
        return 0.0
    return float(np.sort(probability_of_truth)[min(n_missed, n_cells) - 1])
