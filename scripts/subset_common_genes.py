"""Write a query's counts of the chosen genes, in one pass over its merged file."""

from cellferry.budget import Budget
from cellferry.h5ad import H5adReader, H5adWriter
from cellferry.logs import logged
from cellferry.needs import NEEDS
from cellferry.references import common_obs
from cellferry.subset import append_cells, chosen_genes, gene_selection


def subset_common_genes(
    merged: str,
    genes: str,
    report: str,
    gene_map: str | None,
    common: str,
    *,
    name: str,
    gene_id: str,
    budget: Budget,
) -> None:
    """Write the counts of the chosen genes, genes that stand several times in the file summed.

    Parameters
    ----------
    merged
        The dataset's merged file.
    genes, report, gene_map, name, gene_id
        See `cellferry.subset.gene_selection`.
    common
        File to write.
    budget
        Memory of the job.
    """
    max_bytes = budget.block_bytes(NEEDS["subset_common_genes"])
    with H5adReader(merged) as reader, H5adWriter(common, chosen_genes(genes)) as writer:
        append_cells(
            reader,
            gene_selection(reader, genes, report, gene_map, name=name, gene_id=gene_id),
            [(writer, None)],
            columns=common_obs([merged]),
            max_bytes=max_bytes,
        )
        writer.write_uns(dataset=name)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        subset_common_genes(
            snakemake.input.merged,
            snakemake.input.genes,
            snakemake.input.report,
            snakemake.input.gene_map or None,
            snakemake.output.common,
            name=snakemake.wildcards.query,
            gene_id=snakemake.params.gene_id,
            budget=Budget.of(snakemake.resources),
        )
