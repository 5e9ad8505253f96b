"""Labels with too few cells for training, compared by their mean expression; stored as npz.

A handful of cells is too few to train other heads, but their mean shows which genes rank high. A separate
head has the profiles of rare and of all other labels: its markers include those that distinguish rare labels,
and the probabilities of the voting head are unchanged.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .expression_ranks import ExpressionRanksHead, label_means
from .shrinkage import HeldOut


class RareLikeness(NamedTuple):
    """The most similar rare label of each cell.

    Attributes
    ----------
    labels
        Its name (object array of str).
    probability
        Its probability among all labels, rare ones or not (float32).
    """

    labels: np.ndarray
    probability: np.ndarray

    def of_cells(self, kept: np.ndarray) -> "RareLikeness":
        """The same of some cells, given as a mask."""
        return RareLikeness(self.labels[kept], self.probability[kept])


class RareLabels:
    """Ranks of marker genes beside the mean profiles of all labels, the rare ones last.

    Parameters
    ----------
    names
        The rare labels.
    ranks
        Profiles of the labels that can be predicted, then those of the rare ones.
    """

    file_name = "rare_labels.npz"

    def __init__(self, names: list[str], ranks: ExpressionRanksHead) -> None:
        self.names = names
        self.ranks = ranks

    @classmethod
    def train(
        cls,
        learned: HeldOut,
        rare: HeldOut,
        held_out: HeldOut | None,
        *,
        n_labels: int,
        names: list[str],
    ) -> "RareLabels":
        """Take means of raw counts' log1p CP10k by label.

        Parameters
        ----------
        learned, held_out
            Training cells, and held-out cells if there are any: raw counts (cells × genes, CSR) and codes of
            the `n_labels` labels that can be predicted.
        rare
            Cells of rare labels, with codes of `names`; each label has one at least.
        """
        known = np.bincount(learned[1], minlength=n_labels) > 0
        known = np.append(known, np.ones(len(names), dtype=bool))
        means = label_means(*learned, n_labels=n_labels), label_means(*rare, n_labels=len(names))
        return cls(names, ExpressionRanksHead.of_means(np.concatenate(means), known, learned, held_out))

    def likeness(self, values: sparse.csr_matrix) -> RareLikeness:
        """The most similar rare label of cells, from raw counts (cells × genes, CSR)."""
        probabilities = self.ranks.probabilities(values)[:, -len(self.names) :]
        best = probabilities.argmax(axis=1)
        names = np.array(self.names, dtype=object)
        return RareLikeness(names[best], probabilities[np.arange(len(best)), best])

    def save(self, folder: Path) -> None:
        """Write the names and the arrays of the head as npz."""
        np.savez(folder / self.file_name, names=np.array(self.names, dtype=str), **vars(self.ranks))

    @classmethod
    def load(cls, folder: Path) -> "RareLabels | None":
        """Read what `save` wrote; None where the reference has no rare labels."""
        if not (folder / cls.file_name).exists():
            return None
        with np.load(folder / cls.file_name, allow_pickle=False) as arrays:
            fields = dict(arrays)
        return cls(fields.pop("names").tolist(), ExpressionRanksHead(**fields))
