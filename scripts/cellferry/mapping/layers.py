"""Normalization and activation of scvi-tools' hidden layers, without torch."""

import numpy as np

LAYER_NORM_EPSILON = 1e-5
"""As in torch."""


def activate(nodes: np.ndarray, *, layer_norm: bool) -> None:
    """Normalize cells × nodes over the layer, if the model does so, and cut them at 0 (ReLU), in place."""
    if layer_norm:
        nodes -= nodes.mean(axis=1, keepdims=True)
        nodes /= np.sqrt(np.square(nodes).mean(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
    np.maximum(nodes, 0, out=nodes)
