"""The reference model: an ordinary scvi-tools model, built on a skeleton and trained from disk.

scvi-tools 1.5 can train a model from a data module, but a model made that way cannot be loaded for
surgery and needs its data module to be saved. A model that is registered on a skeleton AnnData (one cell per
category, which registers all batches and labels) and only *trained* from a data module has neither
problem: `load_query_data` opens its folder.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scvi
import torch
from scipy import sparse
from scvi.external import CYTOVI
from scvi.model.base import BaseModelClass, UnsupervisedTrainingMixin
from scvi.train import SemiSupervisedTrainingPlan

from ..config.settings import ModelSettings
from ..errors import InputError, RetryableError
from ..labels.vocabulary import UNKNOWN
from .saved import MODEL_FILE, only_data, saved_model

UNLABELED = -1
"""Code of cells without a label in minibatches of scANVI."""

BATCH, LABEL = "batch", "label"
"""Names of the obs columns a model is registered with."""

MASK = "_nan_mask"
"""CytoVI's name of the layer with the mask of measured values."""

CLASSES = {"SCVI": scvi.model.SCVI, "SCANVI": scvi.model.SCANVI, "CYTOVI": CYTOVI}
"""Classes of models that the workflow trains or imports."""

# Required by scArches: batches in the encoder, no batch norm, whose statistics a query would shift.
FOR_SURGERY = {"encode_covariates": True, "use_layer_norm": "both", "use_batch_norm": "none"}


def set_up_torch(*, threads: int, seed: int, gpu: int) -> str:
    """Set seed and threads, and choose the device.

    Parameters
    ----------
    threads
        Cores the job was given.
    seed
        Seed of all random generators.
    gpu
        GPUs the job was given.

    Returns
    -------
    `gpu` or `cpu`, as Lightning names them.

    Raises
    ------
    RetryableError
        If torch cannot use the job's GPU; the CPU would silently take days.
    """
    scvi.settings.seed = seed
    silence_expected_warnings()
    torch.set_num_threads(threads)
    usable = torch.cuda.is_available()
    if gpu and not usable:
        raise RetryableError(
            f"the job was given {gpu} GPU(s) and torch {torch.__version__} (built for CUDA "
            f"{torch.version.cuda}) cannot use it. Compare with the driver's CUDA version "
            "(nvidia-smi), install a torch built for it in envs/model.yaml, or set gpu to 0 for this rule"
        )
    return "gpu" if usable else "cpu"


