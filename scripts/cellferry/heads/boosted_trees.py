"""XGBoost's gradient-boosted trees on latents or marker values, stored as UBJSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .forest import Forest

if TYPE_CHECKING:
    import xgboost


BOOSTER_BYTES = 5
"""Bytes in memory, as XGBoost's own trees, per byte of a file of trees."""


class XGBoostHead:
    """Gradient-boosted trees with a softmax over the labels (`multi:softprob`).

    Parameters
    ----------
    forest
        The trees as arrays; None if they do not fit.
    booster
        XGBoost's booster; may be None with a forest, since importing XGBoost takes longer than predicting a
        chunk.
    """

    file_name = "xgboost.ubj"

    def __init__(self, forest: Forest | None, booster: "xgboost.Booster | None" = None) -> None:
        self.forest = forest
        self.booster = booster
        self._predict = forest.probabilities if forest else booster.inplace_predict

    @property
    def held_bytes(self) -> int:
        """Bytes of the trees in memory."""
        if self.forest:
            return self.forest.nbytes
        return BOOSTER_BYTES * len(self.booster.save_raw("ubj"))

    @classmethod
    def of(cls, booster: "xgboost.Booster") -> "XGBoostHead":
        """The head of trained trees."""
        try:
            return cls(Forest.of(booster), booster)
        except ValueError:  # too large, or with too many split points
            return cls(None, booster)

    @classmethod
    def train(
        cls,
        latents: np.ndarray,
        codes: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray],
        **settings: Any,
    ) -> "XGBoostHead":
        """Train on all cells, see `cellferry.heads.boosting.train_booster`."""
        from .boosting import train_booster

        return cls.of(train_booster(latents, codes, validation, **settings))

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels."""
        if len(latents) == 0:  # XGBoost drops the number of labels for an empty input
            return self._predict(np.zeros((1, latents.shape[1]), dtype=np.float32))[:0]
        return self._predict(latents)

    def save(self, folder: Path) -> None:
        """Write the trees as UBJSON, XGBoost's own format, and as arrays."""
        self.booster.save_model(folder / self.file_name)
        if self.forest:
            np.savez(self._arrays(folder), **self.forest.arrays)

    @classmethod
    def load(cls, folder: Path, *, threads: int) -> "XGBoostHead":
        """Read what `save` wrote; predict with `threads` threads."""
        if cls._arrays(folder).exists():
            with np.load(cls._arrays(folder), allow_pickle=False) as arrays:
                return cls(Forest(**arrays))
        import xgboost

        booster = xgboost.Booster(model_file=folder / cls.file_name)
        booster.set_param({"nthread": threads})
        return cls.of(booster)

    @classmethod
    def _arrays(cls, folder: Path) -> Path:
        return (folder / cls.file_name).with_suffix(".npz")


class ExpressionXGBoostHead(XGBoostHead):
    """The same trees on marker values instead of latents.

    Marker values only: thousands of genes would take too long.
    """

    file_name = "expression_xgboost.ubj"

    def probabilities(self, values: sparse.csr_matrix) -> np.ndarray:
        """Probabilities of the labels from marker values (cells × markers, CSR): cells × labels."""
        return super().probabilities(values.toarray())
