"""The cells that heads are trained on, drawn evenly over labels and batches."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..artifacts.latents import codes_among, read_codes
from ..errors import InputError
from ..resources.memory import (
    CELLS_PER_LABEL,
    MAX_VALIDATION_CELLS,
    expression_cap,
    selection_cap,
    training_cap,
)
from ..sampling.sketch import random_sketch, stratified_sketch
from .sums import DrawnCoarse


class Drawn(NamedTuple):
    """Cells that were drawn: their rows in the part, ascending, and codes of their labels."""

    rows: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class TrainingCells:
    """Cells that the heads are trained on.

    Attributes
    ----------
    labels
        Labels of the training cells, sorted.
    learned
        Drawn training cells.
    part
        Positions of the training cells of models on expression among these.
    held_out
        Validation cells, which may stop trees early.
    coarse
        Further training cells, which train the sum of labels; None without any.
    """

    labels: list[str]
    learned: Drawn
    part: np.ndarray
    held_out: Drawn
    coarse: DrawnCoarse | None = None

    @property
    def selection(self) -> slice:
        """Those of `held_out` on which the shrinkage of models on expression is chosen."""
        most = selection_cap(n_labels=len(self.labels))
        return slice(None, None, max(1, -(-len(self.held_out.codes) // most)))


def draw_training(
    train: list[str],
    codes: np.ndarray,
    labels: list[str],
    *,
    max_training_cells: int,
    seed: int,
    trees: bool = True,
    n_coarse: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw training cells evenly over labels, and within these over batches.

    Parameters
    ----------
    train
        Mapped chunks of the training cells.
    codes, labels
        Label of each training cell as a code, negative without a label, and the labels by code. Codes
        of coarser labels follow; their cells are drawn as those of any label.
    max_training_cells
        The key `prediction.max_training_cells`.
    seed
        Seed of the draw.
    trees
        Whether trees are trained, whose memory limits the cells.
    n_coarse
        Number of coarser labels.

    Returns
    -------
    Rows of the training cells, ascending, and positions of those for a linear model on expression.

    Raises
    ------
    InputError
        If there are fewer than two labels.
    """
    if len(labels) < 2:
        raise InputError(
            f"the reference's training cells have {len(labels)} label(s) ({', '.join(labels) or 'none'}); "
            "at least two are needed: check datasets.<reference>.label"
        )
    cap = training_cap(n_labels=len(labels), max_training_cells=max_training_cells, trees=trees)
    reason = "prediction.max_training_cells"
    if cap < max_training_cells:
        reason = f"XGBoost's memory grows with cells × {len(labels)} labels"
    elif cap > max_training_cells:
        reason = f"each of {len(labels)} labels keeps up to {CELLS_PER_LABEL}"
    print(f"at most {cap} training cells: {reason}")
    batches = read_codes(train, "batch")[0]
    rows = stratified_sketch(codes, cap, seed=seed, within=batches)
    most = expression_cap(n_labels=len(labels))
    part = stratified_sketch(codes[rows], most, seed=seed, within=batches[rows])
    print(f"training on {len(rows)} of the reference's {len(codes)} training cells, {len(labels)} labels")
    if n_coarse:
        n_cells = int((codes[rows] >= len(labels)).sum())
        print(f"{n_cells} of these cells have one of {n_coarse} coarser labels")
    return rows, part


def split_drawn(
    rows: np.ndarray, part: np.ndarray, codes: np.ndarray, below: np.ndarray
) -> tuple[Drawn, np.ndarray, DrawnCoarse | None]:
    """Drawn cells with labels of the finest level, and those with coarser ones.

    Parameters
    ----------
    rows, part
        Rows of the cells, and positions of the training cells of models on expression.
    codes
        Label of each of the cells; those of coarser labels follow those of the labels.
    below
        Which labels are below each coarser one: nodes × labels. One above all labels, or above fewer than
        two, is not used: its cells are left out.

    Returns
    -------
    The first, positions among them for models on expression, and the others.
    """
    n_labels = below.shape[1]
    is_fine = codes < n_labels
    n_below = below.sum(axis=1)
    teaches = np.append((n_below > 1) & (n_below < n_labels), False)
    # A label of the finest level takes the last entry, which the coarser ones leave out.
    is_coarse = teaches[np.where(is_fine, len(below), codes - n_labels)]
    in_part = np.zeros(len(rows), dtype=bool)
    in_part[part] = True
    coarse = None
    if is_coarse.any():
        nodes = codes[is_coarse] - n_labels
        coarse = DrawnCoarse(rows[is_coarse], nodes, below, np.flatnonzero(in_part[is_coarse]))
    return Drawn(rows[is_fine], codes[is_fine]), np.flatnonzero(in_part[is_fine]), coarse


def drawn_cells(
    labels: list[str],
    codes: np.ndarray,
    rows: np.ndarray,
    part: np.ndarray,
    *,
    validation: list[str],
    below: dict[str, list[str]],
    seed: int,
) -> TrainingCells:
    """Cells to train on, with validation cells of the labels that were drawn.

    Parameters
    ----------
    labels, codes, rows, part
        See `draw_training`.
    validation
        Mapped chunks of the validation cells.
    below
        By coarser label, in the order of their codes, the labels below it.
    seed
        Seed of the draw of validation cells.
    """
    labels, codes = only_drawn(labels, codes, rows, n_coarse=len(below))
    held_out = draw_validation(validation, labels, seed=seed)
    is_below = np.array([np.isin(labels, leaves) for leaves in below.values()], dtype=bool)
    learned, part, coarse = split_drawn(rows, part, codes[rows], is_below.reshape(len(below), len(labels)))
    return TrainingCells(labels, learned, part, held_out, coarse)


def draw_validation(paths: list[str], labels: list[str], *, seed: int) -> Drawn:
    """Validation cells whose label is one of `labels`, drawn at random."""
    codes = codes_among(labels, *read_codes(paths, "label"))
    rows = random_sketch(codes >= 0, MAX_VALIDATION_CELLS, seed=seed)
    missing = sorted(set(labels) - {labels[code] for code in np.unique(codes[rows])})
    if missing:
        print(f"no validation cell has the label(s): {', '.join(missing)}")
    return Drawn(rows, codes[rows])


def only_drawn(
    labels: list[str], codes: np.ndarray, rows: np.ndarray, *, n_coarse: int = 0
) -> tuple[list[str], np.ndarray]:
    """Labels with drawn cells, and codes of these only: XGBoost refuses labels without cells.

    Codes of `n_coarse` coarser labels follow those of the labels, before and after.
    """
    drawn = np.unique(codes[rows])
    drawn = drawn[drawn < len(labels)]
    if len(drawn) < len(labels):
        left_out = sorted(set(labels) - {labels[code] for code in drawn})
        print(f"warning: no training cell could be drawn for the label(s): {', '.join(left_out)}")
    # One entry more than there are labels: code -1 (no label) indexes the last.
    place = np.full(len(labels) + n_coarse + 1, -1, dtype=np.int32)
    place[drawn] = np.arange(len(drawn))
    place[len(labels) : -1] = len(drawn) + np.arange(n_coarse)
    return [labels[code] for code in drawn], place[codes]
