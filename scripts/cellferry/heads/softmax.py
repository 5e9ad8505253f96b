"""From logits to probabilities."""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (float32) from logits, both cells × labels; the logits are overwritten."""
    logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
    np.exp(logits, out=logits)
    return (logits / logits.sum(axis=1, keepdims=True)).astype(np.float32)
