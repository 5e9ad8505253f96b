"""Softmax of linear models; for very many labels in float32 and in the processor's cache.

At 5,000 labels a head's probabilities are 20 kB per cell, and every pass over them is slow.
"""

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.special import softmax

from ..config.available_heads import MANY_LABELS

VALUES_AT_ONCE = 1 << 16
"""Values that stay in the cache over several operations."""

CELLS_AT_ONCE = 256
"""Cells of one product."""


def row_slices(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows that stay in the cache while they are worked on."""
    size = max(1, VALUES_AT_ONCE // max(1, n_columns))
    return (slice(start, start + size) for start in range(0, n_rows, size))


def soften(logits: np.ndarray) -> None:
    """Turn logits (cells × labels) into their softmax, in place."""
    for rows in row_slices(*logits.shape):
        some = logits[rows]
        some -= some.max(axis=1, keepdims=True)
        np.exp(some, out=some)
        some /= some.sum(axis=1, keepdims=True)


def softmax_of(
    values: np.ndarray | sparse.csr_matrix, coefficients: np.ndarray, intercepts: np.ndarray
) -> np.ndarray:
    """Softmax of values @ coefficients.T + intercepts: cells × labels, float32."""
    if len(intercepts) <= MANY_LABELS:
        # In float64, where a product's rounding does not depend on how cells are cut into blocks.
        return softmax(values @ coefficients.T + intercepts, axis=1).astype(np.float32)
    logits = product(values, coefficients)
    logits += intercepts.astype(np.float32)
    soften(logits)
    return logits


def product(values: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Products values @ coefficients.T, float32.

    They are summed in float64: some processors' kernels round float32 by a cell's place in its block.
    """
    factors = coefficients.astype(np.float64, copy=False).T
    found = np.empty((len(values), factors.shape[1]), dtype=np.float32)
    for start in range(0, len(values), CELLS_AT_ONCE):
        rows = slice(start, start + CELLS_AT_ONCE)
        found[rows] = values[rows].astype(np.float64) @ factors
    return found