def silence_expected_warnings() -> None:
    """Silence expected warnings, so that real ones are visible."""
    for message in (
        "Category .* has fewer than 3 cells",  # a skeleton has one per category, a small block few
        "SCANVI sampler is not available with custom dataloader",  # the store is shuffled already
        "The number of training batches .* is smaller than the logging interval",
        "Found .* module.s. in eval mode at the start of training",  # frozen parts, after surgery
        "Object at .snakemake_timestamp is not recognized",  # Snakemake's mark in a folder it made
        "You're resuming from a checkpoint that ended before the epoch",  # StoreDataModule goes on there
        "Trying to infer the `batch_size`",
        ".*treespec, LeafSpec.*",
        "The `srun` command is available on your system but is not used",  # each job is one process
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    scvi.settings.verbosity = logging.WARNING


def skeleton(
    genes: list[str],
    batches: list[str],
    labels: list[str],
    measured: dict[str, list[bool]] | None = None,
) -> ad.AnnData:
    """AnnData with the fewest cells that have every batch and label; one count each.

    With `measured`, the markers of each batch's dataset, it is for CytoVI.
    """
    n_cells = max(len(batches), len(labels))
    obs = pd.DataFrame(
        {
            BATCH: pd.Categorical(np.resize(batches, n_cells), categories=batches),
            LABEL: pd.Categorical(np.resize(labels, n_cells), categories=labels),
        },
        index=[f"skeleton_{cell}" for cell in range(n_cells)],
    )
    cells = ad.AnnData(one_count_each(n_cells, len(genes)), obs=obs, var=pd.DataFrame(index=genes))
    return cells if measured is None else with_mask(cells, measured_by_batch(list(obs[BATCH]), measured))


def measured_by_batch(batches: list[str], measured: dict[str, list[bool]]) -> np.ndarray:
    """Mask of the markers measured in each batch: batches × markers, float32.

    A batch's name begins with its dataset's, and a dataset has one panel.
    """
    rows = [measured[batch.partition("/")[0]] for batch in batches]
    return np.array(rows, dtype=np.float32)


def with_mask(cells: ad.AnnData, mask: np.ndarray) -> ad.AnnData:
    """Cells for CytoVI: dense, with a layer with the mask of measured values."""
    cells.X = cells.X.toarray()
    cells.layers[MASK] = np.ascontiguousarray(np.broadcast_to(mask, cells.shape), dtype=np.float32)
    return cells


def new_cytovi(cells: ad.AnnData, settings: ModelSettings, backbone: list[bool]) -> CYTOVI:
    """An untrained CytoVI model registered on a skeleton.

    The encoder takes the backbone's markers; all measured markers are decoded.
    """
    CYTOVI.setup_anndata(cells, batch_key=BATCH, nan_layer=MASK)
    return CYTOVI(
        cells,
        n_latent=None if settings.n_latent == "auto" else settings.n_latent,
        n_layers=settings.n_layers,
        n_hidden=settings.n_hidden,
        dropout_rate=settings.dropout_rate,
        # Named, since the model would use a query's markers when loaded for it.
        encoder_marker_list=cells.var_names[np.array(backbone)].tolist(),
        **FOR_SURGERY,
    )


def new_model(cells: ad.AnnData, settings: ModelSettings) -> scvi.model.SCVI:
    """An untrained scVI model registered on a skeleton."""
    scvi.model.SCVI.setup_anndata(cells, batch_key=BATCH)
    return scvi.model.SCVI(
        cells,
        n_latent=settings.n_latent,
        n_layers=settings.n_layers,
        n_hidden=settings.n_hidden,
        dropout_rate=settings.dropout_rate,
        gene_likelihood=settings.gene_likelihood,
        **FOR_SURGERY,
    )


def train(model: BaseModelClass, **settings: Any) -> None:
    """Train a model as scvi-tools does.

    CytoVI's own `train` takes no data module; the method that it overrides does, and is the same otherwise.
    """
    method = UnsupervisedTrainingMixin.train if isinstance(model, CYTOVI) else type(model).train
    method(model, **settings)


class LabeledCellsPlan(SemiSupervisedTrainingPlan):
    """scANVI's training with a classifier on labeled cells only.

    From a data module scvi-tools treats all cells as labeled.
    """

    @staticmethod
    def _split_semisupervised_batch(batch: dict) -> tuple[dict, dict | None]:
        """All cells of a minibatch, and those with a label; None without any."""
        labeled = (batch["labels"] != UNLABELED).flatten()
        if not labeled.any():
            return batch, None
        kept = {key: None if values is None else values[labeled] for key, values in batch.items()}
        return batch, kept


def balance_labels(model: scvi.model.SCANVI, n_cells: np.ndarray) -> None:
    """Balance the labels in scANVI's classification loss.

    Minibatches with equally frequent labels would do the same (benchmarks/rare_labels.md), but need random
    access to the store, and repeat cells of rare labels in the decoder's training.

    Parameters
    ----------
    model
        The model to train; its module is changed, but not its saved state.
    n_cells
        Number of training cells by the model's code of their label.
    """
    known = np.maximum(n_cells, 1)
    weights = torch.tensor(n_cells.sum() / (len(n_cells) * known), dtype=torch.float32)
    logits_of = model.module.classification_loss

    def classification_loss(
        cells: dict[str, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        _, labels, logits = logits_of(cells)
        codes = labels.flatten().long()
        return torch.nn.functional.cross_entropy(logits, codes, weights.to(logits.device)), labels, logits

    model.module.classification_loss = classification_loss


def scanvi_from_scvi(model: scvi.model.SCVI) -> scvi.model.SCANVI:
    """An untrained scANVI model with the weights of a trained scVI model."""
    return scvi.model.SCANVI.from_scvi_model(model, unlabeled_category=UNKNOWN, labels_key=LABEL)


def one_count_each(n_cells: int, n_genes: int) -> sparse.csr_matrix:
    """Cells with one count of the first gene; scvi-tools treats cells without counts as minified data."""
    ones = np.ones(n_cells, dtype=np.float32)
    cells = np.arange(n_cells)
    return sparse.csr_matrix((ones, (cells, np.zeros_like(cells))), shape=(n_cells, n_genes))


def cells_for_model(
    counts: sparse.csr_matrix, genes: pd.Index, batches: np.ndarray, measured: np.ndarray | None = None
) -> ad.AnnData:
    """Cells for a trained model, without labels.

    Parameters
    ----------
    counts
        Cells × genes, CSR float32.
    genes
        Gene ids.
    batches
        Batch of each cell.
    measured
        CytoVI: mask of the measured markers.
    """
    obs = pd.DataFrame(
        {BATCH: pd.Categorical(batches), LABEL: pd.Categorical([UNKNOWN] * len(batches))},
        index=[str(cell) for cell in range(len(batches))],
    )
    cells = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))
    return cells if measured is None else with_mask(cells, measured)


def _registry(folder: str | Path) -> dict[str, Any]:
    """Registry of a saved model."""
    return saved_model(folder)["attr_dict"]["registry_"]


def model_class(folder: str | Path) -> type[BaseModelClass]:
    """Class of the model saved in `folder` (SCVI, SCANVI or CYTOVI).

    Raises
    ------
    InputError
        If it is of another class.
    """
    name = _registry(folder).get("model_name")
    if name not in CLASSES:
        raise InputError(
            f"{Path(folder, MODEL_FILE)}: is a model of class {name}, and cellferry supports "
            f"{', '.join(CLASSES)} only; make it again"
        )
    return CLASSES[name]


def known_batches(folder: str | Path) -> list[str]:
    """Batches of the model saved in `folder`."""
    state = _registry(folder)["field_registries"]["batch"]["state_registry"]
    return [str(batch) for batch in state["categorical_mapping"]]


def load_model(folder: str | Path, cells: ad.AnnData, *, accelerator: str) -> BaseModelClass:
    """A saved model with cells, as scvi-tools' `load` makes it, without its losses."""
    kind = model_class(folder)
    with only_data(Path(folder, MODEL_FILE)):
        model = kind.load(str(folder), adata=cells, accelerator=accelerator, device=1)
    model.history_ = {}
    return model


def load_for_query(folder: str | Path, cells: ad.AnnData, *, accelerator: str) -> BaseModelClass:
    """A saved model with weights for the batches of a query, as scvi-tools' `load_query_data` makes it."""
    kind = model_class(folder)
    with only_data(Path(folder, MODEL_FILE)):
        model = kind.load_query_data(cells, str(folder), accelerator=accelerator)
    model.history_ = {}
    return model
