"""Merge the chunks of one dataset into one h5ad file, and verify that nothing was lost."""

from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cellferry.artifacts.h5ad_layout import X_ARRAYS
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.errors import RetryableError
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS

REMEDY = "delete the chunks and the merged file and run snakemake again"

MAX_COMPARED = 50
"""Maximum of chunks with cells that are read again from a view: each read takes time for all chunks."""


class Part(NamedTuple):
    """A chunk."""

    path: Path
    cells: int
    nonzeros: int


def merge_h5ad(chunks: list[str], merged: str, *, materialize: bool, budget: Budget) -> None:
    """Merge chunk files into one h5ad.

    Parameters
    ----------
    chunks
        Folders of chunk files as `convert_to_chunks` writes them, numbered from 0 throughout.
    merged
        The file to write: a view over the chunks (an HDF5 virtual dataset), or a copy.
    materialize
        Copy the counts, so that the file is complete by itself.
    budget
        Memory of the job.

    Raises
    ------
    InputError
        If a chunk is damaged or missing.
    RuntimeError
        If cells, stored values or counts differ between the chunks and the merged file.
    """
    paths = sorted(
        (path for folder in chunks for path in Path(folder).glob("*.h5ad")), key=lambda path: int(path.stem)
    )
    max_bytes = budget.block_bytes(MEMORY_MODELS["merge_h5ad"])
    totals = {"cells": 0, "nonzeros": 0, "gene_totals": 0.0}
    parts, edges = [], {}
    every = 1 if materialize else ceil(len(paths) / MAX_COMPARED)
    with H5adReader(paths[0]) as first, H5adWriter(merged, first.var) as writer:
        expected = int(first.uns["chunks"])
        if len(paths) != expected:
            raise RetryableError(
                f"{', '.join(chunks)}: holds {len(paths)} of {expected} chunks; delete the folder and run "
                "snakemake again"
            )
        progress = Progress("merged", len(paths), "chunks")
        for number, path in enumerate(paths):
            with H5adReader(path) as chunk:
                if chunk.n_cells and number % every == 0:
                    for row in {0, chunk.n_cells - 1}:
                        edges[writer.n_cells + row] = cell_at(chunk, row)
                parts.append(Part(path, chunk.n_cells, chunk.nonzeros))
                writer.append_file(chunk, copy=materialize)
                totals = {key: total + chunk.uns[key] for key, total in totals.items()}
            progress.add(1)
        writer.write_uns(**totals)
    check_merged(merged, totals, parts, edges, max_bytes=max_bytes)


def check_merged(
    merged: str, totals: dict, parts: list[Part], edges: dict[int, list], *, max_bytes: int
) -> None:
    """Compare the merged file with the chunks.

    All values of a copy are compared with the chunks' checksums. A view contains references only: these are
    compared here, and the values in `subset_common_genes`, which reads them all.

    Parameters
    ----------
    merged
        The file.
    totals
        Cells, stored values and each gene's counts, summed over the chunks.
    parts
        The chunks, in order.
    edges
        First and last cells of chunks, by their row in the merged file.
    max_bytes
        Size of the blocks that are read.
    """
    with H5adReader(merged) as reader:
        if (reader.n_cells, reader.nonzeros) != (totals["cells"], totals["nonzeros"]):
            raise RuntimeError(
                f"{merged}: holds {reader.n_cells} cells and {reader.nonzeros} stored values, and the chunks "
                f"{totals['cells']} and {totals['nonzeros']}; {REMEDY}"
            )
        if reader.sources:
            check_view(reader, parts)
        else:
            progress = Progress("compared", reader.n_cells)
            for start, stop, _ in reader.blocks(max_bytes):
                progress.add(stop - start)
        for row, expected in edges.items():
            if cell_at(reader, row) != expected:
                raise RuntimeError(f"{merged}: cell {row} differs from the chunk's; {REMEDY}")
        print(
            f"{merged}: {reader.n_cells} cells, {reader.nonzeros} stored values, "
            f"{totals['gene_totals'].sum():.0f} counts, as in the chunks"
        )


def check_view(reader: H5adReader, parts: list[Part]) -> None:
    """Compare the references of a view, array by array, with the chunks."""
    sizes_by_array = {f"X/{name}": [part.nonzeros for part in parts] for name in X_ARRAYS}
    sizes_by_array["obs/_index"] = [part.cells for part in parts]
    for array, sizes in sizes_by_array.items():
        ends = np.cumsum(sizes)
        expected = [
            (part.path.resolve(), array, int(end - size), int(end))
            for part, size, end in zip(parts, sizes, ends, strict=True)
            if size
        ]
        if reader.references(array) != expected:
            raise RuntimeError(f"{reader.path}: {array} does not refer to its chunks in order; {REMEDY}")


def cell_at(reader: H5adReader, row: int) -> list:
    """Name, genes and counts of one cell."""
    counts = reader.counts(row, row + 1)
    return [*reader.names(row, row + 1), counts.indices.tolist(), counts.data.tolist()]


if __name__ == "__main__":
    with job(snakemake):
        merge_h5ad(
            list(snakemake.input.chunks),
            snakemake.output.merged,
            materialize=snakemake.params.materialize,
            budget=Budget.of(snakemake.resources),
        )
