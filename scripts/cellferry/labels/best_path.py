"""Labels at several levels: a node's probability is the sum of its leaves'."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from .hierarchy import LabelHierarchy
from .vocabulary import LEAF_LEVEL


class BestNodes(NamedTuple):
    """The best node of each cell at a level.

    Attributes
    ----------
    level
        The level's name.
    nodes
        Names of its nodes, sorted.
    of_leaf
        Node of each leaf, as a code.
    codes
        Node of each cell, as a code.
    probability
        Its probability (float32).
    """

    level: str
    nodes: list[str]
    of_leaf: np.ndarray
    codes: np.ndarray
    probability: np.ndarray


def best_path(probabilities: np.ndarray, hierarchy: LabelHierarchy) -> list[BestNodes]:
    """The best node at each level, the coarsest first and the leaves last.

    From the top: the best node of the coarsest level, the best within it, and so on. So a cell's levels
    never contradict each other, which the best node of each level by itself may do.

    Parameters
    ----------
    probabilities
        Cells × leaves.
    hierarchy
        The hierarchy of these leaves.
    """
    cells = np.arange(len(probabilities))
    open_leaves = np.ones(probabilities.shape, dtype=bool)
    path = []
    for level in [*hierarchy.levels, LEAF_LEVEL]:
        nodes, of_leaf = node_codes(hierarchy, level)
        sums = sums_by_node(probabilities, of_leaf)
        # Nodes outside of the one chosen above are out of the question.
        if not path:
            best = sums.argmax(axis=1)
        else:
            inside = open_leaves if level == LEAF_LEVEL else sums_by_node(open_leaves, of_leaf) > 0
            allowed = np.full(sums.shape, -1, dtype=np.float32)
            np.copyto(allowed, sums, where=inside)
            best = allowed.argmax(axis=1)
        path.append(BestNodes(level, nodes, of_leaf, best, sums[cells, best]))
        if level != LEAF_LEVEL:
            open_leaves &= of_leaf[None, :] == best[:, None]
    return path


def node_codes(hierarchy: LabelHierarchy, level: str) -> tuple[list[str], np.ndarray]:
    """Names of a level's nodes, sorted, and the node of each leaf as a code."""
    if level == LEAF_LEVEL:
        return hierarchy.leaves, np.arange(len(hierarchy.leaves))
    nodes, codes = hierarchy.nodes_of_leaves[level]
    return nodes, np.array(codes)


def sums_by_node(probabilities: np.ndarray, of_leaf: np.ndarray) -> np.ndarray:
    """Probabilities of the nodes (cells × nodes, float32) from those of the leaves (cells × leaves)."""
    n_leaves, n_nodes = len(of_leaf), int(of_leaf.max()) + 1
    if n_nodes == n_leaves and (of_leaf == np.arange(n_leaves)).all():
        return probabilities.astype(np.float32, copy=False)
    ones = np.ones(n_leaves, dtype=np.float32)
    below = sparse.csr_matrix((ones, (of_leaf, np.arange(n_leaves))), (n_nodes, n_leaves))
    return np.ascontiguousarray((below @ probabilities.T).T, dtype=np.float32)
