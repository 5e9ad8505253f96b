"""Write the references' counts of the model's genes (or marker values), one file per part.

One pass over each reference.
"""

from contextlib import ExitStack
from itertools import pairwise

import pandas as pd
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.core.job import job
from cellferry.cytometry.marker_names import BACKBONE
from cellferry.features.common_genes import chosen_genes
from cellferry.features.marker_selection import marker_selection
from cellferry.features.marker_values import INTENSITIES
from cellferry.features.orthologs import table_of_orthologs
from cellferry.features.subset import MEASURED, GeneFiles, append_cells, gene_selection
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.references import cell_bounds, common_obs
from cellferry.sampling.splits import read_split

PART = "reference"
"""Name of several references together."""


def subset_reference(
    merged: dict[str, str],
    splits: str,
    chosen: GeneFiles,
    parts: dict[str, str],
    *,
    inspected: list[str],
    gene_ids: dict[str, str],
    budget: Budget,
) -> None:
    """Write the counts of the model's genes; duplicate genes of a file are summed.

    The references are read one after the other. With several, cell names get the prefix `{reference}/`,
    and obs has the columns that all of them have.

    Parameters
    ----------
    merged
        The merged file of each reference.
    splits
        Part of each of their cells, as `split_reference` wrote them.
    chosen
        The model's genes.
    parts
        File to write for each of the parts `train`, `validation`, `test` and `rare`.
    inspected
        Cytometry: the inspection of each reference. Empty: they hold counts.
    gene_ids
        Per reference the var column with gene ids, or `auto`.
    budget
        Memory of the job.
    """
    paths = list(merged.values())
    bounds = cell_bounds(paths)
    max_bytes = budget.block_bytes(
        MEMORY_MODELS["subset_reference"], cells=int(bounds[-1]), more_mb=chosen.held_mb
    )
    max_bytes //= 2 if inspected else 1  # intensities are dense while they are transformed
    masks = [read_split(splits, part) for part in parts]
    columns = common_obs(paths)
    with ExitStack() as closing:
        selected = chosen_genes(chosen.genes)
        readers = {name: closing.enter_context(H5adReader(path)) for name, path in merged.items()}
        var = pd.DataFrame({MEASURED: True}, index=pd.Index(selected, name="gene"))
        selections = {}
        for number, (name, reader) in enumerate(readers.items()):
            if inspected:
                selections[name], var_of = marker_selection(
                    reader, chosen.genes, chosen.report, inspected[number], name=name
                )
                var[BACKBONE], var[f"{MEASURED}_{name}"] = var_of[BACKBONE], var_of[MEASURED]
            else:
                selections[name], _ = gene_selection(
                    reader,
                    selected,
                    chosen.report,
                    chosen.gene_map,
                    orthologs=chosen.orthologs,
                    name=name,
                    gene_id=gene_ids[name],
                )
        writers = [closing.enter_context(H5adWriter(path, var)) for path in parts.values()]
        for (name, reader), (start, stop) in zip(readers.items(), pairwise(bounds), strict=True):
            append_cells(
                reader,
                selections[name],
                [(writer, mask[start:stop]) for writer, mask in zip(writers, masks, strict=True)],
                columns=columns,
                prefix=f"{name}/" if len(merged) > 1 else "",
                max_bytes=max_bytes,
            )
        for writer in writers:
            writer.write_uns(dataset=PART, values=INTENSITIES if inspected else "counts")


if __name__ == "__main__":
    with job(snakemake):
        files = snakemake.input
        names = snakemake.params.names
        subset_reference(
            dict(zip(names, files.merged, strict=True)),
            files.splits,
            GeneFiles(
                files.genes,
                files.report,
                files.gene_map or None,
                table_of_orthologs(snakemake.params.orthologs, files.orthologs or None),
            ),
            dict(snakemake.output.items()),
            inspected=list(files.inspected),
            gene_ids=snakemake.params.gene_ids,
            budget=Budget.of(snakemake.resources),
        )
