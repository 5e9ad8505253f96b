"""Write a query's counts of the model's genes (or marker values), in one pass over its merged file."""

from pathlib import Path

import numpy as np
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ClassifierLabels
from cellferry.config.available_heads import CELLTYPIST
from cellferry.core.job import job
from cellferry.features.common_genes import chosen_genes
from cellferry.features.marker_selection import marker_selection
from cellferry.features.marker_values import INTENSITIES
from cellferry.features.orthologs import table_of_orthologs
from cellferry.features.subset import GeneFiles, append_cells, gene_selection
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.references import common_obs


def subset_common_genes(
    merged: str,
    chosen: GeneFiles,
    common: str,
    *,
    inspected: str | None,
    name: str,
    gene_id: str,
    min_common: float,
    labeled_only: bool,
    max_cells: int | None,
    seed: int,
    budget: Budget,
    classifier: str | None = None,
) -> None:
    """Write the counts of the model's genes; duplicate genes of the file are summed.

    Parameters
    ----------
    merged
        The dataset's merged file.
    chosen
        The model's genes.
    common
        File to write.
    inspected
        Cytometry: the inspection of `inspect_dataset`. None: the dataset holds counts.
    name, gene_id, min_common
        See `cellferry.features.subset.gene_selection`.
    labeled_only
        Leave out cells without a label.
    max_cells
        Cells to write at most, drawn at random; None: all.
    seed
        Seed of the draw.
    budget
        Memory of the job.
    classifier
        Folder of classifiers on expression only; None for others.
    """
    with H5adReader(merged) as reader:
        drawn = labeled_only or max_cells is not None
        max_bytes = budget.block_bytes(
            MEMORY_MODELS["subset_common_genes"],
            cells=reader.n_cells if drawn else 0,
            more_mb=chosen.held_mb,
        )
        max_bytes //= 2 if inspected else 1  # intensities are dense while they are transformed
        mask = None
        if drawn:
            mask = cells_to_score(reader, labeled_only=labeled_only, max_cells=max_cells, seed=seed)
        if inspected:
            selection, var = marker_selection(
                reader, chosen.genes, chosen.report, inspected, name=name, min_common=min_common
            )
        else:
            selection, var = gene_selection(
                reader,
                chosen_genes(chosen.genes),
                chosen.report,
                chosen.gene_map,
                orthologs=chosen.orthologs,
                name=name,
                gene_id=gene_id,
                min_common=min_common,
            )
        with H5adWriter(common, var) as writer:
            append_cells(
                reader,
                selection,
                [(writer, mask)],
                columns=common_obs([merged]),
                totals=takes_totals(classifier),
                max_bytes=max_bytes,
            )
            writer.write_uns(dataset=name, values=INTENSITIES if inspected else "counts")


def takes_totals(classifier: str | None) -> bool:
    """True if a head uses the counts of all genes."""
    if classifier is None:
        return False
    return CELLTYPIST in read_artifact(ClassifierLabels, Path(classifier) / "labels.json").heads


def cells_to_score(reader: H5adReader, *, labeled_only: bool, max_cells: int | None, seed: int) -> np.ndarray:
    """Mask of the cells to write, drawn uniformly, so labels and batches keep their shares."""
    mask = reader.codes("label") >= 0 if labeled_only else np.ones(reader.n_cells, dtype=bool)
    n_cells = np.count_nonzero(mask)
    if max_cells is not None and n_cells > max_cells:
        rows = np.flatnonzero(mask)
        mask[:] = False
        mask[np.random.default_rng(seed).choice(rows, max_cells, replace=False, shuffle=False)] = True
    n_drawn = np.count_nonzero(mask)
    print(f"{n_cells} of {reader.n_cells} cells have labels to score, {n_drawn} of them are drawn")
    return mask


if __name__ == "__main__":
    with job(snakemake):
        files = snakemake.input
        subset_common_genes(
            files.merged,
            GeneFiles(
                files.genes,
                files.report,
                files.gene_map or None,
                table_of_orthologs(snakemake.params.orthologs, files.orthologs or None),
            ),
            snakemake.output.common,
            inspected=files.inspected or None,
            name=snakemake.wildcards.query,
            gene_id=snakemake.params.gene_id,
            min_common=snakemake.params.min_common,
            labeled_only=snakemake.params.labeled_only,
            max_cells=snakemake.params.max_cells,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            classifier=files.classifier or None,
        )
