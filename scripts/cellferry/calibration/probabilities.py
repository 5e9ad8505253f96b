"""Calibration: of cells that are given a probability of .8, four in five should be right.

What is calibrated is the mixture of the heads. Two ways are tried on held-out cells, and the one is kept
that does better on cells it was not fitted to: a temperature (Guo et al. 2017), or an isotonic curve from the
best label's probability to the share that is right (Zadrozny and Elkan 2002).
"""

import numpy as np
from sklearn.isotonic import IsotonicRegression

from ..artifacts.decision import Calibration
from .mixture import fitted_temperature, tempered

FOLDS = 5
MIN_CELLS_FOR_ISOTONIC = 200
TINY = 1e-6


def calibrate(calibration: Calibration, probabilities: np.ndarray) -> np.ndarray:
    """Calibrated probabilities, cells × labels; the order of a cell's labels stays."""
    if calibration.method == "temperature":
        return tempered(probabilities, calibration.temperature)
    cells = np.arange(len(probabilities))
    best = probabilities.argmax(axis=1)
    top = probabilities[cells, best]
    # Shares of the others in what the best leaves over; even where float32 says that it leaves nothing.
    others = np.maximum(probabilities, TINY)
    others[cells, best] = 0
    others /= others.sum(axis=1, keepdims=True)
    # The best stays the best: at the least it is level with the next.
    second = others.max(axis=1)
    level = second / (1 + second) * (1 + TINY)
    aimed = np.maximum(np.interp(top, calibration.given, calibration.right), level).astype(np.float32)
    calibrated = others * (1 - aimed)[:, None]
    calibrated[cells, best] = aimed
    return calibrated


def fit_temperature(probabilities: np.ndarray, codes: np.ndarray) -> Calibration:
    """A temperature."""
    return Calibration("temperature", fitted_temperature(probabilities, codes))


def fit_isotonic(probabilities: np.ndarray, codes: np.ndarray) -> Calibration:
    """An isotonic curve; never 0 or 1, which so many cells cannot show."""
    top = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == codes
    margin = 1 / (len(codes) + 2)
    curve = IsotonicRegression(y_min=margin, y_max=1 - margin).fit(top, right)
    return Calibration("isotonic", 1.0, tuple(curve.X_thresholds_), tuple(curve.y_thresholds_))


def fit_calibration(probabilities: np.ndarray, codes: np.ndarray) -> Calibration:
    """The better of the two on held-out cells: cells × labels, and the cells' codes."""
    if len(codes) < MIN_CELLS_FOR_ISOTONIC:
        return fit_temperature(probabilities, codes)
    fold = np.random.default_rng(0).permutation(len(codes)) % FOLDS
    losses = {}
    for fit in (fit_temperature, fit_isotonic):
        losses[fit] = sum(
            log_loss(
                fit(probabilities[fold != number], codes[fold != number]),
                probabilities,
                codes,
                fold == number,
            )
            for number in range(FOLDS)
        )
    best = min(losses, key=losses.get)
    print(
        f"calibration: {', '.join(f'{fit.__name__} {loss:.1f}' for fit, loss in losses.items())} (log loss)"
    )
    return best(probabilities, codes)


def log_loss(
    calibration: Calibration, probabilities: np.ndarray, codes: np.ndarray, cells: np.ndarray
) -> float:
    """Sum over `cells` of the log loss of the best label being right."""
    calibrated = calibrate(calibration, probabilities[cells])
    top = np.clip(calibrated.max(axis=1), TINY, 1 - TINY)
    right = calibrated.argmax(axis=1) == codes[cells]
    return float(-np.log(np.where(right, top, 1 - top)).sum())
