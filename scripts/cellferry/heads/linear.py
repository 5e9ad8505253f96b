"""Multinomial logistic regression on the latent space; stored as npz."""

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from .arrays import ArraysHead
from .shrinkage import of_all_labels


class LinearHead(ArraysHead):
    """Multinomial logistic regression on standardized latents.

    Parameters
    ----------
    coefficients, intercepts
        Labels × L and labels.
    mean, scale
        What latents are standardized with: (latents - mean) / scale.
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
    def train(cls, latents: np.ndarray, codes: np.ndarray) -> "LinearHead":
        """Train on all cells, labels balanced."""
        mean = latents.mean(axis=0, dtype=np.float64)
        scale = latents.std(axis=0, dtype=np.float64)
        scale[scale == 0] = 1
        standardized = ((latents - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32)
        model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(standardized, codes)
        coefficients, intercepts = of_all_labels(model, int(codes.max()) + 1)
        return cls(coefficients, intercepts, mean, scale)

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels."""
        # In float64, where a product's rounding does not depend on how cells are cut into blocks.
        logits = ((latents - self.mean) / self.scale) @ self.coefficients.T + self.intercepts
        return softmax(logits, axis=1).astype(np.float32)
