"""Map one chunk of a query into the reference's latent space: forward passes, nothing is trained."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.core.atomic import complete
from cellferry.core.logs import logged
from cellferry.core.progress import Progress
from cellferry.model.encoder import load_encoder
from cellferry.model.scvi_models import set_up_torch
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
    gpu: int,
) -> None:
    """Write the latents of one chunk.

    Parameters
    ----------
    common
        The dataset's counts of the model's genes.
    model
        Folder of the model, fitted to the dataset's batches.
    mapped
        Parquet file to write, one row per cell: `cell`, `batch`, `label` (null where unknown),
        `latent_0` and on (the posterior mean, float32).
    chunk, chunks
        Which of how many equal runs of cells.
    budget, threads, gpu
        What the job was given.
    """
    accelerator = set_up_torch(threads=threads, seed=0, gpu=gpu)
    max_bytes = budget.block_bytes(MEMORY_MODELS["map_query"])
    with H5adReader(common) as reader, complete(mapped) as path:
        encoder = load_encoder(model, reader.var.index, accelerator=accelerator)
        latents = [pa.field(f"latent_{number}", pa.float32()) for number in range(encoder.n_latent)]
        names = [pa.field(name, pa.string()) for name in ("cell", "batch", "label")]
        schema = pa.schema([*names, *latents])

        model_codes = {batch: code for code, batch in enumerate(encoder.batches)}
        first, last = (number * reader.n_cells // chunks for number in (chunk, chunk + 1))
        progress = Progress("mapped", last - first)
        with pq.ParquetWriter(path, schema) as writer:
            for start, stop in reader.ranges(max_bytes, first, last):
                batches = reader.obs("batch", start, stop)
                codes = np.array([model_codes[batch] for batch in batches], dtype=np.int64)
                latent = encoder.latents(reader.counts(start, stop), codes)
                labels = (
                    reader.obs("label", start, stop)
                    if "label" in reader.obs_columns
                    else [None] * len(batches)
                )
                columns = [reader.names(start, stop), batches, labels, *latent.T]
                writer.write_table(pa.table(columns, schema=schema))
                progress.add(stop - start)
        progress.end()


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        map_query(
            snakemake.input.common,
            snakemake.input.model,
            snakemake.output.mapped,
            chunk=int(snakemake.wildcards.chunk),
            chunks=snakemake.params.chunks,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
