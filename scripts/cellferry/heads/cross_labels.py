"""Label agreement of reference datasets: heads trained on one dataset label the cells of the others.

Labels with one name mean the same in all datasets only if the datasets define them in the same way. Heads
never label cells of their own training. Held-out cells are used if a label has enough of them; the model was
not trained on these either. Otherwise training cells are used, as in a rehearsal: the model was trained on
them without their labels. A scANVI model was trained on the labels too, so only held-out cells are used with
it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ..artifacts.h5ad_reader import H5adReader
from ..artifacts.latents import codes_among, dataset_of, read_codes, read_latents
from ..config.available_heads import ON_EXPRESSION, TREES
from ..config.settings import ClassifierSettings
from ..resources.memory import rehearsal_cap
from ..sampling.sketch import stratified_sketch
from .registry import Heads, predict
from .rehearsal import without
from .training import TrainedHeads, TrainingFiles, fit_heads, has_scanvi

MIN_CELLS = 10
"""Minimum of a label's cells in a dataset for training, and for being labeled."""

MAX_CELLS = 10_000
"""Maximum of cells per dataset that the heads of each other dataset label."""

HELD_OUT, TRAINING = "held-out", "training"
"""The part of a label's cells that is labeled."""


class Asked(NamedTuple):
    """Cells of one part, of any dataset, that heads of the other datasets label.

    Attributes
    ----------
    rows, codes, datasets
        Rows in the part, ascending, and label and dataset of each as codes.
    latents, expression
        Functions that read latents and expression of rows; None if no head uses expression.
    """

    rows: np.ndarray
    codes: np.ndarray
    datasets: np.ndarray
    latents: Callable[[np.ndarray], np.ndarray]
    expression: Callable[[np.ndarray], sparse.csr_matrix | None]


class CrossLabels(NamedTuple):
    """Labels from each dataset's heads for the cells of the others.

    Attributes
    ----------
    datasets, labels
        Names of the datasets and of all labels, both sorted.
    present
        Mask of labels with cells in a dataset: datasets × labels.
    parts
        The part of a label's cells that is labeled, `held-out` or `training`: datasets × labels.
    learned
        Mask of labels that a dataset's heads can give, datasets × labels; all false with fewer than two.
    calls
        By dataset of the heads and dataset of the cells: numbers of cells by their own label (rows) and by
        the heads' label.
    """

    datasets: list[str]
    labels: list[str]
    present: np.ndarray
    parts: np.ndarray
    learned: np.ndarray
    calls: dict[tuple[int, int], sparse.csr_matrix]


def datasets_of(batches: list[str]) -> tuple[list[str], np.ndarray]:
    """Sorted names of the batches' datasets, and each batch's dataset as a code."""
    names, codes = np.unique([dataset_of(batch) for batch in batches], return_inverse=True)
    return names.tolist(), codes


def cross_label(
    files: TrainingFiles, trained: TrainedHeads, settings: ClassifierSettings, *, seed: int, threads: int
) -> CrossLabels:
    """Train heads on each reference dataset alone, and label the cells of the others.

    All heads vote except boosted trees and the model's own classifier, which are slow to train; latents and
    expression have equal weight.

    Parameters
    ----------
    files, settings, seed, threads
        As for `cellferry.heads.training.train_heads`.
    trained
        The heads that were trained on all datasets.
    """
    cells, labels = trained.cells, trained.cells.labels
    batches, names = read_codes(files.train, "batch")
    datasets, dataset_of_batch = datasets_of(names)
    of_training = np.append(dataset_of_batch, -1)[batches]
    of_validation, held_out_batches = _held_out_datasets(files.validation, datasets)
    label_of_training = codes_among(labels, *read_codes(files.train, "label"))
    label_of_validation = codes_among(labels, *read_codes(files.validation, "label"))
    shape = len(datasets), len(labels)
    n_training, n_held_out = (
        _counted(of, label, shape)
        for of, label in ((of_training, label_of_training), (of_validation, label_of_validation))
    )
    from_held_out = n_held_out >= MIN_CELLS
    if has_scanvi(files.model):
        from_held_out[:] = True
    learned = _counted(of_training[cells.learned.rows], cells.learned.codes, shape) >= MIN_CELLS
    learned[learned.sum(axis=1) < 2] = False
    # Without coarser labels, whose cells train the sum of several labels.
    is_labeled = label_of_training >= 0
    with ExitStack() as opened:
        values, others = (
            opened.enter_context(H5adReader(path)) if path else None
            for path in (files.common, files.validation_common)
        )
        heads = [name for name in trained.by_name if name not in (*TREES, "scanvi")] or ["linear"]
        takes_expression = not set(ON_EXPRESSION).isdisjoint(heads)
        drawn = partial(_drawn, seed=seed)
        asked = [
            Asked(
                *drawn(label_of_validation, of_validation, held_out_batches, from_held_out),
                partial(read_latents, files.validation),
                others.rows if takes_expression else lambda rows: None,
            ),
            Asked(
                *drawn(label_of_training, of_training, batches, ~from_held_out),
                partial(read_latents, files.train),
                values.rows if takes_expression else lambda rows: None,
            ),
        ]
        fit = partial(
            fit_heads, heads, files, values, others if takes_expression else None,
            settings=settings, seed=seed, threads=threads,
        )  # fmt: skip
        calls = {}
        for number, name in enumerate(datasets):
            if not learned[number].any():
                print(f"{name}: fewer than two labels have {MIN_CELLS} training cells: it labels no other")
                continue
            own = of_training == number
            own[is_labeled] &= learned[number][label_of_training[is_labeled]]
            kept, given = without(cells, ~own, of_validation[cells.held_out.rows] != number, seed=seed)
            print(f"heads of {name} alone: {len(kept.learned.codes):,} cells of {len(given)} labels")
            found = _calls(fit(kept).by_name, given, asked, number, shape)
            calls |= {(number, other): of_cells for other, of_cells in found.items()}
    parts = np.where(from_held_out, HELD_OUT, TRAINING)
    return CrossLabels(datasets, labels, n_training + n_held_out > 0, parts, learned, calls)


