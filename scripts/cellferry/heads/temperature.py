"""Temperature scaling: calibration of softmax probabilities."""

from collections.abc import Callable

import numpy as np


def likeliest_temperature(
    log_probabilities: Callable[[float], np.ndarray], codes: np.ndarray, *, bounds: tuple[float, float]
) -> float:
    """Temperature that maximizes the likelihood of held-out cells (Guo et al. 2017).

    One wrong cell is added, so that few cells without an error do not make a head certain.

    Parameters
    ----------
    log_probabilities
        Logs of the probabilities at a temperature: cells × labels.
    codes
        Labels of the cells.
    bounds
        Least and greatest temperature.
    """
    # Late: only training needs it, and importing it takes longer than predicting a chunk.
    from scipy.optimize import minimize_scalar

    cells, wrong = np.arange(len(codes)), 1 / (len(codes) + 1)

    def loss(log_temperature: float) -> float:
        logs = log_probabilities(np.exp(log_temperature))
        right = logs[cells, codes]
        others = (logs.sum(axis=1) - right) / max(1, logs.shape[1] - 1)
        return -float(np.mean((1 - wrong) * right + wrong * others))

    return float(np.exp(minimize_scalar(loss, bounds=np.log(bounds), method="bounded").x))
