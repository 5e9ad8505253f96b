"""Posterior means of a trained model, computed on the stored values of sparse counts only.

scvi-tools' `get_latent_representation` makes every cell dense, and most of its first layer's products have
a zero in them. Here the first layer sums the weights of the genes that a cell has; the other layers are the
model's own.
"""

import copy

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scvi.external import CYTOVI
from scvi.model.base import BaseModelClass

from .scvi_models import (
    BATCH,
    cells_for_model,
    known_batches,
    mean_batch_weights,
    model_class,
    one_count_each,
)

CELLS_PER_MINIBATCH = 1024


class Encoder:
    """The encoder of a model as `new_model` and `new_cytovi` make it.

    Its inputs are log1p of the counts (values as they are, of CytoVI), and batches or not.

    Parameters
    ----------
    model
        A trained SCVI, SCANVI or CYTOVI model; it is not changed. Its device is where latents are computed.

    Attributes
    ----------
    batches
        The model's batches, in the order of its codes.
    n_latent
        Dimensions of the latent space.
    """

    def __init__(self, model: BaseModelClass) -> None:
        registered = model.adata_manager.get_state_registry(BATCH)["categorical_mapping"]
        self.batches = [str(batch) for batch in registered]
        self.n_latent: int = model.module.n_latent
        self._device = model.device
        self._hidden = copy.deepcopy(model.module.z_encoder.encoder).eval()
        first = self._hidden.fc_layers[0]
        seen = getattr(model.module, "encoder_marker_mask", None)
        first[0] = SparseLinear(first[0], model.summary_stats.n_vars, seen)
        self._scaled = torch.log1p if model.module.log_variational else torch.nn.Identity()
        self._mean = model.module.z_encoder.mean_encoder

    def maps_like(self, other: "Encoder") -> bool:
        """Whether another one of the same model has the same weights for batches, in every layer."""
        of_first = (each._hidden.fc_layers[0][0].batches for each in (self, other))
        of_others = (each._hidden.state_dict().values() for each in (self, other))
        return torch.equal(*of_first) and all(map(torch.equal, *of_others))

    def share_genes(self, other: "Encoder") -> None:
        """Hold the weights of genes once, with another one of the same model."""
        self._hidden.fc_layers[0][0].genes = other._hidden.fc_layers[0][0].genes

    def latents(self, counts: sparse.csr_matrix, batches: np.ndarray) -> np.ndarray:
        """Posterior means of cells.

        Parameters
        ----------
        counts
            Cells × genes, CSR float32; each cell's genes ascending.
        batches
            Code of each cell's batch: its place in `self.batches`.

        Returns
        -------
        Cells × latents, float32.
        """
        n_cells = len(batches)
        latents = np.empty((n_cells, self.n_latent), dtype=np.float32)
        # Matrix products round differently for other numbers of rows. All minibatches have the same
        # number, the last one empty cells at its end, so that latents do not depend on the cut.
        padded = np.zeros(CELLS_PER_MINIBATCH, dtype=np.int64)
        offsets = np.empty(CELLS_PER_MINIBATCH + 1, dtype=counts.indices.dtype)
        with torch.inference_mode():
            for start in range(0, n_cells, CELLS_PER_MINIBATCH):
                stop = min(start + CELLS_PER_MINIBATCH, n_cells)
                first, last = counts.indptr[start], counts.indptr[stop]
                offsets[: stop - start + 1] = counts.indptr[start : stop + 1] - first
                offsets[stop - start + 1 :] = last - first
                padded[: stop - start] = batches[start:stop]
                arrays = (counts.indices[first:last], offsets, counts.data[first:last], padded)
                genes, edges, values, codes = (torch.from_numpy(a).to(self._device) for a in arrays)
                hidden = self._hidden((genes, edges, self._scaled(values), codes), codes[:, None])
                latents[start:stop] = self._mean(hidden)[: stop - start].cpu().numpy()
        return latents


def load_encoder(folder: str, genes: pd.Index, *, accelerator: str) -> Encoder:
    """The encoder of the model saved in a folder, for counts of these genes."""
    return Encoder(load_model(folder, genes, accelerator=accelerator))


def load_encoders(folder: str, reference_model: str, genes: pd.Index, *, accelerator: str) -> list[Encoder]:
    """Encoders of both mappings: that of a model fitted to a query, and of the reference's as it is.

    Parameters
    ----------
    folder, reference_model
        The model that was fitted, and the one that it was made of.
    genes, accelerator
        See `load_encoder`.

    Returns
    -------
    The fitted one and the unfitted one; one alone where fitting changed nothing that an encoder sees.
    """
    model = load_model(folder, genes, accelerator=accelerator)
    fitted = Encoder(model)
    if set(fitted.batches) == set(known_batches(reference_model)):
        return [fitted]
    unfitted = Encoder(mean_batch_weights(model, reference_model))
    unfitted.share_genes(fitted)
    return [fitted] if fitted.maps_like(unfitted) else [fitted, unfitted]


def load_model(folder: str, genes: pd.Index, *, accelerator: str) -> BaseModelClass:
    """The model saved in a folder, with a cell of these genes that nobody looks at."""
    # Loading takes an AnnData of the right genes; one cell of a batch the model knows will do.
    kind = model_class(folder)
    measured = np.ones(len(genes)) if kind is CYTOVI else None
    batch = np.array(known_batches(folder)[:1])
    first_cell = cells_for_model(one_count_each(1, len(genes)), genes, batch, measured)
    return kind.load(str(folder), adata=first_cell, accelerator=accelerator, device=1)


class SparseLinear(torch.nn.Module):
    """A linear layer on sparse values and batches, in the place of one on dense values and one-hot batches.

    Parameters
    ----------
    layer
        The layer on dense values; its inputs are the genes and then, if there are several and it takes them,
        the batches.
    n_genes
        Number of genes.
    seen
        Mask of the genes that are among the inputs; None if all are.
    """

    def __init__(self, layer: torch.nn.Linear, n_genes: int, seen: np.ndarray | None = None) -> None:
        super().__init__()
        weight = layer.weight.detach().T.contiguous()
        if seen is not None:
            rows = torch.from_numpy(np.flatnonzero(seen)).to(weight.device)
            all_genes = torch.zeros(n_genes, weight.shape[1], device=weight.device)
            weight = torch.cat([all_genes.index_copy(0, rows, weight[: len(rows)]), weight[len(rows) :]])
        self.genes = weight[:n_genes]
        # The batch of a model that knows only one, or shows none to its encoder, is not among the inputs.
        self.takes_batches = len(weight) > n_genes
        self.batches = layer.bias.detach() + (weight[n_genes:] if self.takes_batches else 0)

    def forward(self, cells: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Cells × nodes, from stored `genes` and `values`, the `edges` between cells, and `batches`."""
        genes, edges, values, batches = cells
        summed = torch.nn.functional.embedding_bag(
            genes, self.genes, edges, mode="sum", per_sample_weights=values, include_last_offset=True
        )
        return summed + (self.batches[batches] if self.takes_batches else self.batches)
