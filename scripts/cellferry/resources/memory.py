"""What the job of each rule needs: scripts size their blocks by it, the plan predicts by it."""

from dataclasses import dataclass
from math import ceil, inf

MB = 1024**2

BLOCK_BYTES = 32 * MB
"""Counts read at once, at most. Larger blocks are slower: they leave the processor's cache."""

SORTED_BYTES = 512 * MB
"""Values sorted at once, where a file is not in the cells' order."""


@dataclass(frozen=True)
class MemoryModel:
    """Memory and time of a rule's job, as measured (benchmarks/scale.py).

    Attributes
    ----------
    fixed_mb
        Interpreter, libraries, tables of genes: whatever the data and the budget.
    cell_bytes
        Bytes per cell that the job works on: codes, hashes of names.
    blocks
        How many times as much as a block of counts is held while it is worked on.
    value_bytes
        Bytes per stored value of a sketch, which is held whole.
    seconds, cells_per_s, values_per_s
        Time: to start, and what is worked through per second on one core.
    """

    fixed_mb: int
    cell_bytes: int = 0
    blocks: int = 0
    value_bytes: int = 0
    seconds: float = 0
    cells_per_s: float = inf
    values_per_s: float = inf

    def held_mb(self, *, cells: int = 0, values: float = 0) -> int:
        """All but the blocks, in MB: of a job on so many cells, with a sketch of so many stored values."""
        return self.fixed_mb + int(self.cell_bytes * cells + self.value_bytes * values) // MB


MEMORY_MODELS = {
    "demo_data": MemoryModel(fixed_mb=330, seconds=10),
    "inspect_dataset": MemoryModel(fixed_mb=290, cell_bytes=24, seconds=2, cells_per_s=3e6),
    "check_datasets": MemoryModel(fixed_mb=125, seconds=1),
    "convert_to_chunks": MemoryModel(fixed_mb=258, blocks=5, seconds=2, values_per_s=18e6),
    "merge_h5ad": MemoryModel(fixed_mb=258, blocks=2, seconds=2, cells_per_s=1e6, values_per_s=55e6),
    "split_reference": MemoryModel(fixed_mb=256, cell_bytes=40, seconds=2, cells_per_s=2e5),
    "select_genes": MemoryModel(fixed_mb=440, cell_bytes=40, value_bytes=14, seconds=9, values_per_s=12e6),
    "select_markers": MemoryModel(fixed_mb=262, cell_bytes=40, value_bytes=24, seconds=3, values_per_s=12e6),
    "compare_panels": MemoryModel(fixed_mb=117, seconds=1),
    "subset_reference": MemoryModel(fixed_mb=258, cell_bytes=8, blocks=3, seconds=2, values_per_s=60e6),
    "subset_common_genes": MemoryModel(fixed_mb=258, cell_bytes=24, blocks=3, seconds=2, values_per_s=60e6),
    "shuffle_reference": MemoryModel(
        fixed_mb=710, cell_bytes=16, value_bytes=22, seconds=4, values_per_s=8e6
    ),
    "train_reference_model": MemoryModel(fixed_mb=1075, value_bytes=50, seconds=8, cells_per_s=3.5e3),
    "import_reference": MemoryModel(fixed_mb=1005, cell_bytes=40, seconds=12, cells_per_s=2e5),
    "fit_query_model": MemoryModel(
        fixed_mb=1005, cell_bytes=36, value_bytes=14, seconds=8, cells_per_s=5.7e3
    ),
    "map_query": MemoryModel(fixed_mb=985, blocks=2, seconds=9, cells_per_s=6e4),
    "train_classifier": MemoryModel(
        fixed_mb=430, cell_bytes=48, value_bytes=32, seconds=15, cells_per_s=9e3, values_per_s=1e6
    ),
    "calibrate_classifier": MemoryModel(fixed_mb=335, cell_bytes=36, blocks=1, seconds=4, cells_per_s=3e4),
    "estimate_missing_genes": MemoryModel(
        fixed_mb=1100, cell_bytes=36, blocks=2, seconds=12, cells_per_s=8e3
    ),
    "compare_mappings": MemoryModel(fixed_mb=1100, cell_bytes=24, value_bytes=40, seconds=12),
    "predict_labels": MemoryModel(fixed_mb=335, blocks=1, seconds=3, cells_per_s=3e4),
    "gather_predictions": MemoryModel(
        fixed_mb=335, cell_bytes=60, blocks=1, seconds=2, cells_per_s=3e4, values_per_s=7.5e6
    ),
    "write_fcs": MemoryModel(fixed_mb=315, blocks=1, seconds=2, cells_per_s=7e5, values_per_s=50e6),
    "leave_labels_out": MemoryModel(fixed_mb=345, cell_bytes=36, blocks=1, seconds=4, cells_per_s=2e3),
    "evaluate": MemoryModel(fixed_mb=360, cell_bytes=36, value_bytes=13, seconds=4, cells_per_s=4e4),
    "gather_scores": MemoryModel(fixed_mb=26, seconds=1),
    "report": MemoryModel(fixed_mb=470, cell_bytes=45, seconds=50),
}

