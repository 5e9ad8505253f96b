"""Agreement of labels between reference datasets, from each one's predictions for the others' cells.

Two labels agree if each is mostly predicted as the other, and neither is the prediction of several labels.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ..heads.cross_labels import MIN_CELLS, CrossLabels

MOSTLY = 0.5
"""Share of a label's cells above which they are mostly predicted as another label."""

PART = 0.1
"""Share of a label's cells above which another label is a part of it."""

SAME, NARROWER, BROADER, OVERLAPPING = "same", "narrower", "broader", "overlapping"
NO_COUNTERPART = "no counterpart"
TOO_FEW_CELLS = "too few cells"
ONE_WAY = "one way only"
LABELS_NOTHING = "reference labels nothing"


class LabelCall(NamedTuple):
    """A row of the table: a label of a dataset, and another dataset's prediction for its cells.

    Attributes
    ----------
    dataset, label
        The dataset, and its label.
    part, cells
        Part of the label's cells that were predicted, `held-out` or `training`, and their number.
    reference
        The dataset that predicts them.
    called
        A predicted label; None without predictions, or with too few.
    share
        Share of the cells with this prediction.
    share_back
        Share of the cells of `called`, in `reference`, that `dataset` predicts as `label`; None without
        predictions.
    relation
        Relation of `label` to `called`: `same`, `narrower` (a part, or one of several), `broader`,
        `overlapping` (both have several parts); None if none of these holds. If no call of a
        label has a relation, the most frequent has `no counterpart`, or `one way only` if no cells of
        `called` were predicted, or the label of the same name has too few training cells there. Without a
        call: `too few cells` of the label, or `reference labels nothing`.
    conflict
        Whether `reference` has a label of the same name with another relation.
    """

    dataset: str
    label: str
    part: str
    cells: int
    reference: str
    called: str | None
    share: float | None
    share_back: float | None
    relation: str | None
    conflict: bool


def label_calls(found: CrossLabels) -> Iterator[LabelCall]:
    """The rows of all datasets, with each label's most frequent call first."""
    for number in range(len(found.datasets)):
        for reference in range(len(found.datasets)):
            if reference != number:
                yield from _calls_of_pair(found, number, reference)


def _calls_of_pair(found: CrossLabels, dataset: int, reference: int) -> Iterator[LabelCall]:
    """Rows of the labels of a dataset, by the calls of a reference."""
    there, judged = shares(found, dataset, reference)
    back, judged_back = shares(found, reference, dataset)
    relations = label_relations(there, back)
    back = back.T.tocsr()
    cells = np.asarray(_calls(found, dataset, reference).sum(axis=1)).ravel()
    for label in np.flatnonzero(found.present[dataset]).tolist():
        about = (found.datasets[dataset], found.labels[label], str(found.parts[dataset, label]))
        row = (*about, int(cells[label]), found.datasets[reference])
        if not judged[label]:
            why = TOO_FEW_CELLS if found.learned[reference].any() else LABELS_NOTHING
            yield LabelCall(*row, None, None, None, why, conflict=False)
            continue
        known = bool(found.learned[reference, label] and judged_back[label])
        namesake_is_rare = found.present[reference, label] and not found.learned[reference, label]
        conflict = known and relations[label].get(label) != SAME
        called, of_cells = _entries(there, label)
        returned = dict(zip(*(values.tolist() for values in _entries(back, label)), strict=True))
        for place in np.argsort(-of_cells, kind="stable").tolist():
            other = int(called[place])
            share_back = returned.get(other, 0.0) if judged_back[other] else None
            relation = relations[label].get(other)
            if of_cells[place] == of_cells.max() and not relations[label]:
                relation = ONE_WAY if share_back is None or namesake_is_rare else NO_COUNTERPART
            yield LabelCall(
                *row, found.labels[other], float(of_cells[place]), share_back, relation, conflict=conflict
            )


def _calls(found: CrossLabels, dataset: int, reference: int) -> sparse.csr_matrix:
    """Cells of a dataset by label (rows) and by a reference's predictions; empty without predictions."""
    none = sparse.csr_matrix((len(found.labels), len(found.labels)), dtype=np.int64)
    return found.calls.get((reference, dataset), none)


def _entries(matrix: sparse.csr_matrix, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values that a row stores, in the order of the columns."""
    stored = slice(*matrix.indptr[row : row + 2])
    return matrix.indices[stored], matrix.data[stored]


def shares(found: CrossLabels, dataset: int, reference: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Shares of the cells of a dataset's labels (rows) by a reference's predictions.

    Returns
    -------
    shares
        Labels × labels; zero for a label that is not in `judged`.
    judged
        Mask of labels with enough predicted cells, and enough training cells of the dataset's own heads,
        which could not predict the label otherwise.
    """
    calls = _calls(found, dataset, reference)
    cells = np.asarray(calls.sum(axis=1)).ravel()
    judged = cells >= MIN_CELLS
    if found.learned[dataset].any():
        judged &= found.learned[dataset]
    scaled = sparse.diags(judged / np.maximum(cells, 1)) @ calls
    scaled.eliminate_zeros()
    scaled.sort_indices()
    return scaled.tocsr(), judged


def label_relations(there: sparse.csr_matrix, back: sparse.csr_matrix) -> list[dict[int, str]]:
    """By label, its relation to those labels of another dataset that are equal, narrower or broader.

    Parameters
    ----------
    there, back
        Shares of the cells of each label (rows) by the other dataset's predictions, and the reverse; zero
        for labels that are not judged.
    """
    is_part = (there >= MOSTLY).multiply((back >= PART).T).tocsr()
    holds = (there >= PART).multiply((back >= MOSTLY).T).tocsr()
    several_beside = np.asarray(is_part.sum(axis=0)).ravel() > 1
    several_within = np.asarray(holds.sum(axis=1)).ravel() > 1
    relations: list[dict[int, str]] = [{} for _ in range(there.shape[0])]
    for label, other in zip(*(is_part + holds).nonzero(), strict=True):
        narrower = several_beside[other] or not holds[label, other]
        broader = several_within[label] or not is_part[label, other]
        relations[label][int(other)] = {
            (False, False): SAME,
            (True, False): NARROWER,
            (False, True): BROADER,
            (True, True): OVERLAPPING,
        }[bool(narrower), bool(broader)]
    return relations
