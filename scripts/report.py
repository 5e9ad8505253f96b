"""Write the report: one self-contained page with labels, scores, genes, maps and costs."""

from pathlib import Path

from cellferry.core.job import job
from cellferry.report.page import write_page
from cellferry.report.run_files import RunFiles, RunSettings

if __name__ == "__main__":
    with job(snakemake):
        write_page(
            RunFiles.of(snakemake.input),
            RunSettings.of(snakemake.params),
            page=snakemake.output.report,
            drawn=str(Path(snakemake.output.reliability).parent),
        )
