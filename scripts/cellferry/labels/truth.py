"""What labels mean at each level: a truth may be coarser than the labels of the reference, or an answer."""

import json
from collections.abc import Iterable
from pathlib import Path

from .vocabulary import LEAF_LEVEL, UNKNOWN

IN_REFERENCE = "in the reference"
COARSER = "at a coarser level"
NOT_PREDICTABLE = "not predictable"
NOT_IN_REFERENCE = "not in the reference"


class LabelTree:
    """The labels that can be answered and what stands above them.

    Parameters
    ----------
    labels
        Labels that the classifiers know.
    rare
        Labels of the reference that they do not know, for want of cells.
    levels
        The levels above, coarsest first: `name`, and `of`, the node of each label.

    Attributes
    ----------
    names
        Names of the levels, the finest (`label`) first.
    """

    def __init__(self, labels: Iterable[str], rare: Iterable[str], levels: list[dict]) -> None:
        coarser = levels[::-1]
        self.names = [LEAF_LEVEL, *(level["name"] for level in coarser)]
        labels = list(labels)
        # By level and name: what the name means there and at the levels above.
        self._above: dict[tuple[str, str], dict[str, str]] = {}
        self._level_of = dict.fromkeys(labels, LEAF_LEVEL)
        for label in labels:
            self._above[LEAF_LEVEL, label] = {LEAF_LEVEL: label} | _nodes(label, coarser)
        for position, level in enumerate(coarser):
            for node in sorted({level["of"][label] for label in labels}):
                self._level_of.setdefault(node, level["name"])
                below = [label for label in labels if level["of"][label] == node]
                # A level above says nothing about a node whose labels it tells apart.
                above = {
                    upper["name"]: upper["of"][below[0]]
                    for upper in coarser[position + 1 :]
                    if len({upper["of"][label] for label in below}) == 1
                }
                self._above[level["name"], node] = {level["name"]: node} | above
        rare = set(rare)
        # A coarser label of rare ones alone cannot be answered either.
        barren = {level["of"][label] for level in coarser for label in rare if label in level["of"]}
        self._rare = (rare | barren) - set(self._level_of)
        for label in self._rare:
            self._level_of[label] = LEAF_LEVEL
            nodes = _nodes(label, coarser).items()
            self._above[LEAF_LEVEL, label] = {
                name: node for name, node in nodes if (name, node) in self._above
            }

    @classmethod
    def read(cls, classifier: str | Path, reference_labels: str | Path) -> "LabelTree":
        """From the folder of the classifiers, and what split_reference says about the reference's labels."""
        known = json.loads((Path(classifier) / "labels.json").read_text(encoding="utf-8"))
        seen = json.loads(Path(reference_labels).read_text(encoding="utf-8"))["labels"]
        return cls(known["labels"], set(seen) - set(known["labels"]), known["levels"])

    def kind(self, truth: str) -> str:
        """What the reference knows of a true label: one of this module's constants."""
        if truth not in self._level_of:
            return NOT_IN_REFERENCE
        if truth in self._rare:
            return NOT_PREDICTABLE
        return IN_REFERENCE if self._level_of[truth] == LEAF_LEVEL else COARSER

    def of_truth(self, truth: str, at: str) -> str | None:
        """What a true label is at a level; None where it says nothing about it.

        A name that stands at several levels is taken for the finest.
        """
        return self._above.get((self._level_of.get(truth, LEAF_LEVEL), truth), {}).get(at)

    def of_answer(self, label: str, level: str | None, at: str) -> str:
        """What an answer at `level` is at the level `at`: `unknown` where it was not that precise."""
        return self._above.get((level or LEAF_LEVEL, label), {}).get(at, UNKNOWN)

    def is_right(self, truth: str, label: str, level: str | None) -> bool:
        """Whether an answer agrees with the truth, at the coarser of their two levels."""
        order = self.names.index
        at = max(self._level_of.get(truth, LEAF_LEVEL), level or LEAF_LEVEL, key=order)
        return self.of_truth(truth, at) == self.of_answer(label, level, at)


def _nodes(label: str, coarser: list[dict]) -> dict[str, str]:
    return {level["name"]: level["of"][label] for level in coarser if label in level["of"]}
