"""Write a query's counts of the chosen genes, in one pass over its merged file."""

from cellferry.budget import Budget
from cellferry.h5ad import H5adReader
from cellferry.logs import logged
from cellferry.needs import NEEDS
from cellferry.subset import write_parts


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
        See `cellferry.subset.write_parts`.
    common
        File to write.
    budget
        Memory of the job.
    """
    max_bytes = budget.block_bytes(NEEDS["subset_common_genes"])
    with H5adReader(merged) as reader:
        write_parts(
            reader, genes, report, gene_map, {common: None}, name=name, gene_id=gene_id, max_bytes=max_bytes
        )


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
