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
"""One cell in this many of each batch is held out of the fitting, for early stopping."""

PATIENCE = 10
"""Epochs without a smaller loss on these cells until the fitting stops."""


class QuerySketch(NamedTuple):
    """Cells of a query, drawn evenly over its batches.

    Attributes
    ----------
    cells
        Cells in the model's form.
    of
        Number of the query's cells.
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
    """Draw cells to fit a model to, at least one per batch, which mapping requires.

    Parameters
    ----------
    reader
        The query's counts (or values) of the model's genes.
    sketch_cells
        The key `surgery.sketch_cells`.
    seed, need, budget
        Seed of the draw; memory model of the job, and its memory.
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
        # The encoder takes the backbone; missing values there are 0 and are treated as measured.
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
    """The model with trained weights for the new batches; None if they do not affect the encoder.

    Parameters
    ----------
    sketch
        See `draw_sketch`.
    reference_model
        Folder of the reference's model.
    settings
        Settings of surgery.
    batch_size
        Cells per minibatch.
    accelerator
        Device.
    """
    model = model_with_new_batches(reference_model, sketch.cells, accelerator=accelerator)
    if not model.module.encode_covariates:
        # Some pre-trained models are like this; only the decoder would be fitted.
        print("the model's encoder takes no batch: fitting would not change the latents, and is skipped")
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
        # Weights of the reference must not decay while those of the query are fitted (scArches).
        plan_kwargs={"weight_decay": 0.0},
        enable_progress_bar=False,
        callbacks=[TrainingProgress(int((~monitored).sum()))],
    )
    return model


def model_with_new_batches(folder: str, cells: ad.AnnData, *, accelerator: str) -> BaseModelClass:
    """A reference's model with untrained weights for new batches."""
    if not is_packed_model(folder):
        return load_for_query(folder, cells, accelerator=accelerator)
    reference = unpack_model(folder)
    return type(reference).load_query_data(cells, reference, accelerator=accelerator)


def monitored_cells(batches: np.ndarray) -> np.ndarray:
    """Mask of a sketch's cells that are held out of the fitting: every tenth of each batch."""
    return pd.Series(batches).groupby(batches).cumcount().to_numpy() % MONITORED == MONITORED - 1
