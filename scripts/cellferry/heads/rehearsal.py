"""A rehearsal: heads predict cells of donors or laboratories left out of their training.

Accuracy on held-out cells of training donors is optimistic for other donors. So the heads are trained again
without each reference dataset, or each donor, and predict its cells. The model was trained on these cells
without their labels, as in surgery on a query's cells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from ..artifacts.latents import codes_among, dataset_of, read_codes, read_latents, read_values
from ..resources.memory import fold_cap, rehearsal_cap
from ..sampling.sketch import random_sketch, stratified_sketch
from .arrays import ArraysHead
from .registry import Heads, predict
from .training_cells import Drawn, TrainingCells, split_drawn

MAX_FOLDS = 5
"""Maximum of retrainings; with more donors, several are left out together."""


@dataclass(frozen=True)
class Rehearsal(ArraysHead):
    """Predictions for cells of donors left out of the heads' training.

    Parameters
    ----------
    codes
        The cells' labels.
    donors
        The donor, batch or dataset of each, as a code.
    heads
        Names of the heads.
    probabilities
        Their probabilities: heads × cells × labels, float32.
    """

    codes: np.ndarray
    donors: np.ndarray
    heads: np.ndarray
    probabilities: np.ndarray

    file_name = "rehearsal.npz"

    @property
    def by_head(self) -> dict[str, np.ndarray]:
        """Probabilities by head: cells × labels."""
        return dict(zip(self.heads.tolist(), self.probabilities, strict=True))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what `save` wrote; None where nothing was rehearsed."""
        return super().load(folder) if (folder / cls.file_name).exists() else None


def rehearse(
    train: list[str],
    validation: list[str],
    cells: TrainingCells,
    fit: Callable[[TrainingCells], Heads],
    expression_of: Callable[[np.ndarray], sparse.csr_matrix | None],
    *,
    seed: int,
) -> Rehearsal | None:
    """Train without each donor in turn, and predict its cells.

    Parameters
    ----------
    train, validation
        Mapped chunks of the training and of the validation cells.
    cells
        The cells that the heads were trained on.
    fit
        Function that trains the heads on some of these.
    expression_of
        Function that reads expression of rows of the training cells; None if no head uses it.
    seed
        Seed of the draws.

    Returns
    -------
    The answers; None with a single donor, and where validation cells are of other donors than the training.
    """
    batch_codes, batches = read_codes(train, "batch")
    sizes = np.bincount(batch_codes, minlength=len(batches))
    fold_of_batch = folds(batches, sizes, read_values(validation, "batch"))
    if fold_of_batch is None:
        return None
    fold, label = fold_of_batch[batch_codes], codes_among(cells.labels, *read_codes(train, "label"))
    batch_of_validation = codes_among(batches, *read_codes(validation, "batch"))[cells.held_out.rows]
    # One entry more than there are batches: code -1 (none of these) indexes the last.
    validation_fold = np.append(fold_of_batch, -1)[batch_of_validation]
    n_folds = int(fold_of_batch.max()) + 1
    cap = rehearsal_cap(n_labels=len(cells.labels)) // n_folds
    parts = []
    for left_out in range(n_folds):
        of_fold = fold == left_out
        kept, labels = without(cells, of_fold, validation_fold == left_out, seed=seed)
        # A label that no other donor has cannot be predicted.
        rows = random_sketch(of_fold & np.isin(label, labels), cap, seed=seed)
        if len(labels) < 2 or len(rows) == 0:
            continue
        donors = ", ".join(np.array(batches)[fold_of_batch == left_out])
        print(f"rehearsal without {donors}: {len(kept.learned.codes):,} cells, {len(rows):,} predicted")
        answers = predict(fit(kept), read_latents(train, rows), expression_of(rows))
        full = {name: np.zeros((len(rows), len(cells.labels)), dtype=np.float32) for name in answers}
        for name, probabilities in answers.items():
            full[name][:, labels] = probabilities
        parts.append((label[rows], batch_codes[rows], full))
    if not parts:
        return None
    heads = list(parts[0][2])
    return Rehearsal(
        np.concatenate([codes for codes, _, _ in parts]),
        np.concatenate([donors for _, donors, _ in parts]),
        np.array(heads),
        np.stack([np.concatenate([full[name] for _, _, full in parts]) for name in heads]),
    )


