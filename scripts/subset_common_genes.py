"""Write one dataset's counts of the chosen genes, in one pass over its merged file."""

import json
import uuid

import numpy as np
import pandas as pd
from cellferry.budget import Budget
from cellferry.genes import candidate_ids, gene_selection, read_gene_table
from cellferry.h5ad import H5adReader, H5adWriter
from cellferry.logs import logged
from cellferry.splits import read_split


def subset_common_genes(
    merged: str,
    genes: str,
    report: str,
    gene_map: str | None,
    common: str,
    *,
    name: str,
    gene_id: str,
    cells: np.ndarray | None,
    budget: Budget,
) -> None:
    """Write the counts of the chosen genes, genes that stand several times in the file summed.

    Parameters
    ----------
    merged
        The dataset's merged file.
    genes, report
        Chosen genes and summary, as `select_genes` wrote them.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
    common
        File to write.
    name
        The dataset's name in `report`.
    gene_id
        Its var column with gene ids, or `auto`.
    cells
        Mask of the cells to keep, or None for all.
    budget
        Memory of the job.
    """
    # A block, its counterpart in the chosen genes, and what scipy holds while multiplying.
    max_bytes = budget.buffer_bytes(fixed_mb=300) // 6
    selected = pd.read_csv(genes, sep="\t", dtype={"gene": str}, keep_default_na=False)["gene"].to_list()
    with open(report, encoding="utf-8") as file:
        summary = json.load(file)
    with H5adReader(merged) as reader:
        table = read_gene_table(gene_map) if gene_map else None
        offered = candidate_ids(reader.var, gene_id=gene_id, table=table)
        ids = offered[summary["namespace"]][summary["datasets"][name]["column"]]
        selection = gene_selection(ids, selected)
        var = pd.DataFrame(index=pd.Index(selected, name="gene"))
        with H5adWriter(common, var, most_nonzeros=reader.nonzeros) as writer:
            for start, stop in reader.ranges(max_bytes):
                kept = slice(None) if cells is None else np.flatnonzero(cells[start:stop])
                obs = {column: reader.obs(column, start, stop)[kept] for column in reader.obs_columns}
                counts = reader.counts(start, stop)[kept] @ selection
                writer.append(counts, reader.names(start, stop)[kept], obs)
            writer.write_uns(id=uuid.uuid4().hex, dataset=name)
            print(
                f"{common}: {writer.n_cells} of {reader.n_cells} cells, {len(selected)} of {reader.n_genes} "
                f"genes, {writer.nonzeros} of {reader.nonzeros} stored values"
            )


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        splits = snakemake.input.splits
        subset_common_genes(
            snakemake.input.merged,
            snakemake.input.genes,
            snakemake.input.report,
            snakemake.input.gene_map or None,
            snakemake.output.common,
            name=snakemake.params.name,
            gene_id=snakemake.params.gene_id,
            cells=read_split(splits) == snakemake.params.split if splits else None,
            budget=Budget.of(snakemake.resources),
        )
