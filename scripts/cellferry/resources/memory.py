"""What the job of each rule needs: scripts size their blocks by it, the plan predicts by it."""

from math import ceil

from ..config.available_heads import MANY_LABELS
from .rules import MB, RULES

BLOCK_BYTES = 32 * MB
"""Counts read at once, at most. Larger blocks are slower: they leave the processor's cache."""

SORTED_BYTES = 512 * MB
"""Values sorted at once, where a file is not in the cells' order."""

MEMORY_MODELS = {name: rule.memory for name, rule in RULES.items() if rule.memory is not None}
"""Memory and time of each rule's job."""

VALUES_PER_DATASET = 1 << 23
"""Stored values that are shuffled at once for training: 64 MB."""

PRELOADED_MINIBATCHES = 32
"""Minibatches that training reads at once and shuffles among each other."""

MAX_VALIDATION_CELLS = 50_000
MAX_EXPRESSION_CELLS = 20_000
"""Cells that a linear model learns from: its time grows with their stored values times labels."""

MAX_SELECTION_CELLS = 5_000
"""Validation cells on which the shrinkage of such models is chosen."""

MAX_REHEARSED_CELLS = 10_000
"""Cells of left-out donors that the classifiers are asked for."""

MAX_FOLD_CELLS = 20_000
"""Cells that they learn from then; they need not be better than that to show how they err."""

MAX_SHIFT_CELLS = 20_000
"""Cells of a query that tell how sure its labels are: their share is known within half a percent."""

MARKERS_READ_MB = 2 * BLOCK_BYTES // MB
"""What is held while marker values of drawn cells are picked out of blocks."""

CYTOVI_NEIGHBORS = 20
"""Neighbors that CytoVI asks for a label if it is not told otherwise."""

MAX_BASELINE_CELLS = 20_000
MAX_BASELINE_TIMES_LABELS = 40_000_000
BASELINE_BYTES = 20
"""What the baseline holds per cell and label while it learns."""

MAX_PANEL_CELLS = 5_000
"""Training cells on which the price of a panel is estimated."""
PANEL_VALUE_BYTES = 40
"""What is held per value of these and of held-out cells: counts, the genes alone, their logarithms."""

MAX_MAP_CELLS = 10_000
MAP_BYTES = 3_000
"""What is held per cell of the report's map."""
MAX_CELLS_TIMES_LABELS = 50_000_000

CELLS_PER_LABEL = 50
"""Training cells that each of very many labels keeps, as far as it has them, whatever the limit of all."""

EXPRESSION_CELLS_PER_LABEL = 20
"""Those of them whose expression is learned from."""

MAX_LEFT_OUT = 200
"""Labels that are taken out of the reference, at most: each costs a prediction of all cells drawn."""

MAX_HELD_OUT_TIMES_LABELS = 5_000_000
COVARIANCE_VALUES = 40_000_000
"""Values, at most, of cells that give discriminants their covariance: 20,000 cells of 2,000 genes."""


SUM_BYTES = 32
"""What a gene of a label takes in sums of expression: of values and squares, and copied to be written."""


def preloaded_values(batch_size: int, n_cells: int, nonzeros: float) -> float:
    """Stored values of the minibatches that training holds."""
    return min(PRELOADED_MINIBATCHES * batch_size, n_cells) * nonzeros / max(1, n_cells)


def model_mb(n_genes: int, n_hidden: int) -> int:
    """MB of a model's weights, their gradients and the optimiser's two moments.

    Encoder and decoder have one weight per gene and hidden node each, the dispersion one per gene.
    """
    return ceil(4 * 4 * 2 * n_genes * n_hidden / MB)


def training_cap(*, n_labels: int, max_training_cells: int, trees: bool) -> int:
    """Cells that the classifiers train on at most; with trees fewer, whose memory is cells times labels."""
    if trees:
        return min(max_training_cells, MAX_CELLS_TIMES_LABELS // n_labels)
    return max(max_training_cells, CELLS_PER_LABEL * n_labels if n_labels > MANY_LABELS else 0)


def expression_cap(*, n_labels: int) -> int:
    """Training cells whose expression is learned from, at most."""
    return max(MAX_EXPRESSION_CELLS, EXPRESSION_CELLS_PER_LABEL * n_labels if n_labels > MANY_LABELS else 0)


def selection_cap(*, n_labels: int) -> int:
    """Validation cells, at most, on which the shrinkage of models on expression is chosen."""
    return min(MAX_SELECTION_CELLS, MAX_HELD_OUT_TIMES_LABELS // n_labels)


def calibration_cap(*, n_labels: int) -> int:
    """Held-out cells that the answer is calibrated on at most: probabilities of all heads are held."""
    return min(MAX_VALIDATION_CELLS, MAX_HELD_OUT_TIMES_LABELS // n_labels)


def rehearsal_cap(*, n_labels: int) -> int:
    """Cells that a rehearsal asks for at most: probabilities of all heads are held, and stored."""
    return min(MAX_REHEARSED_CELLS, MAX_HELD_OUT_TIMES_LABELS // n_labels)


def fold_cap(*, n_labels: int) -> int:
    """Cells that a rehearsal trains on at most; each of very many labels keeps some."""
    return max(MAX_FOLD_CELLS, CELLS_PER_LABEL * n_labels if n_labels > MANY_LABELS else 0)


def baseline_cap(*, n_labels: int) -> int:
    """Cells that the baseline learns from at most: its regression holds cells times labels."""
    return min(MAX_BASELINE_CELLS, MAX_BASELINE_TIMES_LABELS // n_labels)


def shift_cap(*, n_labels: int) -> int:
    """Cells of a query that its thresholds are raised on at most."""
    return min(MAX_SHIFT_CELLS, calibration_cap(n_labels=n_labels))


def calibration_mb(n_cells: int, *, n_labels: int, n_heads: int) -> int:
    """MB of held-out cells' probabilities: of each head as they are and tempered, and mixed."""
    return 8 * (2 * n_heads + 4) * n_cells * n_labels // MB


def head_output_bytes(
    *, n_labels: int, n_heads: int, neighbors: int, n_latent: int, values: float, n_rare: int = 0
) -> int:
    """Bytes that a cell of so many stored values takes while the heads look at it.

    Probabilities of all heads by two mappings, tempered and mixed, and in float64 while a linear model works;
    neighbors with indices, distances and weights; latents in three versions; counts in two, marker values
    sparse and dense. Rare labels are one more head's, beside all others.
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
    """MB that training the classifiers takes.

    XGBoost holds margins, gradients and predictions of training and validation cells; the linear model about
    as much; latents are held raw, standardized and binned; every cell has its nearest others. Markers, where
    they are learned from, are held like latents, and read in blocks. Discriminants of very many labels hold
    no cells × labels but those of the held-out cells; of `n_genes` genes, means and covariance.
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
    """MB of the trained classifiers: the cells that vote, and what searching them holds."""
    return 8 * n_latent * n_cells // MB
