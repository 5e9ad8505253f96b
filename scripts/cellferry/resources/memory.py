"""Memory of each rule's job, for the scripts' block sizes and the plan."""

from math import ceil

from ..config.available_heads import MANY_LABELS
from .rules import MB, RULES

BLOCK_BYTES = 32 * MB
"""Maximum of counts read at once. Larger blocks are slower: they exceed the processor's cache."""

SORTED_BYTES = 512 * MB
"""Values sorted at once, for files that are not in the cells' order."""

MEMORY_MODELS = {name: rule.memory for name, rule in RULES.items() if rule.memory is not None}
"""Memory and time of each rule's job."""

VALUES_PER_DATASET = 1 << 23
"""Stored values that are shuffled at once for training: 64 MB."""

PRELOADED_MINIBATCHES = 32
"""Minibatches that training reads at once and shuffles together."""

MAX_VALIDATION_CELLS = 50_000
MAX_EXPRESSION_CELLS = 20_000
"""Training cells of a linear model: its time grows with stored values times labels."""

MAX_SELECTION_CELLS = 5_000
"""Validation cells for choosing the shrinkage of such models."""

MAX_REHEARSED_CELLS = 10_000
"""Cells of left-out donors that a rehearsal predicts."""

MAX_FOLD_CELLS = 20_000
"""Training cells of a rehearsal, enough to show the errors of classifiers."""

MAX_SHIFT_CELLS = 20_000
"""Query cells for raising thresholds: they give shares within half a percent."""

MARKERS_READ_MB = 2 * BLOCK_BYTES // MB
"""Memory for picking marker values of sampled cells out of blocks."""

CYTOVI_NEIGHBORS = 20
"""CytoVI's default number of neighbors that vote on a label."""

MAX_BASELINE_CELLS = 20_000
MAX_BASELINE_TIMES_LABELS = 40_000_000
BASELINE_BYTES = 20
"""Training memory of the baseline per cell and label."""

MAX_PANEL_CELLS = 5_000
"""Training cells used to estimate the loss by a panel."""
PANEL_VALUE_BYTES = 40
"""Memory per value of these and of held-out cells: counts, selected genes, their logarithms."""

MAX_MAP_CELLS = 10_000
MAP_BYTES = 3_000
"""Memory per cell of the report's map."""
MAX_CELLS_TIMES_LABELS = 50_000_000

CELLS_PER_LABEL = 50
"""Training cells that each of very many labels keeps, above the limit of all."""

EXPRESSION_CELLS_PER_LABEL = 20
"""Those of them that train models on expression."""

MAX_LEFT_OUT = 200
"""Maximum number of left-out labels: each costs a prediction of all sampled cells."""

MAX_HELD_OUT_TIMES_LABELS = 5_000_000
COVARIANCE_VALUES = 40_000_000
"""Maximum number of values for the covariance of discriminants: 20,000 cells of 2,000 genes."""


SUM_BYTES = 32
"""Memory per gene and label in sums of expression: values, squares, and a copy for writing."""


def preloaded_values(batch_size: int, n_cells: int, nonzeros: float) -> float:
    """Stored values of the minibatches in memory during training."""
    return min(PRELOADED_MINIBATCHES * batch_size, n_cells) * nonzeros / max(1, n_cells)


def model_mb(n_genes: int, n_hidden: int) -> int:
    """MB of a model's weights, gradients and the optimizer's two moments.

    Encoder and decoder have one weight per gene and hidden node each, the dispersion one per gene.
    """
    return ceil(4 * 4 * 2 * n_genes * n_hidden / MB)