VALUES_PER_DATASET = 1 << 23
"""Stored values that are shuffled at once for training: 64 MB."""

PRELOADED_MINIBATCHES = 32
"""Minibatches that training reads at once and shuffles among each other."""

MAX_VALIDATION_CELLS = 50_000
MAX_EXPRESSION_CELLS = 20_000
"""Cells that a linear model learns from: its time grows with their stored values times labels."""

MAX_COMPARED_CELLS = 20_000
"""Cells of a query that are mapped in two ways."""
MARKERS_READ_MB = 2 * BLOCK_BYTES // MB
"""What is held while marker values of drawn cells are picked out of blocks."""

CYTOVI_NEIGHBORS = 20
"""Neighbors that CytoVI asks for a label if it is not told otherwise."""

MAX_BASELINE_CELLS = 20_000
MAX_MAP_CELLS = 10_000
MAP_BYTES = 16_000
"""What UMAP holds per cell of the report's map."""
MAX_CELLS_TIMES_LABELS = 50_000_000


def preloaded_values(batch_size: int, n_cells: int, nonzeros: float) -> float:
    """Stored values of the minibatches that training holds."""
    return min(PRELOADED_MINIBATCHES * batch_size, n_cells) * nonzeros / max(1, n_cells)


def model_mb(n_genes: int, n_hidden: int) -> int:
    """MB of a model's weights, their gradients and the optimiser's two moments.

    Encoder and decoder have one weight per gene and hidden node each, the dispersion one per gene.
    """
    return ceil(4 * 4 * 2 * n_genes * n_hidden / MB)


def training_cap(*, n_labels: int, max_training_cells: int) -> int:
    """Cells that the classifiers train on at most: XGBoost's memory grows with cells times labels."""
    return min(max_training_cells, MAX_CELLS_TIMES_LABELS // n_labels)


def calibration_cap(*, n_labels: int) -> int:
    """Held-out cells that the answer is calibrated on at most: probabilities of all heads are held."""
    return min(MAX_VALIDATION_CELLS, 5_000_000 // n_labels)


def calibration_mb(n_cells: int, *, n_labels: int, n_heads: int) -> int:
    """MB of held-out cells' probabilities: of each head as they are and tempered, and mixed."""
    return 8 * (2 * n_heads + 4) * n_cells * n_labels // MB


def head_output_bytes(*, n_labels: int, n_heads: int, neighbors: int, n_latent: int, values: float) -> int:
    """Bytes that a cell of so many stored values takes while the heads look at it.

    Probabilities of all heads, tempered and mixed, and in float64 while a linear model works; neighbors with
    indices, distances and weights; latents in three versions; counts in two, marker values sparse and dense.
    """
    return int(16 * (n_heads + 1) * n_labels + 32 * neighbors + 24 * n_latent + 24 * values)


def training_mb(n_cells: int, *, n_labels: int, n_latent: int, neighbors: int, n_markers: int = 0) -> int:
    """MB that training the classifiers takes.

    XGBoost holds margins, gradients and predictions of training and validation cells; the linear model about
    as much; latents are held raw, standardized and binned; every cell has its nearest others. Markers, where
    they are learned from, are held like latents, and read in blocks.
    """
    training = n_cells * (16 * n_labels + 16 * (n_latent + n_markers) + 40 * neighbors)
    validation = MAX_VALIDATION_CELLS * (12 * n_labels + 8 * (n_latent + n_markers))
    return (training + validation) // MB + (MARKERS_READ_MB if n_markers else 0)


def classifier_mb(n_cells: int, *, n_latent: int) -> int:
    """MB of the trained classifiers: the cells that vote, and what searching them holds."""
    return 8 * n_latent * n_cells // MB
