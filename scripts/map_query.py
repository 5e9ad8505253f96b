"""Map one chunk of a query into the reference's latent space: forward passes, no training.

With a model fitted to the query's batches, cells are also mapped by the reference's own model.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.latents import LATENT, UNFITTED
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.mapping.encoder import Encoder
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS


def map_query(
    common: str,
    model: str,
    mapped: str,
    *,
    chunk: int,
    chunks: int,
    budget: Budget,
    threads: int,
) -> None:
    """Write the latents of one chunk.

    Parameters
    ----------
    common
        The dataset's counts of the model's genes.
    model
        Folder of the model, fitted to the dataset's batches.
    mapped
        Parquet file to write, one row per cell (`cellferry.artifacts.latents`); latents are posterior means.
    chunk, chunks
        Number of the chunk, and of chunks of equal size.
    budget, threads
        Memory and cores of the job.
    """
    with H5adReader(common) as reader, complete(mapped) as path:
        encoder = Encoder.load(model, reader.var.index)
        max_bytes = budget.block_bytes(MEMORY_MODELS["map_query"], more_mb=encoder.held_mb)
        latents = [
            pa.field(f"{prefix}_{number}", pa.float32())
            for prefix in (LATENT, UNFITTED)[: encoder.n_mappings]
            for number in range(encoder.n_latent)
        ]
        names = [pa.field(name, pa.string()) for name in ("cell", "batch", "label")]
        schema = pa.schema([*names, *latents])

        model_codes = {batch: code for code, batch in enumerate(encoder.batches)}
        first, last = (number * reader.n_cells // chunks for number in (chunk, chunk + 1))
        progress = Progress("mapped", last - first)
        with pq.ParquetWriter(path, schema) as writer:
            for start, stop in reader.ranges(max_bytes, first, last):
                batches = reader.obs("batch", start, stop)
                codes = np.array([model_codes[batch] for batch in batches], dtype=np.int64)
                counts = reader.counts(start, stop)
                by_mapping = encoder.latents(counts, codes, threads=threads)
                labels = (
                    reader.obs("label", start, stop)
                    if "label" in reader.obs_columns
                    else [None] * len(batches)
                )
                columns = [reader.names(start, stop), batches, labels, *np.hstack(by_mapping).T]
                writer.write_table(pa.table(columns, schema=schema))
                progress.add(stop - start)
        progress.end()


if __name__ == "__main__":
    with job(snakemake):
        map_query(
            snakemake.input.common,
            snakemake.input.model,
            snakemake.output.mapped,
            chunk=int(snakemake.wildcards.chunk),
            chunks=snakemake.params.chunks,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