def training_cap(*, n_labels: int, max_training_cells: int, trees: bool) -> int:
    """Maximum number of training cells; fewer with trees, whose memory is cells times labels."""
    if trees:
        return min(max_training_cells, MAX_CELLS_TIMES_LABELS // n_labels)
    return max(max_training_cells, CELLS_PER_LABEL * n_labels if n_labels > MANY_LABELS else 0)


def expression_cap(*, n_labels: int) -> int:
    """Maximum number of training cells of models on expression."""
    return max(MAX_EXPRESSION_CELLS, EXPRESSION_CELLS_PER_LABEL * n_labels if n_labels > MANY_LABELS else 0)


def selection_cap(*, n_labels: int) -> int:
    """Maximum number of validation cells for the shrinkage of models on expression."""
    return min(MAX_SELECTION_CELLS, MAX_HELD_OUT_TIMES_LABELS // n_labels)


def calibration_cap(*, n_labels: int) -> int:
    """Maximum number of calibration cells: probabilities of all heads are in memory."""
    return min(MAX_VALIDATION_CELLS, MAX_HELD_OUT_TIMES_LABELS // n_labels)


def rehearsal_cap(*, n_labels: int) -> int:
    """Maximum number of predicted cells of a rehearsal: probabilities of all heads are stored."""
    return min(MAX_REHEARSED_CELLS, MAX_HELD_OUT_TIMES_LABELS // n_labels)


def fold_cap(*, n_labels: int) -> int:
    """Maximum number of training cells of a rehearsal; each of very many labels keeps some."""
    return max(MAX_FOLD_CELLS, CELLS_PER_LABEL * n_labels if n_labels > MANY_LABELS else 0)


def baseline_cap(*, n_labels: int) -> int:
    """Maximum number of the baseline's training cells: its regression holds cells times labels."""
    return min(MAX_BASELINE_CELLS, MAX_BASELINE_TIMES_LABELS // n_labels)


def shift_cap(*, n_labels: int) -> int:
    """Maximum number of a query's cells for raising thresholds."""
    return min(MAX_SHIFT_CELLS, calibration_cap(n_labels=n_labels))


def calibration_mb(n_cells: int, *, n_labels: int, n_heads: int) -> int:
    """MB of held-out cells' probabilities: raw and tempered per head, and mixed."""
    return 8 * (2 * n_heads + 4) * n_cells * n_labels // MB


def head_output_bytes(
    *, n_labels: int, n_heads: int, neighbors: int, n_latent: int, values: float, n_rare: int = 0
) -> int:
    """Bytes per cell, with so many stored values, during prediction by all heads.

    Includes probabilities of all heads by two mappings, tempered and mixed, and in float64 within a linear
    model; neighbors with indices, distances and weights; three versions of latents; two of counts; sparse and
    dense marker values. Rare labels have an additional head.
    """
    rare = 32 * (n_labels + n_rare) if n_rare else 0
    return int(24 * (n_heads + 1) * n_labels + rare + 32 * neighbors + 24 * n_latent + 24 * values)


def training_mb(
    n_cells: int,
    *,
    n_labels: int,
    n_latent: int,
    neighbors: int,
    trees: bool,
    n_markers: int = 0,
    n_genes: int = 0,
) -> int:
    """MB for training the classifiers.

    XGBoost holds margins, gradients and predictions of training and validation cells; the linear model about
    as much; latents are raw, standardized and binned; every cell has its neighbors. Marker values, if used,
    take the memory of latents, and are read in blocks. Discriminants of very many labels hold cells × labels
    only for held-out cells, and means and covariance of `n_genes` genes.
    """
    training = n_cells * (16 * (n_latent + n_markers) + 40 * neighbors)
    validation = MAX_VALIDATION_CELLS * 8 * (n_latent + n_markers)
    if trees or n_labels <= MANY_LABELS:
        training += 16 * n_cells * n_labels
        validation += 12 * MAX_VALIDATION_CELLS * n_labels
    if n_labels > MANY_LABELS:
        covariance = 12 * COVARIANCE_VALUES + 32 * n_genes**2 if n_genes else 0
        training += 24 * n_labels * n_genes + covariance + 16 * MAX_HELD_OUT_TIMES_LABELS
    return (training + validation) // MB + (MARKERS_READ_MB if n_markers else 0)


def sums_mb(*, n_labels: int, n_genes: int) -> int:
    """MB of sums of expression by label."""
    return SUM_BYTES * n_labels * n_genes // MB


def classifier_mb(n_cells: int, *, n_latent: int) -> int:
    """MB of the trained classifiers: the voting cells and their search index."""
    return 8 * n_latent * n_cells // MB
