"""Stream a user's files once and write their raw counts as equal chunks of cells."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from cellferry.core.atomic import complete
from cellferry.core.digests import make_anew
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.datasets.dataset import Dataset, run_bounds
from cellferry.datasets.raw_counts import LargestCount, SmallestValues, Source, check_counts, gene_totals
from cellferry.datasets.rounding import Rounding
from cellferry.errors import InputError
from cellferry.formats import Block, OutOfOrderError
from cellferry.labels.names import LabelNames
from cellferry.resources.budget import Budget
from cellferry.resources.memory import BLOCK_BYTES, MEMORY_MODELS, SORTED_BYTES


def convert_to_chunks(
    inspected: str,
    chunks: str,
    *,
    name: str,
    config: dict[str, Any],
    label_names: LabelNames,
    job: int,
    budget: Budget,
    scratch: str | None,
) -> None:
    """Convert a dataset, or a job's share of it, to chunk files `{chunk}.h5ad`.

    Parameters
    ----------
    inspected
        JSON file of `inspect_dataset`, with the bounds of the chunks.
    chunks
        The folder to write. It gets its name when it is complete.
    name, config
        The dataset's name and its part of the configuration, with defaults.
    label_names
        The dataset's label names.
    job
        Number of the share, of `config["jobs"]`.
    budget
        Memory of the job.
    scratch
        Folder for temporary files of a sort by cell; None: beside the chunks.

    Raises
    ------
    InputError
        If the file is damaged, has no raw counts, or changed since its inspection.
    """
    dataset = Dataset(name, config)
    inspection = read_artifact(Inspection, inspected)
    for path, state in dataset.states.items():
        if state != inspection.files.get(path):
            raise InputError(
                f"{path}: changed since its inspection; wait until it is complete: "
                f"{make_anew(Path(inspected))}"
            )
    first, last = run_bounds(config["chunks"], config["jobs"])[[job, job + 1]]
    share = Share(
        first=int(first),
        bounds=run_bounds(inspection.cells_kept, config["chunks"])[first : last + 1],
        rows=(inspection.starts[first], inspection.starts[last]),
    )
    columns = [*needed_columns(config), *dataset.coordinate_columns]
    dataset.load_tables(columns)
    max_bytes = budget.block_bytes(
        MEMORY_MODELS["convert_to_chunks"],
        more_mb=dataset.held_mb(columns),
        # More memory means fewer temporary files to sort by.
        most=BLOCK_BYTES if dataset.in_order else SORTED_BYTES,
    )
    in_vain = True
    while in_vain:  # once more for each file that turns out not to be sorted
        with suppress(OutOfOrderError):
            write_chunks(
                dataset, columns, share, chunks, label_names=label_names, max_bytes=max_bytes, scratch=scratch
            )
            in_vain = False


class Share(NamedTuple):
    """The chunks that a job makes.

    Attributes
    ----------
    first
        Number of the first of them.
    bounds
        Their first cells, and the end of the last, counted in kept cells.
    rows
        Begin of the first and end of the last, counted in all cells.
    """

    first: int
    bounds: np.ndarray
    rows: tuple[int, int]


def needed_columns(config: dict[str, Any]) -> list[str]:
    """The obs columns that the configuration names, each once."""
    named = [config["batch"], config["label"], *config["keep_obs"], *config["cells"]]
    return list(dict.fromkeys(column for column in named if column))


def write_chunks(
    dataset: Dataset,
    columns: list[str],
    share: Share,
    chunks: str,
    *,
    label_names: LabelNames,
    max_bytes: int,
    scratch: str | None,
) -> None:
    """Write the kept cells of a share as one file per chunk, with a line in the log for each."""
    header, smallest, largest, n_written = dataset.header, SmallestValues(), LargestCount(), 0
    source = Source.of(header)
    with complete(chunks) as folder:
        folder.mkdir()
        blocks = kept_blocks(dataset, columns, share, max_bytes=max_bytes, scratch=Path(scratch or folder))
        for chunk, pieces in itertools.groupby(runs(blocks, share), key=itemgetter(0)):
            totals = np.zeros(header.n_genes)
            with H5adWriter(folder / f"{chunk}.h5ad", header.var) as writer:
                for _, piece in pieces:
                    writer.append(piece.counts, piece.names, chunk_obs(dataset, piece, label_names))
                    smallest.add(piece.counts)
                    largest.add(piece.counts, piece.names, header.var.index)
                    totals += gene_totals(piece.counts)
                writer.write_uns(
                    dataset=dataset.name,
                    chunks=dataset.config["chunks"],
                    cells=writer.n_cells,
                    nonzeros=writer.nonzeros,
                    total_counts=float(totals.sum()),
                    gene_totals=totals,
                )
            n_written += writer.n_cells
            print(
                f"chunk {chunk}: {writer.n_cells} cells, {writer.nonzeros} stored values, "
                f"{totals.sum():.0f} counts"
            )
        if n_written != share.bounds[-1] - share.bounds[0]:
            raise InputError(
                f"{header.path}: {share.bounds[-1] - share.bounds[0]} cells passed the filter at its "
                f"inspection, and {n_written} in this run; when it is complete, run snakemake again"
            )
    for doubt in filter(None, (smallest.doubt(source), largest.doubt(source))):
        print(f"warning: {doubt}")


def kept_blocks(
    dataset: Dataset,
    columns: list[str],
    share: Share,
    *,
    max_bytes: int,
    scratch: Path,
) -> Iterator[Block]:
    """Blocks of a share's kept cells, checked, without explicit zeros."""
    progress, rounding = Progress("read", share.rows[1] - share.rows[0]), Rounding()
    n_genes, n_controls = 0.0, None
    for header, block in dataset.blocks(columns, max_bytes, scratch, *share.rows):
        source = Source.of(header)
        check_counts(block.counts, block.names, dataset.header.var.index, source)
        if source.is_rounded:
            rounding.add(block.counts)
        block.counts.eliminate_zeros()
        kept = dataset.kept(block)
        block = block if kept.all() else block.rows(kept)
        if block.controls is not None:
            n_controls = (n_controls or 0.0) + float(block.controls.sum())
            n_genes += float(block.counts.sum(dtype=np.float64))
        yield block
        progress.add(len(block))
    progress.end()
    if n_controls is not None:
        share_of_all = n_controls / max(1.0, n_genes + n_controls)
        print(f"control features left out: {n_controls:.0f} counts, {share_of_all:.2%} of all")
    if rounding.cells:
        print(rounding)
        for doubt in rounding.doubts(dataset.key("counts_rounding")):
            print(f"warning: {doubt}")


