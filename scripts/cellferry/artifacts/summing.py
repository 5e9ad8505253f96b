"""The loop that sums expression by label, in a module of its own since it imports numba."""

import numba
import numpy as np

from .expression_sums import LARGEST, SCALE, SQUARE_SCALE


@numba.njit(cache=True)
def add_rows(
    values: np.ndarray,
    genes: np.ndarray,
    starts: np.ndarray,
    codes: np.ndarray,
    sums: np.ndarray,
    squares: np.ndarray,
) -> None:
    """Add rows of a CSR matrix to the rows of sums and of squares (int64) that `codes` names, if any."""
    for cell in range(len(codes)):
        code = codes[cell]
        if code < 0:
            continue
        for place in range(starts[cell], starts[cell + 1]):
            value = min(max(np.float64(values[place]), -LARGEST), LARGEST)
            gene = genes[place]
            sums[code, gene] += np.int64(np.rint(value * SCALE))
            squares[code, gene] += np.int64(np.rint(value * value * SQUARE_SCALE))
