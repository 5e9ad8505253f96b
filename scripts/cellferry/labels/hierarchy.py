"""The hierarchy of labels: ancestors of each label, and true and predicted labels at each level.

True and predicted labels may be coarser than the reference's labels.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

from .vocabulary import LEAF_LEVEL, UNKNOWN

IN_REFERENCE = "in the reference"
COARSER = "at a coarser level"
NOT_PREDICTABLE = "not predictable"
NOT_IN_REFERENCE = "not in the reference"


@dataclass(frozen=True)
class LabelHierarchy:
    """Labels, and the coarser ones above them.

    Attributes
    ----------
    levels
        Names of the levels above the labels, the coarsest first.
    nodes
        By label, its node on each of these levels; None if missing.
    leaves
        The labels that can be predicted, sorted, in the order of columns of probabilities. Other labels have
        too few cells.
    """

    levels: list[str] = field(default_factory=list)
    nodes: dict[str, list[str | None]] = field(default_factory=dict)
    leaves: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of all levels, the finest (`label`) first."""
        return [LEAF_LEVEL, *self.levels[::-1]]

    @cached_property
    def coarser_labels(self) -> set[str]:
        """Nodes of all levels above the labels."""
        return {node for nodes in self.nodes.values() for node in nodes if node is not None}

    @cached_property
    def nodes_of_leaves(self) -> dict[str, tuple[list[str], list[int]]]:
        """By level: names of the nodes that leaves have there, sorted, and each leaf's as a code."""
        found = {}
        for level in self.names:
            above = [self.node(leaf, level) for leaf in self.leaves]
            nodes = sorted(set(above))
            codes = {node: code for code, node in enumerate(nodes)}
            found[level] = nodes, [codes[node] for node in above]
        return found

    def node(self, label: str, level: str) -> str | None:
        """The node of a label at a level."""
        return label if level == LEAF_LEVEL else self.nodes[label][self.levels.index(level)]

    def leaves_below(self, node: str) -> list[str]:
        """Labels below a node of any level that can be predicted, sorted."""
        return [leaf for leaf in self.leaves if leaf != node and node in self.nodes[leaf]]

    def is_coarse(self, label: str) -> bool:
        """True if a label cannot be predicted but labels below it can."""
        return label not in self.leaves and bool(self.leaves_below(label))

    def drop_label(self, label: str) -> "LabelHierarchy":
        """The hierarchy in which a label cannot be predicted."""
        return replace(self, leaves=[leaf for leaf in self.leaves if leaf != label])

    def kind(self, truth: str) -> str:
        """How a true label relates to the reference: one of this module's constants."""
        level = self._level_of.get(truth)
        if level is None:
            # A coarser label above rare ones only cannot be predicted either.
            is_rare = truth in self.nodes or truth in self.coarser_labels
            return NOT_PREDICTABLE if is_rare else NOT_IN_REFERENCE
        return IN_REFERENCE if level == LEAF_LEVEL else COARSER

    def of_truth(self, truth: str, at: str) -> str | None:
        """The node of a true label at a level; None if the label is coarser.

        A name at several levels means the finest.
        """
        return self._above.get((self._level_of.get(truth, LEAF_LEVEL), truth), {}).get(at)

    def of_answer(self, label: str, level: str | None, at: str) -> str:
        """A prediction at `level` as a node of the level `at`: `unknown` if it is coarser."""
        return self._above.get((level or LEAF_LEVEL, label), {}).get(at, UNKNOWN)

    def is_right(self, truth: str, label: str, level: str | None) -> bool:
        """True if a prediction agrees with the truth, at the coarser of their two levels."""
        levels = self._level_of.get(truth, LEAF_LEVEL), level or LEAF_LEVEL
        at = max(levels, key=self.names.index)
        return self.of_truth(truth, at) == self.of_answer(label, level, at)

    @cached_property
    def _level_of(self) -> dict[str, str]:
        """The finest level of each name that can be predicted."""
        levels: dict[str, str] = {}
        for level in self.names:
            for leaf in self.leaves:
                levels.setdefault(self.node(leaf, level), level)
        return levels

    @cached_property
    def _above(self) -> dict[tuple[str, str], dict[str, str]]:
        """By level and name: nodes of the name there and at the levels above."""
        above_of: dict[tuple[str, str], dict[str, str]] = {}
        for place, level in enumerate(self.names):
            below: dict[str, list[str]] = {}
            for leaf in self.leaves:
                below.setdefault(self.node(leaf, level), []).append(leaf)
            for node, leaves in below.items():
                above = {upper: {self.node(leaf, upper) for leaf in leaves} for upper in self.names[place:]}
                # A level above has no single node if it separates the node's labels.
                above_of[level, node] = {
                    upper: nodes.pop() for upper, nodes in above.items() if len(nodes) == 1
                }
        for label in self.nodes.keys() - self._level_of.keys():
            above = zip(self.levels, self.nodes[label], strict=True)
            above_of[LEAF_LEVEL, label] = {level: node for level, node in above if (level, node) in above_of}
        return above_of
