"""Training of gradient-boosted trees by XGBoost."""

import numpy as np
import xgboost

from ..core.progress import Progress

PATIENCE = 25
"""Boosting rounds without a better validation loss before training stops."""

ROUNDS_UNCHECKED = 100
"""Maximum of boosting rounds without validation cells to stop the training."""

CELLS_PER_LEAF = 32


def balanced_weights(codes: np.ndarray, n_labels: int) -> np.ndarray:
    """Weight per label that gives all labels equal weight: cells / (labels × cells of the label)."""
    sizes = np.bincount(codes, minlength=n_labels)
    return (len(codes) / (n_labels * np.maximum(sizes, 1))).astype(np.float32)


def depth_for(codes: np.ndarray, max_depth: int) -> int:
    """Depth of trees with about 32 cells of the median label per leaf, at least 2.

    Deeper trees fit the reference's conditions more closely and generalize worse to other conditions.
    """
    cells_per_label = float(np.median(np.bincount(codes)))
    return min(max_depth, max(2, int(np.log2(max(cells_per_label, 1) / CELLS_PER_LEAF))))


class _Rounds(xgboost.callback.TrainingCallback):
    """Print the progress of the training, with the loss on validation cells if there are some."""

    def __init__(self, most: int) -> None:
        self._progress = Progress("XGBoost grew", most, "rounds of trees", at_most=True)

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict) -> bool:
        losses = evals_log.get("validation", {}).get("mlogloss")
        self._progress.add(1, f"validation loss {losses[-1]:.4f}" if losses else "")
        return False

    def after_training(self, model: xgboost.Booster) -> xgboost.Booster:
        self._progress.end()
        return model


def train_booster(
    values: np.ndarray,
    codes: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    *,
    n_labels: int,
    n_trees: int,
    max_depth: int,
    learning_rate: float,
    threads: int,
    seed: int,
) -> xgboost.Booster:
    """Train on all cells, labels balanced; `validation`, values and codes, may stop it early."""
    weights = balanced_weights(codes, n_labels)
    training = xgboost.QuantileDMatrix(values, codes, weight=weights[codes], nthread=threads)
    settings = {
        "objective": "multi:softprob",
        "num_class": n_labels,
        "tree_method": "hist",
        "eta": learning_rate,
        "max_depth": depth_for(codes, max_depth),
        # One cell's hessian is below 1/4: the default limit of 1 would prevent splits of small labels.
        "min_child_weight": min(1.0, len(codes) / (200 * n_labels)),
        "subsample": 0.75,
        "nthread": threads,
        "seed": seed,
    }
    checked = len(validation[1]) > 0
    if checked:
        held_out = xgboost.QuantileDMatrix(
            *validation, weight=weights[validation[1]], ref=training, nthread=threads
        )
    rounds = n_trees if checked else min(n_trees, ROUNDS_UNCHECKED)
    booster = xgboost.train(
        settings,
        training,
        num_boost_round=rounds,
        evals=[(held_out, "validation")] if checked else [],
        early_stopping_rounds=PATIENCE if checked else None,
        verbose_eval=False,
        callbacks=[_Rounds(rounds)],
    )
    return booster[: booster.best_iteration + 1] if checked else booster
