"""Draw the report: one self-contained page with the answer, its scores, the genes, maps and costs."""

from pathlib import Path

from cellferry.core.logs import logged
from cellferry.report.page import write_page

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        files = snakemake.input
        write_page(
            evaluations=files.evaluations,
            predictions=files.predictions,
            mapped=files.mapped,
            inspected=files.inspected,
            gene_loss=files.gene_loss,
            common=files.common,
            mappings=files.mappings,
            rules=files.rules,
            left_out=files.get("left_out"),
            labels=files.labels,
            datasets=files.datasets,
            genes=files.genes,
            history=files.history,
            panel=files.panel or None,
            page=snakemake.output.report,
            drawn=str(Path(snakemake.output.reliability).parent),
            references=snakemake.params.references,
            queries=snakemake.params.queries,
            benchmarks=snakemake.params.benchmarks,
            logs=snakemake.params.logs,
            config=snakemake.params.config,
            seed=snakemake.params.seed,
        )
