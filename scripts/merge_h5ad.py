"""Put the chunks of one dataset together as one h5ad file, and prove that nothing was lost."""

import uuid
from pathlib import Path

import numpy as np
from cellferry.budget import Budget
from cellferry.counts import gene_totals
from cellferry.h5ad import H5adReader, H5adWriter
from cellferry.logs import logged


def merge_h5ad(chunks: str, merged: str, *, materialise: bool, budget: Budget) -> None:
    """Merge chunk files into one h5ad.

    Parameters
    ----------
    chunks
        Folder of chunk files as `convert_to_chunks` writes them, numbered from 0.
    merged
        The file to write: a view over the chunks (an HDF5 virtual dataset), or all of it.
    materialise
        Copy the counts, so that the file needs no other.
    budget
        Memory of the job.

    Raises
    ------
    RuntimeError
        If cells, stored values or counts differ between the chunks and the merged file.
    """
    paths = sorted(Path(chunks).glob("*.h5ad"), key=lambda path: int(path.stem))
    max_bytes = budget.buffer_bytes(fixed_mb=250) // 6
    expected = []
    for path in paths:
        with H5adReader(path) as chunk:
            expected.append(chunk.uns)
            var = chunk.var
    totals = {
        "cells": int(sum(uns["cells"] for uns in expected)),
        "nonzeros": int(sum(uns["nonzeros"] for uns in expected)),
        "gene_totals": np.sum([uns["gene_totals"] for uns in expected], axis=0),
    }
    with H5adWriter(merged, var, most_nonzeros=totals["nonzeros"]) as writer:
        for path in paths:
            with H5adReader(path) as chunk:
                if materialise:
                    for start, stop in chunk.ranges(max_bytes):
                        obs = {column: chunk.obs(column, start, stop) for column in chunk.obs_columns}
                        writer.append(chunk.counts(start, stop), chunk.names(start, stop), obs)
                else:
                    writer.append_view(chunk)
        sources = {
            "sources": [writer.relative(path) for path in paths],
            "source_ids": [str(uns["id"]) for uns in expected],
        }
        writer.write_uns(id=uuid.uuid4().hex, **totals, **({} if materialise else sources))
    check_totals(merged, totals, max_bytes=max_bytes)


def check_totals(merged: str, totals: dict, *, max_bytes: int) -> None:
    """Read the merged file from front to back and compare it with what the chunks hold."""
    with H5adReader(merged) as reader:
        totals_here = np.zeros(reader.n_genes)
        nonzeros = 0
        for start, stop in reader.ranges(max_bytes):
            block = reader.counts(start, stop)
            nonzeros += block.nnz
            totals_here += gene_totals(block)
        found = {"cells": reader.n_cells, "nonzeros": nonzeros, "gene_totals": totals_here}
    for key, value in totals.items():
        if not np.array_equal(found[key], value):
            raise RuntimeError(
                f"{merged}: {key} differ from the chunks': {found[key]} here, {value} there; "
                "delete the chunks and the merged file and run snakemake again"
            )
    print(
        f"{merged}: {found['cells']} cells, {found['nonzeros']} stored values, "
        f"{totals_here.sum():.0f} counts, as in the chunks"
    )


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        merge_h5ad(
            snakemake.input.chunks,
            snakemake.output.merged,
            materialise=snakemake.params.materialise,
            budget=Budget.of(snakemake.resources),
        )
