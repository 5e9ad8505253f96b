"""Gradient-boosted trees on the latent space, or on marker values, by XGBoost; stored as UBJSON."""

from pathlib import Path

import numpy as np
import xgboost
from scipy import sparse

from ..core.progress import Progress
from .forest import Forest

PATIENCE = 25
"""Boosting rounds without a better validation loss before training stops."""

ROUNDS_UNCHECKED = 100
"""Boosting rounds at most where no validation cell can stop the training."""


def balanced_weights(codes: np.ndarray, n_labels: int) -> np.ndarray:
    """Weight per label under which all labels weigh the same: cells / (labels × cells of the label)."""
    sizes = np.bincount(codes, minlength=n_labels)
    return (len(codes) / (n_labels * np.maximum(sizes, 1))).astype(np.float32)


CELLS_PER_LEAF = 32


def depth_for(codes: np.ndarray, max_depth: int) -> int:
    """Depth of trees that the cells can fill: about 32 cells of the median label per leaf, 2 at least.

    Deeper trees fit the reference's conditions, and miss more where a query's are others.
    """
    cells_per_label = float(np.median(np.bincount(codes)))
    return min(max_depth, max(2, int(np.log2(max(cells_per_label, 1) / CELLS_PER_LEAF))))


class _Rounds(xgboost.callback.TrainingCallback):
    """Say how far the training is, with the loss on validation cells where there are some."""

    def __init__(self, most: int) -> None:
        self._progress = Progress("XGBoost grew", most, "rounds of trees", at_most=True)

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict) -> bool:
        losses = evals_log.get("validation", {}).get("mlogloss")
        self._progress.add(1, f"validation loss {losses[-1]:.4f}" if losses else "")
        return False

    def after_training(self, model: xgboost.Booster) -> xgboost.Booster:
        self._progress.end()
        return model


class XGBoostHead:
    """Gradient-boosted trees with a softmax over the labels (`multi:softprob`)."""

    file_name = "xgboost.ubj"

    def __init__(self, booster: xgboost.Booster) -> None:
        self.booster = booster
        try:
            self._predict = Forest(booster).probabilities
        except ValueError:  # trees too deep for it
            self._predict = booster.inplace_predict

    @classmethod
    def train(
        cls,
        latents: np.ndarray,
        codes: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray],
        *,
        n_labels: int,
        n_trees: int,
        max_depth: int,
        learning_rate: float,
        threads: int,
        seed: int,
    ) -> "XGBoostHead":
        """Train on all cells, labels balanced; `validation`, latents and codes, may stop it early."""
        weights = balanced_weights(codes, n_labels)
        training = xgboost.QuantileDMatrix(latents, codes, weight=weights[codes], nthread=threads)
        settings = {
            "objective": "multi:softprob",
            "num_class": n_labels,
            "tree_method": "hist",
            "eta": learning_rate,
            "max_depth": depth_for(codes, max_depth),
            # One cell's hessian is below 1/4: the usual limit of 1 would forbid any split of small labels.
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
        return cls(booster[: booster.best_iteration + 1] if checked else booster)

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels."""
        if len(latents) == 0:  # XGBoost forgets the number of labels where there is no row
            return self._predict(np.zeros((1, latents.shape[1]), dtype=np.float32))[:0]
        return self._predict(latents)

    def save(self, folder: Path) -> None:
        """Write the trees as UBJSON, XGBoost's own format."""
        self.booster.save_model(folder / self.file_name)

    @classmethod
    def load(cls, folder: Path, *, threads: int) -> "XGBoostHead":
        """Read what `save` wrote; predict with `threads` threads."""
        booster = xgboost.Booster(model_file=folder / cls.file_name)
        booster.set_param({"nthread": threads})
        return cls(booster)


class ExpressionXGBoostHead(XGBoostHead):
    """The same trees on marker values, which `train` takes in the place of latents.

    Only on these: thousands of genes would take too long.
    """

    file_name = "expression_xgboost.ubj"

    def probabilities(self, values: sparse.csr_matrix) -> np.ndarray:
        """Probabilities of the labels from marker values (cells × markers, CSR): cells × labels."""
        return super().probabilities(values.toarray())
