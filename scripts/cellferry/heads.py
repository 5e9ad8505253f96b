"""The classifiers ("heads"), and what they make of a block of cells.

Three work on the latent space (boosted trees, a linear model, a vote of neighbours), and a fourth where the
model is scANVI: the model's own. One works on expression. Each loses badly somewhere (boosted trees under a
shift of conditions, neighbours between batches), so none is trusted alone: see `combination`. All are stored
in open formats: UBJSON, npz, parquet.

Shapes: latents are cells × L float32, counts cells × genes CSR float32, codes are one int per cell that
indexes the sorted labels, probabilities are cells × labels float32.
"""

from pathlib import Path

import numpy as np
from scipy import sparse

from .boosted_trees import XGBoostHead
from .expression import ExpressionHead
from .linear_model import LinearHead
from .neighbors import NeighborsHead
from .scanvi_classifier import ScanviHead

HEADS = {
    "xgboost": XGBoostHead,
    "linear": LinearHead,
    "neighbors": NeighborsHead,
    "scanvi": ScanviHead,
    "expression": ExpressionHead,
}
"""The heads by name, in the order that their columns stand in."""

VIEWS = (("xgboost", "linear", "neighbors", "scanvi"), ("expression",))
"""What the heads look at: the latent space, and expression. Heads of one view err together."""

Heads = dict[str, XGBoostHead | LinearHead | NeighborsHead | ScanviHead | ExpressionHead]


def load_heads(folder: str | Path, names: list[str], *, threads: int) -> Heads:
    """Read heads that train_classifier stored in `folder`."""
    folder = Path(folder)
    return {
        name: HEADS[name].load(folder, threads=threads) if name == "xgboost" else HEADS[name].load(folder)
        for name in names
    }


def predict(heads: Heads, latents: np.ndarray, counts: sparse.csr_matrix | None) -> dict[str, np.ndarray]:
    """Probabilities by head, each cells × labels; `counts` may be None where no head takes them."""
    return {
        name: head.probabilities(counts if name == "expression" else latents) for name, head in heads.items()
    }
