"""Read a user's file once, from front to back, and write its raw counts as equal chunks of cells."""

import itertools
import time
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from cellferry.budget import Budget
from cellferry.cells import as_labels, hashes
from cellferry.counts import SmallestValues, Source, check_counts, gene_totals
from cellferry.dataset import Dataset, run_bounds
from cellferry.errors import InputError
from cellferry.files import complete
from cellferry.formats import Block, OutOfOrderError
from cellferry.h5ad import H5adWriter
from cellferry.logs import logged
from cellferry.needs import BLOCK_BYTES, MB, NEEDS, SORTED_BYTES


def convert_to_chunks(
    path: str,
    obs: str | None,
    chunks: str,
    *,
    name: str,
    config: dict[str, Any],
    budget: Budget,
    scratch: str | None,
) -> None:
    """Convert a dataset to chunk files `0.h5ad` … `{N-1}.h5ad`.

    Parameters
    ----------
    path, obs
        The dataset's file or folder, and its annotation table or nothing.
    chunks
        The folder to write. It appears when it is complete.
    name, config
        The dataset's name and its part of the configuration, with defaults.
    budget
        Memory of the job.
    scratch
        Folder for what must be sorted by cell and does not fit in memory; beside the chunks if None.

    Raises
    ------
    InputError
        If the file is broken, does not hold raw counts, or names a cell twice.
    """
    dataset = Dataset(name, path, obs or None, config)
    n_cells = count_cells(dataset)
    bounds = run_bounds(n_cells, config["chunks"])
    columns = needed_columns(config)
    dataset.load_table(columns)
    # The annotation table's columns and its names' hashes are held; sorting them takes as much again.
    table_mb = 16 * (1 + len(columns)) * dataset.header.n_cells // MB if obs else 0

    def write() -> None:
        max_bytes = budget.block_bytes(
            NEEDS["convert_to_chunks"],
            cells=n_cells,
            more_mb=table_mb,
            # What must be sorted by way of files is dealt to fewer of them where memory is plenty.
            most=BLOCK_BYTES if dataset.header.in_order else SORTED_BYTES,
        )
        write_chunks(dataset, columns, bounds, chunks, max_bytes=max_bytes, scratch=scratch)

    try:
        write()
    except OutOfOrderError:
        print(f"{path}: is not sorted by cell throughout; beginning again by way of files on disk")
        dataset.header = dataset.header.replace(details=dataset.header.details | {"sorted": False})
        write()


def count_cells(dataset: Dataset) -> int:
    """Number of cells the `cells` filter keeps, after a check that their names differ."""
    filters = list(dataset.config["cells"])
    dataset.load_table(filters)
    seen = [hashes(cells.names[dataset.kept(cells)]) for cells in dataset.cells(filters)]
    n_cells = sum(map(len, seen))
    if n_cells == 0:
        raise InputError(
            f"{dataset.header.path}: none of its {dataset.header.n_cells} cells is kept; "
            f"correct {dataset.key('cells')}"
        )
    repeated = dataset.repeated_name(seen)
    if repeated is not None:
        raise InputError(
            f"{dataset.header.path}: more than one cell is called '{repeated}'; make the names differ, "
            "for example with the sample's name in front, or select cells of one sample with "
            f"{dataset.key('cells')}"
        )
    return n_cells


def needed_columns(config: dict[str, Any]) -> list[str]:
    """The obs columns that the configuration names, each once."""
    named = [config["batch"], config["label"], *config["keep_obs"], *config["cells"]]
    return list(dict.fromkeys(column for column in named if column))


def write_chunks(
    dataset: Dataset,
    columns: list[str],
    bounds: np.ndarray,
    chunks: str,
    *,
    max_bytes: int,
    scratch: str | None,
) -> None:
    """Write the kept cells as one file per run, with a line in the log for each."""
    header, smallest = dataset.header, SmallestValues()
    source = Source.of(header)
    with complete(chunks) as folder:
        folder.mkdir()
        blocks = kept_blocks(dataset, columns, source, max_bytes=max_bytes, scratch=Path(scratch or folder))
        began = time.monotonic()
        for chunk, pieces in itertools.groupby(runs(blocks, bounds), key=itemgetter(0)):
            totals = np.zeros(header.n_genes)
            with H5adWriter(folder / f"{chunk}.h5ad", header.var) as writer:
                for _, piece in pieces:
                    writer.append(piece.counts, piece.names, chunk_obs(dataset, piece))
                    smallest.add(piece.counts)
                    totals += gene_totals(piece.counts)
                writer.write_uns(
                    dataset=dataset.name,
                    chunks=len(bounds) - 1,
                    cells=writer.n_cells,
                    nonzeros=writer.nonzeros,
                    total_counts=float(totals.sum()),
                    gene_totals=totals,
                )
            seconds, began = time.monotonic() - began, time.monotonic()
            print(
                f"chunk {chunk}: {writer.n_cells} cells, {writer.nonzeros} stored values, "
                f"{totals.sum():.0f} counts, {writer.n_cells / max(seconds, 1e-3):.0f} cells/s"
            )
    doubt = smallest.doubt(source)
    if doubt:
        print(f"warning: {doubt}")


def kept_blocks(
    dataset: Dataset, columns: list[str], source: Source, *, max_bytes: int, scratch: Path
) -> Iterator[Block]:
    """Blocks of the kept cells, checked, without explicit zeros."""
    for block in dataset.blocks(columns, max_bytes, scratch):
        check_counts(block.counts, block.names, dataset.header.var.index, source)
        block.counts.eliminate_zeros()
        kept = dataset.kept(block)
        yield block if kept.all() else block.rows(kept)


def runs(blocks: Iterable[Block], bounds: np.ndarray) -> Iterator[tuple[int, Block]]:
    """Cut blocks where a run ends; yield the number of the run and the piece, empty runs included."""
    run, start, last = 0, 0, len(bounds) - 2
    for block in blocks:
        first = 0
        while True:
            end = min(len(block), first + int(bounds[run + 1]) - start)
            whole = first == 0 and end == len(block)
            yield run, block if whole else block.rows(slice(first, end))
            start += end - first
            first = end
            if start < bounds[run + 1] or run == last:
                break
            run += 1


def chunk_obs(dataset: Dataset, block: Block) -> dict[str, np.ndarray]:
    """Columns of obs as they stand in the chunks."""
    obs = {"batch": dataset.batches(block.obs, len(block))}
    if dataset.config["label"]:
        obs["label"] = as_labels(block.obs[dataset.config["label"]])
    return obs | {column: block.obs[column] for column in dataset.config["keep_obs"]}


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        convert_to_chunks(
            snakemake.params.dataset["path"],
            snakemake.input.obs,
            snakemake.output.chunks,
            name=snakemake.wildcards.dataset,
            config=snakemake.params.dataset,
            budget=Budget.of(snakemake.resources),
            scratch=snakemake.resources.get("scratch"),
        )
