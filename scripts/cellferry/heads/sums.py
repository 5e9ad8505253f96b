"""Training cells with a coarser label: drawn cells, their values, and the heads trained on them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..config.available_heads import LEARN_SUMS, LINEAR, MANY_LABELS
from .marginal import CoarseCells, Values


class DrawnCoarse(NamedTuple):
    """Training cells that were drawn and whose label is a coarser one.

    Attributes
    ----------
    rows
        Their rows in the part, ascending.
    nodes
        Number of each one's label among the coarser ones.
    below
        Labels below each coarser one: nodes × labels, bool.
    part
        Positions of the training cells of models on expression.
    """

    rows: np.ndarray
    nodes: np.ndarray
    below: np.ndarray
    part: np.ndarray

    def with_values(
        self, values_of: Callable[[np.ndarray], Values], *, whole: bool = False
    ) -> CoarseCells | None:
        """The training cells of models on expression, or all; None without any.

        Parameters
        ----------
        values_of
            Values of rows of the training cells.
        whole
            Whether to include those that models on expression leave out.
        """
        chosen = np.arange(len(self.rows)) if whole else self.part
        if len(chosen) == 0:
            return None
        return CoarseCells(values_of(self.rows[chosen]), self.nodes[chosen], self.below)


def teaching_labels(below: dict[str, list[str]], names: list[str]) -> list[str]:
    """Those of the names that are coarser labels, without one that all other labels are below."""
    labels = {name for name in names if name not in below}
    for name in (name for name in names if labels and labels == set(below.get(name, ())) & labels):
        print(f"cells with the coarser label '{name}' are not used for training: all labels are below it")
        below = {other: leaves for other, leaves in below.items() if other != name}
    return [name for name in names if name in below]


def print_use(coarse: DrawnCoarse | None, coarser: list[str], heads: list[str], *, n_labels: int) -> None:
    """Print the number of training cells per coarser label, and the heads that use them."""
    if not coarser:
        return
    taught = np.zeros(len(coarser), dtype=int)
    if coarse is not None:
        taught = np.bincount(coarse.nodes, minlength=len(coarser))
    for name, n_cells in zip(coarser, taught, strict=True):
        print(f"coarser label '{name}': {n_cells} cells train the sum of the labels below it")
    learn = [name for name in heads if name in LEARN_SUMS]
    if n_labels > MANY_LABELS:
        learn = [name for name in learn if name not in LINEAR]
    others = [name for name in heads if name not in learn and name != "scanvi"]
    print(f"heads trained on these cells: {', '.join(learn) or 'none'}")
    if others:
        print(f"left out of {', '.join(others)}, which need one label per cell")
    if "scanvi" in heads:
        print("scanvi was trained on them as unlabeled cells")
