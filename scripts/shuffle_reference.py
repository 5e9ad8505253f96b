"""Shuffle the reference's training cells into a store for training from disk."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from annbatch import write_sharded
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.cytometry.marker_names import BACKBONE
from cellferry.features.subset import MEASURED
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MB, MEMORY_MODELS, VALUES_PER_DATASET

ROWS_READ_TOGETHER = 512
"""Cells read from disk in one piece: single cells would cost a seek each."""

CELLS_PER_ZARR_CHUNK = 512
"""Approximate number of cells compressed together; with few, zarr's overhead dominates reading."""


def shuffle_reference(common: str, store: str, *, seed: int, budget: Budget) -> None:
    """Write the store: data sets of shuffled cells, with one in memory at a time.

    Runs of neighboring cells are assigned to data sets at random, and each data set is shuffled, so that
    any stretch of the store is a random sample (annbatch's pre-shuffling, with another size of data sets).

    Parameters
    ----------
    common
        The reference's training cells.
    store
        Folder to write (zarr v3, read by `cellferry.model.store`). Its attributes hold the names of the
        codes.
    seed
        Seed of the shuffle.
    budget
        Memory of the job.
    """
    rng = np.random.default_rng(seed)
    warnings.filterwarnings("ignore", message="Consolidated metadata")  # for other readers only
    with H5adReader(common) as reader:
        nonzeros_per_cell = max(1.0, reader.nonzeros / reader.n_cells)
        values = min(VALUES_PER_DATASET, reader.nonzeros)
        budget.require(MEMORY_MODELS["shuffle_reference"], cells=reader.n_cells, values=values)
        cells_per_dataset = int(VALUES_PER_DATASET / nonzeros_per_cell)
        codes = {f"{column}_code": reader.codes(column) for column in ("batch", "label")}
        starts = np.arange(0, reader.n_cells, ROWS_READ_TOGETHER)
        runs_per_dataset = max(1, cells_per_dataset // ROWS_READ_TOGETHER)
        n_datasets = -(-len(starts) // runs_per_dataset)
        print(
            f"{reader.n_cells} cells, {reader.nonzeros * 8 / MB:.0f} MB, in {n_datasets} data set(s) "
            f"of at most {runs_per_dataset * ROWS_READ_TOGETHER} cells"
        )
        with complete(store) as path:
            group = zarr.open_group(path, mode="w", zarr_format=3)
            progress = Progress("shuffled", reader.n_cells, at_most=True)
            for number, dealt in enumerate(np.array_split(rng.permutation(starts), n_datasets)):
                rows = np.concatenate(
                    [
                        np.arange(start, min(start + ROWS_READ_TOGETHER, reader.n_cells))
                        for start in sorted(dealt)
                    ]
                )
                order = rng.permutation(len(rows))
                obs = pd.DataFrame(
                    {name: values[rows][order] for name, values in codes.items()},
                    index=rows[order].astype(str),
                )
                write_sharded(
                    group,
                    ad.AnnData(reader.rows(rows, progress)[order], obs=obs),
                    n_obs_per_chunk=CELLS_PER_ZARR_CHUNK,
                    key=f"dataset_{number}",
                )
            progress.end()
            group.attrs.update(
                {
                    # Required by annbatch's DatasetCollection.
                    "encoding-type": "annbatch-preshuffled",
                    "encoding-version": "0.1.0",
                    # A checkpoint is valid for these cells only.
                    "made_from": str(reader.uns["id"]),
                    "n_cells": reader.n_cells,
                    "nonzeros": reader.nonzeros,
                    "genes": [str(gene) for gene in reader.var.index],
                    "batches": list(reader.categories("batch")),
                    "labels": list(reader.categories("label")),
                    **panel_attributes(reader),
                }
            )


def panel_attributes(reader: H5adReader) -> dict[str, list[bool] | dict[str, list[bool]]]:
    """Cytometry: markers in the `backbone`, and those that each reference `measured`."""
    if BACKBONE not in reader.var:
        return {}
    start = f"{MEASURED}_"
    measured = {
        column.removeprefix(start): values.tolist()
        for column, values in reader.var.items()
        if column.startswith(start)
    }
    return {"backbone": reader.var[BACKBONE].tolist(), "measured": measured}


if __name__ == "__main__":
    with job(snakemake):
        shuffle_reference(
            snakemake.input.common,
            snakemake.output.store,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
