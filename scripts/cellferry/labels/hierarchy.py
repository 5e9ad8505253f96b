"""Labels at several levels: a leaf's probability counts for all that it is part of."""

from dataclasses import dataclass

import numpy as np

from .vocabulary import LEAF_LEVEL


@dataclass(frozen=True)
class Level:
    """One level.

    Attributes
    ----------
    name
        The level's name.
    nodes
        Names of its nodes, sorted.
    of_leaf
        Node of each leaf, as a code.
    """

    name: str
    nodes: list[str]
    of_leaf: np.ndarray

    def sums(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities of the nodes (cells × nodes) from those of the leaves (cells × leaves)."""
        sums = np.zeros((len(probabilities), len(self.nodes)), dtype=np.float32)
        for leaf, node in enumerate(self.of_leaf):
            sums[:, node] += probabilities[:, leaf]
        return sums

    def without(self, leaf: int) -> "Level":
        """The level of all leaves but one; leaves behind it move up."""
        of_leaf = np.delete(self.of_leaf, leaf)
        if self.name != LEAF_LEVEL:
            return Level(self.name, self.nodes, of_leaf)
        return Level(self.name, [*self.nodes[:leaf], *self.nodes[leaf + 1 :]], np.arange(len(of_leaf)))


def read_levels(found: list[dict], leaves: list[str]) -> list[Level]:
    """All levels, the coarsest first and the leaves last.

    Parameters
    ----------
    found
        The coarser levels as `results/reference/labels.json` has them: `name`, and `of`: node by leaf.
    leaves
        The leaves, sorted.
    """
    levels = []
    for level in found:
        of = [level["of"][leaf] for leaf in leaves]
        nodes, codes = np.unique(np.array(of, dtype=str), return_inverse=True)
        levels.append(Level(level["name"], nodes.tolist(), codes))
    return [*levels, Level(LEAF_LEVEL, leaves, np.arange(len(leaves)))]


def best_path(probabilities: np.ndarray, levels: list[Level]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The best node at each level, and its probability.

    From the top: the best node of the coarsest level, the best within it, and so on. So a cell's levels
    never contradict each other, which the best node of each level by itself may do.

    Returns
    -------
    Per level the code of the node (one per cell) and its probability (float32).
    """
    cells = np.arange(len(probabilities))
    open_leaves = np.ones(probabilities.shape, dtype=bool)
    path = []
    for level in levels:
        sums = level.sums(probabilities)
        # Nodes outside of the one chosen above are out of the question.
        inside = np.zeros(sums.shape, dtype=bool)
        for leaf, node in enumerate(level.of_leaf):
            inside[:, node] |= open_leaves[:, leaf]
        best = np.where(inside, sums, -1).argmax(axis=1)
        path.append((best, sums[cells, best]))
        open_leaves &= level.of_leaf[None, :] == best[:, None]
    return path