def runs(blocks: Iterable[Block], share: Share) -> Iterator[tuple[int, Block]]:
    """Cut blocks where a chunk ends; yield its number and the piece, empty chunks included."""
    lengths = np.diff(share.bounds).tolist()
    run, written = 0, 0
    for block in blocks:
        first = 0
        while True:
            end = min(len(block), first + lengths[run] - written)
            whole = first == 0 and end == len(block)
            yield share.first + run, block if whole else block.rows(slice(first, end))
            written += end - first
            first = end
            if written < lengths[run] or run == len(lengths) - 1:
                break
            run, written = run + 1, 0


def chunk_obs(dataset: Dataset, block: Block, label_names: LabelNames) -> dict[str, np.ndarray]:
    """Columns of obs as the chunks have them."""
    obs = {"batch": dataset.batches(block.obs, len(block))}
    if dataset.config["label"]:
        obs["label"] = label_names(block.obs[dataset.config["label"]])
    carried = [*dataset.config["keep_obs"], *dataset.coordinate_columns]
    return obs | {column: block.obs[column] for column in carried}


if __name__ == "__main__":
    with job(snakemake):
        convert_to_chunks(
            snakemake.input.inspected,
            snakemake.output.chunks,
            name=snakemake.wildcards.dataset,
            config=snakemake.params.dataset,
            label_names=LabelNames(**snakemake.params.labels),
            job=int(snakemake.wildcards.job),
            budget=Budget.of(snakemake.resources),
            scratch=snakemake.resources.get("scratch"),
        )