def _held_out_datasets(validation: list[str], datasets: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Dataset of each validation cell (-1 if it has no training cells) and its batch, as codes."""
    batches, names = read_codes(validation, "batch")
    return codes_among(datasets, batches, [dataset_of(name) for name in names]), batches


def _counted(datasets: np.ndarray, labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cells by dataset and label; negative codes are left out."""
    cells = np.zeros(shape, dtype=np.int64)
    known = (datasets >= 0) & (labels >= 0)
    np.add.at(cells, (datasets[known], labels[known]), 1)
    return cells


def _drawn(
    labels: np.ndarray, datasets: np.ndarray, batches: np.ndarray, wanted: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of each dataset, drawn evenly over its labels and their batches: rows, labels, datasets.

    Parameters
    ----------
    labels, datasets, batches
        Codes of the cells of a part; negative if missing.
    wanted
        Mask of labels to draw from a dataset: datasets × labels.
    seed
        Seed of the draw.
    """
    usable = (labels >= 0) & (datasets >= 0)
    usable &= wanted[datasets, labels]
    rows = [
        stratified_sketch(
            np.where(usable & (datasets == dataset), labels, -1), MAX_CELLS, seed=seed, within=batches
        )
        for dataset in range(len(wanted))
    ]
    rows = np.sort(np.concatenate(rows))
    return rows, labels[rows], datasets[rows]


def _calls(
    heads: Heads, given: np.ndarray, asked: list[Asked], own: int, shape: tuple[int, int]
) -> dict[int, sparse.csr_matrix]:
    """By dataset: cells by label and by the label from heads of `own`, trained on `given`."""
    n_datasets, n_labels = shape
    none = np.empty(0, dtype=np.int64)
    answers = [(none, none, none)]
    for part in asked:
        for at in _blocks(np.flatnonzero(part.datasets != own), rehearsal_cap(n_labels=n_labels)):
            rows = part.rows[at]
            found = predict(heads, part.latents(rows), part.expression(rows))
            answers.append((part.datasets[at], part.codes[at], given[_mean_of_views(found).argmax(axis=1)]))
    datasets, codes, called = map(np.concatenate, zip(*answers, strict=True))
    return {
        other: sparse.csr_matrix(
            (np.ones(np.count_nonzero(here), dtype=np.int64), (codes[here], called[here])),
            shape=(n_labels, n_labels),
        )
        for other in range(n_datasets)
        if other != own
        for here in [datasets == other]
    }


def _blocks(positions: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _mean_of_views(by_head: dict[str, np.ndarray]) -> np.ndarray:
    """Mean probabilities (cells × labels) of the heads on latents and of those on expression, and of both."""
    views = [
        np.mean(views, axis=0)
        for on_expression in (False, True)
        if (views := [found for name, found in by_head.items() if (name in ON_EXPRESSION) == on_expression])
    ]
    return np.mean(views, axis=0)
