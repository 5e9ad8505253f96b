"""Shuffle the reference's training cells into a store that a model trains from without loading it."""

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from annbatch import write_sharded
from cellferry.budget import MB, Budget
from cellferry.files import complete
from cellferry.h5ad import H5adReader
from cellferry.logs import logged

ROWS_READ_TOGETHER = 512
"""Cells read from disk in one piece: single cells would cost a seek each."""


def shuffle_reference(common: str, store: str, *, seed: int, budget: Budget) -> None:
    """Write the store: data sets of shuffled cells, each as large as memory allows.

    Runs of neighbouring cells are dealt out at random to the data sets, and the cells of a data set
    are shuffled, so that any stretch of the store is a fair sample (annbatch's pre-shuffling, but
    read and written within `mem_mb`).

    Parameters
    ----------
    common
        The reference's training cells.
    store
        Folder to write (zarr v3, read by `cellferry.store`). Its attributes hold the names that the
        codes stand for.
    seed
        Seed of the shuffle.
    budget
        Memory of the job.
    """
    rng = np.random.default_rng(seed)
    with H5adReader(common) as reader:
        nonzeros_per_cell = max(1.0, reader.nonzeros / reader.n_cells)
        # The runs, their concatenation, the shuffled copy and what the writer holds of it.
        cells_per_dataset = int(budget.buffer_bytes(fixed_mb=700) / (8 * 5 * nonzeros_per_cell))
        starts = np.arange(0, reader.n_cells, ROWS_READ_TOGETHER)
        runs_per_dataset = max(1, cells_per_dataset // ROWS_READ_TOGETHER)
        n_datasets = -(-len(starts) // runs_per_dataset)
        print(
            f"{reader.n_cells} cells, {reader.nonzeros * 8 / MB:.0f} MB, in {n_datasets} data set(s) "
            f"of at most {runs_per_dataset * ROWS_READ_TOGETHER} cells"
        )
        with complete(store) as path:
            group = zarr.open_group(path, mode="w", zarr_format=3)
            for number, dealt in enumerate(np.array_split(rng.permutation(starts), n_datasets)):
                rows = np.concatenate(
                    [
                        np.arange(start, min(start + ROWS_READ_TOGETHER, reader.n_cells))
                        for start in sorted(dealt)
                    ]
                )
                order = rng.permutation(len(rows))
                obs = pd.DataFrame(
                    {f"{column}_code": reader.codes(column)[rows][order] for column in ("batch", "label")},
                    index=rows[order].astype(str),
                )
                write_sharded(group, ad.AnnData(reader.rows(rows)[order], obs=obs), key=f"dataset_{number}")
                print(f"data set {number + 1} of {n_datasets} written: {len(rows)} cells")
            group.attrs.update(
                {
                    # What annbatch's DatasetCollection looks for.
                    "encoding-type": "annbatch-preshuffled",
                    "encoding-version": "0.1.0",
                    # A training resumes from a checkpoint only if it was made from these very cells.
                    "made_from": str(reader.uns["id"]),
                    "n_cells": reader.n_cells,
                    "genes": [str(gene) for gene in reader.var.index],
                    "batches": list(reader.categories("batch")),
                    "labels": list(reader.categories("label")),
                }
            )


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        shuffle_reference(
            snakemake.input.common,
            snakemake.output.store,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
