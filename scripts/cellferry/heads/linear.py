"""A linear model on the latent space; stored as npz.

Multinomial logistic regression; linear discriminants for very many labels.
"""

import numpy as np

from ..config.available_heads import MANY_LABELS
from .arrays import ArraysHead
from .discriminants import discriminants
from .marginal import CoarseCells, expected_weights, learn_sums
from .shrinkage import of_all_labels
from .softmax import softmax_of


class LinearHead(ArraysHead):
    """A linear model on standardized latents.

    Parameters
    ----------
    coefficients, intercepts
        Labels × L and labels.
    mean, scale
        Standardization of latents: (latents - mean) / scale.
    """

    file_name = "linear.npz"

    def __init__(
        self, coefficients: np.ndarray, intercepts: np.ndarray, mean: np.ndarray, scale: np.ndarray
    ) -> None:
        self.coefficients = coefficients
        self.intercepts = intercepts
        self.mean = mean
        self.scale = scale

    @classmethod
    def train(cls, latents: np.ndarray, codes: np.ndarray, coarse: CoarseCells | None = None) -> "LinearHead":
        """Train on all cells, labels balanced; `coarse` are further ones, with a coarser label."""
        mean = latents.mean(axis=0, dtype=np.float64)
        scale = latents.std(axis=0, dtype=np.float64)
        scale[scale == 0] = 1

        def scaled(cells: np.ndarray) -> np.ndarray:
            return ((cells - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32)

        standardized = scaled(latents)
        n_labels = int(codes.max()) + 1
        if n_labels > MANY_LABELS:
            found = discriminants(standardized, codes, n_labels=n_labels, reduce=False)
            return cls(found.coefficients @ found.axes.T, found.intercepts, mean, scale)
        # Late: only training needs it, and importing it takes longer than predicting a chunk.
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(standardized, codes)
        if coarse is not None:
            weights = expected_weights(codes, n_labels, coarse.nodes, coarse.below)
            learn_sums(model, standardized, codes, coarse.of(scaled(coarse.values)), weights)
        coefficients, intercepts = of_all_labels(model, n_labels)
        return cls(coefficients, intercepts, mean, scale)

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels."""
        return softmax_of((latents - self.mean) / self.scale, self.coefficients, self.intercepts)
