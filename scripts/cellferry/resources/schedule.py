"""Epochs and minibatch sizes of training, computed without torch."""

import numpy as np

MIN_MINIBATCHES_PER_EPOCH = 20
SMALLEST_BATCH_SIZE = 128
FITTING_MINIBATCHES = 2000
FEWEST_FITTING_EPOCHS, MAX_FITTING_EPOCHS = 10, 200


def minibatch_size(batch_size: int, n_cells: int) -> int:
    """Halve `batch_size` while an epoch has fewer than 20 minibatches, down to 128 cells.

    A reference of a thousand cells in minibatches of 512 has two steps per epoch: after all epochs, the model
    is far from trained.
    """
    while n_cells < MIN_MINIBATCHES_PER_EPOCH * batch_size and batch_size // 2 >= SMALLEST_BATCH_SIZE:
        batch_size //= 2
    return batch_size


def reference_epochs(epochs: int | str, n_cells: int) -> int:
    """`epochs`, or for `auto` scvi-tools' heuristic: min(400, 8e6 / cells), at least 1."""
    return max(1, min(400, round(8e6 / n_cells))) if epochs == "auto" else int(epochs)


def refining_epochs(epochs: int | str, trained: int) -> int:
    """`epochs`, or for `auto` scvi-tools' heuristic for scANVI after `trained` epochs of scVI."""
    return min(10, max(2, round(trained / 3))) if epochs == "auto" else int(epochs)


def fitting_epochs(epochs: int | str, n_cells: int, minibatch: int) -> int:
    """`epochs` of surgery, or for `auto` the epochs of 2,000 minibatches, between 10 and 200."""
    if epochs != "auto":
        return int(epochs)
    return int(
        np.clip(round(FITTING_MINIBATCHES / (n_cells / minibatch)), FEWEST_FITTING_EPOCHS, MAX_FITTING_EPOCHS)
    )
