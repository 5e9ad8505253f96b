"""The classifiers ("heads") by name, and their probabilities for a block of cells.

Three work on the latent space (boosted trees, a linear model, a vote of neighbors), and so does what a model
brings itself: scANVI its classifier, CytoVI its vote. Three work on counts (a linear model on z-scored genes,
one on principal components, ranks of marker genes); on marker values of cytometry a linear model and boosted
trees do. Each one fails in some setting (boosted trees on
latents under a shift of conditions, neighbors between batches), so they are combined: see `combination`.
All are stored in open formats: UBJSON, npz, parquet.

Shapes: latents are cells × L float32, expression (counts of genes or values of markers) is cells × genes CSR
float32, codes are one int per cell that indexes the sorted labels, probabilities are cells × labels float32.
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from ..config.available_heads import CELLTYPIST, ON_EXPRESSION
from .boosted_trees import ExpressionXGBoostHead, XGBoostHead
from .celltypist import CelltypistHead, Measured
from .cytovi import CytoviHead
from .expression import ExpressionHead
from .expression_pca import ExpressionPcaHead
from .expression_ranks import ExpressionRanksHead
from .linear import LinearHead
from .neighbors import NeighborsHead
from .scanvi import ScanviHead

ON_LATENTS = {
    "linear": LinearHead,
}
"""Heads trained on latents and codes only, by `train(latents, codes)`.

Those of `LEARN_SUMS` take `coarse`, too: further cells, with a coarser label.
"""

HEADS = {
    "xgboost": XGBoostHead,
    **ON_LATENTS,
    "neighbors": NeighborsHead,
    "scanvi": ScanviHead,
    "cytovi": CytoviHead,
    "expression": ExpressionHead,
    "expression_pca": ExpressionPcaHead,
    "expression_ranks": ExpressionRanksHead,
    "expression_xgboost": ExpressionXGBoostHead,
}
"""The heads by name, in the order of their columns."""

IMPORTED = {CELLTYPIST: CelltypistHead}
"""Heads that are not trained here."""

ON_COUNTS = {
    "expression": partial(ExpressionHead.train, normalize=True),
    "expression_pca": ExpressionPcaHead.train,
    "expression_ranks": ExpressionRanksHead.train,
}
"""Training of the heads on raw counts, by `train(counts, codes, held_out, n_labels=...)`.

Those of `LEARN_SUMS` take `coarse`, too: further cells, with a coarser label.
"""

Heads = dict[
    str,
    XGBoostHead
    | LinearHead
    | NeighborsHead
    | ScanviHead
    | CytoviHead
    | ExpressionHead
    | ExpressionRanksHead
    | CelltypistHead,
]


def load_heads(folder: str | Path, names: list[str], *, threads: int) -> Heads:
    """Read heads from `folder`: those of train_classifier, or an imported one."""
    folder, heads = Path(folder), HEADS | IMPORTED
    return {
        name: heads[name].load(folder, threads=threads)
        if issubclass(heads[name], XGBoostHead)
        else heads[name].load(folder)
        for name in names
    }


def predict(
    heads: Heads,
    latents: np.ndarray,
    expression: sparse.csr_matrix | None,
    normalized: sparse.csr_matrix | None = None,
    measured: Measured | None = None,
) -> dict[str, np.ndarray]:
    """Probabilities by head, each cells × labels.

    Parameters
    ----------
    heads, latents
        Heads by name, and latents of the cells.
    expression
        Their raw counts or marker values (cells × genes, CSR); may be None if no head uses them.
    normalized
        The input of linear models, log1p CP10k or marker values; None if it was not computed.
    measured
        Total counts and measured genes, for a CellTypist model.
    """
    found = {}
    for name, head in heads.items():
        if normalized is not None and isinstance(head, ExpressionHead):
            found[name] = head.of_expression(normalized)
        elif isinstance(head, CelltypistHead):
            found[name] = head.probabilities(expression, measured)
        else:
            found[name] = head.probabilities(expression if name in ON_EXPRESSION else latents)
    return found