def folds(batches: list[str], sizes: np.ndarray, validated: set[str]) -> np.ndarray | None:
    """Fold of each training batch; None without a rehearsal.

    Several reference datasets are left out one by one, since they differ as a query does. With one, batches
    are left out, unless validation cells are of other batches, which serve the same purpose.

    Parameters
    ----------
    batches, sizes
        Names of the batches (`dataset/value`), and their numbers of cells.
    validated
        Batches of the validation cells.
    """
    datasets = [dataset_of(batch) for batch in batches]
    several = len(set(datasets)) > 1
    if not several and validated - set(batches):
        return None
    units, unit_of = np.unique(datasets if several else batches, return_inverse=True)
    if len(units) < 2:
        return None
    cells = np.bincount(unit_of, weights=sizes)
    n_folds = min(MAX_FOLDS, len(units))
    fold_of_unit, filled = np.zeros(len(units), dtype=np.int64), np.zeros(n_folds)
    # The largest first, each into the fold of fewest cells.
    for unit in np.argsort(-cells, kind="stable"):
        fold_of_unit[unit] = filled.argmin()
        filled[fold_of_unit[unit]] += max(1, cells[unit])
    return fold_of_unit[unit_of]


def without(
    cells: TrainingCells, left_out: np.ndarray, not_validated: np.ndarray, *, seed: int
) -> tuple[TrainingCells, np.ndarray]:
    """Training cells less some of them, and the labels that remain, as codes of all labels.

    Parameters
    ----------
    cells
        All training cells.
    left_out, not_validated
        Which cells of the training part, and which of the validation cells, are left out (masks).
    seed
        Seed of the draw of cells.
    """
    (rows, codes, below), n_labels = with_coarse(cells), len(cells.labels)
    cap = fold_cap(n_labels=n_labels)
    kept = stratified_sketch(np.where(left_out[rows], -1, codes), cap, seed=seed)
    codes = codes[kept]
    labels = np.unique(codes[codes < n_labels])
    # Coarser labels follow the others.
    number = np.full(n_labels + len(below), -1, dtype=np.int32)
    number[labels] = np.arange(len(labels))
    number[n_labels:] = len(labels) + np.arange(len(below))
    in_part = np.flatnonzero(np.isin(rows[kept], part_rows(cells)))
    learned, part, coarse = split_drawn(rows[kept], in_part, number[codes], below[:, labels])
    checked = np.where(not_validated, -1, number[cells.held_out.codes])
    return (
        TrainingCells(
            [cells.labels[code] for code in labels],
            learned,
            part if len(part) else np.arange(len(learned.rows)),
            Drawn(cells.held_out.rows[checked >= 0], checked[checked >= 0]),
            coarse,
        ),
        labels,
    )


def with_coarse(cells: TrainingCells) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and codes of all training cells, and what is below coarser labels, whose codes come last."""
    if cells.coarse is None:
        return *cells.learned, np.zeros((0, len(cells.labels)), dtype=bool)
    return (
        np.concatenate([cells.learned.rows, cells.coarse.rows]),
        np.concatenate([cells.learned.codes, len(cells.labels) + cells.coarse.nodes]),
        cells.coarse.below,
    )


def part_rows(cells: TrainingCells) -> np.ndarray:
    """Rows of the training cells of models on expression."""
    of_labels = cells.learned.rows[cells.part]
    return of_labels if cells.coarse is None else np.append(of_labels, cells.coarse.rows[cells.coarse.part])
