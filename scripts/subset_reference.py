"""Write the reference's counts of the chosen genes, its held-back parts apart, in one pass."""

from cellferry.budget import Budget
from cellferry.h5ad import H5adReader
from cellferry.logs import logged
from cellferry.needs import NEEDS
from cellferry.splits import read_split
from cellferry.subset import write_parts


def subset_reference(
    merged: str,
    splits: str,
    genes: str,
    report: str,
    gene_map: str | None,
    parts: dict[str, str],
    *,
    name: str,
    gene_id: str,
    budget: Budget,
) -> None:
    """Write the counts of the chosen genes, genes that stand several times in the file summed.

    Parameters
    ----------
    merged
        The reference's merged file.
    splits
        Part of each of its cells, as `split_reference` wrote them.
    genes, report, gene_map, name, gene_id
        See `cellferry.subset.write_parts`.
    parts
        File to write for each of the parts `train`, `validation` and `test`.
    budget
        Memory of the job.
    """
    with H5adReader(merged) as reader:
        max_bytes = budget.block_bytes(NEEDS["subset_reference"], cells=reader.n_cells)
        masks = {path: read_split(splits, part) for part, path in parts.items()}
        write_parts(reader, genes, report, gene_map, masks, name=name, gene_id=gene_id, max_bytes=max_bytes)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        subset_reference(
            snakemake.input.merged,
            snakemake.input.splits,
            snakemake.input.genes,
            snakemake.input.report,
            snakemake.input.gene_map or None,
            dict(snakemake.output.items()),
            name=snakemake.params.name,
            gene_id=snakemake.params.gene_id,
            budget=Budget.of(snakemake.resources),
        )
