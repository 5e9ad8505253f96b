"""A reference's model for the batches of a query: fitted to them (scArches surgery), or taken as it is."""

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
from .scvi_models import BATCH, cells_for_model, load_for_query, mean_batch_weights, train
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
    new
        Batches of the query that the reference's model does not know.
    """

    cells: ad.AnnData
    of: int
    new: list[str]


def draw_sketch(
    reader: H5adReader,
    new: list[str],
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
    new
        Its batches that the reference's model does not know.
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
    return QuerySketch(cells, reader.n_cells, new)


def model_for_query(
    sketch: QuerySketch,
    reference_model: str,
    settings: SurgerySettings,
    *,
    batch_size: int,
    accelerator: str,
) -> BaseModelClass:
    """The model with weights for the new batches, trained, or the mean of the reference's batches.

    Parameters
    ----------
    sketch
        See `draw_sketch`.
    reference_model
        Folder of the reference's model.
    settings
        Whether and how the model is fitted.
    batch_size
        Cells per minibatch.
    accelerator
        Where to compute.
    """
    print(f"new batches: {', '.join(sketch.new)}")
    model = load_for_query(reference_model, sketch.cells, accelerator=accelerator)
    fit = settings.fit
    if fit and not model.module.encode_covariates:
        # Others train such models; only the decoder would learn.
        print("the model's encoder takes no batch: fitting could not move the query, and is left out")
        fit = False
    if not fit:
        print("they have the mean weights of the reference's batches (surgery.fit)")
        return mean_batch_weights(model, reference_model)
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


def monitored_cells(batches: np.ndarray) -> np.ndarray:
    """Which cells of a sketch are held out of the fitting: every tenth of each batch (mask)."""
    return pd.Series(batches).groupby(batches).cumcount().to_numpy() % MONITORED == MONITORED - 1
