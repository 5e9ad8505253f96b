"""Weights of batches in scvi-tools models."""

from cellferry.model.saved import saved_model
from cellferry.model.scvi_models import known_batches


def mean_batch_weights(model, folder):
    """A model after `load_query_data`, new batches with the mean weights of its batches.

    A model of one batch has no weights for it, and neither has a new batch.
    """
    known = saved_model(folder)["model_state_dict"]
    weights, n_known = model.module.state_dict(), len(known_batches(folder))
    for name, weight in weights.items():
        n_new = weight.shape[-1] - known[name].shape[-1] if weight.ndim == 2 else 0
        if n_new:
            weight[:, -n_new:] = known[name][:, -n_known:].mean(dim=1)[:, None] if n_known > 1 else 0
    model.module.load_state_dict(weights)
    model.is_trained_ = True
    return model
