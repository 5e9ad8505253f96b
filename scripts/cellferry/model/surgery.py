"""A reference's model fitted to the batches of a query: scArches surgery on a sketch of its cells."""

from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from scvi.model.base import BaseModelClass

from ..artifacts.h5ad_reader import H5adReader
from ..config.settings import SurgerySettings
from ..core.progress import Progress
from ..cytometry.marker_names import BACKBONE
from ..features.subset import MEASURED
from ..resources.budget import Budget
from ..resources.rules import MemoryModel
from ..resources.schedule import fitting_epochs, minibatch_size
from ..sampling.sketch import sketch_values, stratified_sketch
from .packed import is_packed_model, unpack_model
from .scvi_models import BATCH, cells_for_model, load_for_query, train
from .training_progress import TrainingProgress

MONITORED = 10
"""One cell in so many of each batch is held out of the fitting, to tell when it has learned what there is."""

PATIENCE = 10
"""Epochs without a smaller loss on these cells after which the fitting ends."""


class QuerySketch(NamedTuple):
    """Cells of a query, drawn evenly over its batches.

    Attributes
    ----------
    cells
        As the model takes them.
    of
        Cells of the query.
    """

    cells: ad.AnnData
    of: int


def draw_sketch(
    reader: H5adReader,
    *,
    sketch_cells: int,
    seed: int,
    need: MemoryModel,
    budget: Budget,
) -> QuerySketch:
    """Draw cells to fit a model to; of every batch one at the least: it could not be mapped otherwise.

    Parameters
    ----------
    reader
        The query's counts (or values) of the model's genes.
    sketch_cells
        The key `surgery.sketch_cells`.
    seed, need, budget
        Seed of the draw; what the job needs, and its memory.
    """
    codes = reader.codes("batch")
    n_cells = max(min(sketch_cells, reader.n_cells), len(np.unique(codes)))
    budget.require(
        need,
        cells=reader.n_cells,
        values=sketch_values(reader, n_cells),
        remedy="lower surgery.sketch_cells",
    )
    rows = stratified_sketch(codes, n_cells, seed=seed)
    measured = None
    if BACKBONE in reader.var:
        # The encoder sees the backbone; what is missing there is 0, and counts as if it were measured.
        measured = (reader.var[MEASURED] | reader.var[BACKBONE]).to_numpy()
    batches = reader.categories("batch")[codes[rows]]
    counts = reader.rows(rows, Progress("read", len(rows), "drawn cells"))
    cells = cells_for_model(counts, reader.var.index, batches, measured)
    return QuerySketch(cells, reader.n_cells)


def model_for_query(
    sketch: QuerySketch,
    reference_model: str,
    settings: SurgerySettings,
    *,
    batch_size: int,
    accelerator: str,
) -> BaseModelClass | None:
    """The model with weights for the new batches, trained; None where that could not move their cells.

    Parameters
    ----------
    sketch
        See `draw_sketch`.
    reference_model
        Folder of the reference's model.
    settings
        How the model is fitted.
    batch_size
        Cells per minibatch.
    accelerator
        Where to compute.
    """
    model = model_with_new_batches(reference_model, sketch.cells, accelerator=accelerator)
    if not model.module.encode_covariates:
        # Others train such models; only the decoder would learn.
        print("the model's encoder takes no batch: fitting could not move the query, and is left out")
        return None
    size = minibatch_size(batch_size, sketch.cells.n_obs)
    epochs = fitting_epochs(settings.epochs, sketch.cells.n_obs, size)
    monitored = monitored_cells(sketch.cells.obs[BATCH].to_numpy())
    drawn = f"{sketch.cells.n_obs} of {sketch.of} cells"
    print(f"{drawn}, at most {epochs} epochs, minibatches of {size}, on the {accelerator}")
    train(
        model,
        max_epochs=epochs,
        batch_size=size,
        accelerator=accelerator,
        devices=1,
        datasplitter_kwargs={"external_indexing": [np.flatnonzero(~monitored), np.flatnonzero(monitored)]},
        early_stopping=bool(monitored.any()),
        early_stopping_patience=PATIENCE,
        # Weights of the reference must not decay while those of the query are learned (scArches).
        plan_kwargs={"weight_decay": 0.0},
        enable_progress_bar=False,
        callbacks=[TrainingProgress(int((~monitored).sum()))],
    )
    return model


def model_with_new_batches(folder: str, cells: ad.AnnData, *, accelerator: str) -> BaseModelClass:
    """A reference's model with weights for the batches of cells that it does not know, not yet trained."""
    if not is_packed_model(folder):
        return load_for_query(folder, cells, accelerator=accelerator)
    reference = unpack_model(folder)
    return type(reference).load_query_data(cells, reference, accelerator=accelerator)


def monitored_cells(batches: np.ndarray) -> np.ndarray:
    """Which cells of a sketch are held out of the fitting: every tenth of each batch (mask)."""
    return pd.Series(batches).groupby(batches).cumcount().to_numpy() % MONITORED == MONITORED - 1
