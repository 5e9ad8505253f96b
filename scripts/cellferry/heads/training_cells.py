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
        Training cells to learn from.
    part
        Which of these models on expression learn from, as positions among them.
    held_out
        Validation cells, which may stop trees early.
    """

    labels: list[str]
    learned: Drawn
    part: np.ndarray
    held_out: Drawn

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
) -> tuple[np.ndarray, np.ndarray]:
    """Draw training cells evenly over labels, and within these over batches.

    Parameters
    ----------
    train
        Mapped chunks of the training cells.
    codes, labels
        Label of each training cell as a code, negative for none, and the labels that codes stand for.
    max_training_cells
        The key `prediction.max_training_cells`.
    seed
        Seed of the draw.
    trees
        Whether trees are trained, whose memory limits the cells.

    Returns
    -------
    Rows of the cells to learn from, ascending, and which of these a linear model on expression learns from.

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
    return rows, part


def draw_validation(paths: list[str], labels: list[str], *, seed: int) -> Drawn:
    """Validation cells whose label is one of `labels`, drawn at random."""
    codes = codes_among(labels, *read_codes(paths, "label"))
    rows = random_sketch(codes >= 0, MAX_VALIDATION_CELLS, seed=seed)
    missing = sorted(set(labels) - {labels[code] for code in np.unique(codes[rows])})
    if missing:
        print(f"no validation cell has the label(s): {', '.join(missing)}")
    return Drawn(rows, codes[rows])


def only_drawn(labels: list[str], codes: np.ndarray, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Labels of which a cell was drawn, and codes that count these only: XGBoost wants none without cells."""
    drawn = np.unique(codes[rows])
    if len(drawn) < len(labels):
        left_out = sorted(set(labels) - {labels[code] for code in drawn})
        print(f"warning: no training cell could be drawn for the label(s): {', '.join(left_out)}")
    # One entry more than there are labels: code -1 (no label) indexes the last.
    place = np.full(len(labels) + 1, -1, dtype=np.int32)
    place[drawn] = np.arange(len(drawn))
    return [labels[code] for code in drawn], place[codes]
