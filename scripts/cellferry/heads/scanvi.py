"""scANVI's own classifier as plain arrays: a few dense layers on the latent space, without torch."""

from pathlib import Path

import numpy as np
from scipy.special import softmax

from ..mapping.layers import activate


class ScanviHead:
    """The classifier of a scANVI model.

    After each dense layer but the last, the nodes are normalized over the layer, if the model does so, and
    cut at 0 (ReLU).

    Parameters
    ----------
    labels
        Labels of the outputs of its last layer.
    layer_norm
        Whether nodes are normalized.
    layers
        `weight_0` (out × in), `bias_0`, `weight_1`, and so on.
    """

    file_name = "scanvi.npz"

    def __init__(self, labels: np.ndarray, layer_norm: bool, **layers: np.ndarray) -> None:
        self.labels = labels
        self.layer_norm = bool(layer_norm)
        self.layers = layers

    def among(self, labels: list[str]) -> "ScanviHead":
        """The same for these labels, in this order; a label that the model lacks gets probability 0."""
        last = len(self.layers) // 2 - 1
        weight, bias = self.layers[f"weight_{last}"], self.layers[f"bias_{last}"]
        place = {label: row for row, label in enumerate(self.labels.tolist())}
        rows = np.array([place.get(label, -1) for label in labels])
        chosen = {
            f"weight_{last}": np.where(rows[:, None] < 0, 0, weight[rows]),
            f"bias_{last}": np.where(rows < 0, -np.inf, bias[rows]),
        }
        return ScanviHead(np.array(labels), self.layer_norm, **self.layers | chosen)

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels."""
        # In float64, where a product's rounding does not depend on how cells are cut into blocks.
        values = latents.astype(np.float64)
        n_layers = len(self.layers) // 2
        for layer in range(n_layers):
            values = values @ self.layers[f"weight_{layer}"].T + self.layers[f"bias_{layer}"]
            if layer < n_layers - 1:
                activate(values, layer_norm=self.layer_norm)
        return softmax(values, axis=1).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the arrays as npz."""
        np.savez(folder / self.file_name, labels=self.labels, layer_norm=self.layer_norm, **self.layers)

    @classmethod
    def load(cls, folder: Path) -> "ScanviHead":
        """Read what `save` wrote."""
        with np.load(folder / cls.file_name, allow_pickle=False) as arrays:
            return cls(**arrays)
