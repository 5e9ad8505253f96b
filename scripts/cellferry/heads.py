"""The classifiers on the latent space: XGBoost, a multinomial linear model, a vote of neighbours.

Each loses badly somewhere (boosted trees under a shift of conditions, neighbours between batches), so a
cell's answer is the mean of their probabilities. All are stored in open formats: UBJSON, npz, parquet.

Shapes: latents are cells × L float32, codes are one int per cell that indexes the sorted labels,
probabilities are cells × labels float32.
"""

from pathlib import Path

import numpy as np

from .boosted_trees import XGBoostHead
from .linear_model import LinearHead
from .neighbors import NeighborsHead

Heads = dict[str, XGBoostHead | LinearHead | NeighborsHead]
"""The heads by name, in the order their columns stand in: xgboost, linear, neighbors."""


def load_heads(folder: str | Path, *, threads: int) -> Heads:
    """Read the heads that train_classifier stored in `folder`."""
    folder = Path(folder)
    return {
        "xgboost": XGBoostHead.load(folder, threads=threads),
        "linear": LinearHead.load(folder),
        "neighbors": NeighborsHead.load(folder),
    }


def predict(heads: Heads, latents: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Probabilities by head, each cells × labels; and distances, as `NeighborsHead.vote` gives them."""
    by_head = {name: heads[name].probabilities(latents) for name in ("xgboost", "linear")}
    by_head["neighbors"], distance = heads["neighbors"].vote(latents)
    return by_head, distance


def mean_probabilities(by_head: dict[str, np.ndarray]) -> np.ndarray:
    """Mean of the heads' probabilities: cells × labels, float32."""
    return np.mean(list(by_head.values()), axis=0, dtype=np.float32)
