"""Parts of a scvi-tools model as plain arrays, for the jobs that run without torch."""

import numpy as np
import torch
from scvi.model import SCANVI
from scvi.model.base import BaseModelClass

from ..heads.scanvi import ScanviHead
from ..mapping.encoder import Encoder
from .scvi_models import BATCH


def encoder_of(model: BaseModelClass) -> Encoder:
    """The arrays of the encoder of an SCVI, SCANVI or CYTOVI model.

    Raises
    ------
    ValueError
        If it has layers that `Encoder` does not support.
    """
    module = model.module
    registered = model.adata_manager.get_state_registry(BATCH)["categorical_mapping"]
    batches = [str(batch) for batch in registered]
    n_inputs, weights, by_batch, layer_norm = model.summary_stats.n_vars, [], [], []
    for layer in module.z_encoder.encoder.fc_layers:
        linear, *others = (part for part in layer if part is not None)
        if not isinstance(linear, torch.nn.Linear):
            raise ValueError(f"the model's encoder begins with a layer of another kind: {linear}")
        weight, bias = (_array(values) for values in (linear.weight.T, linear.bias))
        for part in others:
            if isinstance(part, torch.nn.BatchNorm1d):
                weight, bias = _folded(part, weight, bias)
            elif not isinstance(part, torch.nn.LayerNorm | torch.nn.ReLU | torch.nn.Dropout):
                raise ValueError(f"the model's encoder has a layer of another kind: {part}")
        layer_norm.append(any(isinstance(part, torch.nn.LayerNorm) for part in others))
        if not weights and (seen := getattr(module, "encoder_marker_mask", None)) is not None:
            weight = _among_all(weight, np.asarray(seen, dtype=bool))
        of_batches = weight[n_inputs:]
        if len(of_batches) not in (0, len(batches)):
            raise ValueError(f"the model's encoder takes {len(weight)} values per cell")
        by_batch.append(np.tile(bias, (len(batches), 1)) + (of_batches if len(of_batches) else 0))
        weights.append(weight[:n_inputs])
        n_inputs = weight.shape[1]
    if len(set(layer_norm)) > 1:
        raise ValueError("the model's encoder has layers with and without normalization")
    mean = module.z_encoder.mean_encoder
    return Encoder(
        genes=[str(gene) for gene in model.adata.var_names],
        batches=batches,
        takes_log=bool(module.log_variational),
        layer_norm=layer_norm[0],
        weights=[each.astype(np.float32) for each in (*weights, _array(mean.weight.T))],
        bias=_array(mean.bias).astype(np.float32),
        by_batch=[[each.astype(np.float32) for each in by_batch]],
    )


def scanvi_classifier(model: SCANVI) -> ScanviHead:
    """The classifier of a trained scANVI model.

    Raises
    ------
    ValueError
        If its layers differ from those of `new_model`.
    """
    layers, layer_norm = {}, False
    for module in model.module.classifier.modules():
        if isinstance(module, torch.nn.Linear):
            number = len(layers) // 2
            layers[f"weight_{number}"] = _array(module.weight)
            layers[f"bias_{number}"] = _array(module.bias)
        elif isinstance(module, torch.nn.LayerNorm) and not module.elementwise_affine:
            layer_norm = True
        elif isinstance(module, torch.nn.BatchNorm1d) and module.track_running_stats:
            weight, bias = list(layers)[-2:]
            folded, layers[bias] = _folded(module, layers[weight].T, layers[bias])
            layers[weight] = folded.T
        elif isinstance(module, torch.nn.BatchNorm1d | torch.nn.LayerNorm | torch.nn.Softmax):
            raise ValueError(f"the model's classifier has a layer of another kind: {module}")
    names = [str(model._code_to_label[code]) for code in range(model.module.n_labels)]
    return ScanviHead(np.array(names), layer_norm, **layers)


def _array(values: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().double().numpy())


def _among_all(weight: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Weights of all inputs: those of the `seen` ones, then the batches; zero for other inputs."""
    n_seen = int(seen.sum())
    among_all = np.zeros((len(seen), weight.shape[1]))
    among_all[seen] = weight[:n_seen]
    return np.concatenate([among_all, weight[n_seen:]])


def _folded(
    norm: torch.nn.BatchNorm1d, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fold a batch norm, which is linear after training, into the layer before it."""
    mean, variance = _array(norm.running_mean), _array(norm.running_var)
    scale = _array(norm.weight) / np.sqrt(variance + norm.eps)
    return weight * scale, (bias - mean) * scale + _array(norm.bias)
