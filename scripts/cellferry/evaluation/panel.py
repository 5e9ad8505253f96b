"""The cost of a panel: the baseline's loss when trained on a query's genes only.

A panel is labeled with missing genes set to 0, or after retraining on its genes. The loss of the first is
measured on the model, that of the second on the baseline, which is trained in seconds.
"""

from collections import Counter

import numpy as np
from scipy import sparse

from ..artifacts.h5ad_reader import H5adReader
from ..features.marker_values import holds_intensities
from ..heads.expression import log_normalized
from ..resources.memory import MAX_PANEL_CELLS
from ..sampling.sketch import stratified_sketch
from .baseline import Baseline
from .metrics import summary

MIN_GENES = 3
"""Minimum of genes for principal components."""


def baseline_f1(
    reference: H5adReader,
    cells: H5adReader,
    rows: np.ndarray,
    truth: np.ndarray,
    genes: np.ndarray,
    *,
    seed: int,
) -> float | None:
    """Macro-F1 of the baseline on some cells, with some genes only; None for too few genes.

    Parameters
    ----------
    reference
        The reference's training cells.
    cells, rows, truth
        Held-out cells, those of them that are scored (ascending rows), and their labels.
    genes
        Mask of the genes.
    seed
        Seed of the sketch of training cells, and of the baseline.
    """
    if genes.sum() < MIN_GENES or len(rows) == 0:
        return None
    batches = reference.codes("batch") if "batch" in reference.obs_columns else None
    codes = reference.codes("label")
    learned = stratified_sketch(codes, MAX_PANEL_CELLS, seed=seed, within=batches)
    names = reference.categories("label")[codes[learned]]
    if len(np.unique(names)) < 2:
        return None
    model = Baseline(_expression(reference, learned, genes), names, seed=seed)
    predicted = model.predict(_expression(cells, rows, genes))
    return summary(Counter(zip(truth.tolist(), predicted.tolist(), strict=True))).macro_f1


def _expression(cells: H5adReader, rows: np.ndarray, genes: np.ndarray) -> sparse.csr_matrix:
    """Values of the genes only; counts are normalized by the total of these genes."""
    values = cells.rows(rows)[:, np.flatnonzero(genes)]
    return values if holds_intensities(cells) else log_normalized(values)
