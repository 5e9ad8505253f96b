"""Map one chunk of a query into the reference's latent space: forward passes, nothing is trained.

Where the model was fitted to the query's batches, cells are mapped by it and by the reference's as it is.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.latents import LATENT, UNFITTED
from cellferry.core.atomic import complete
from cellferry.core.logs import logged
from cellferry.core.progress import Progress
from cellferry.model.encoder import load_encoders
from cellferry.model.scvi_models import set_up_torch
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS


def map_query(
    common: str,
    model: str,
    reference_model: str,
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
    model, reference_model
        Folder of the model, fitted to the dataset's batches, and of the one that it was made of.
    mapped
        Parquet file to write, one row per cell (`cellferry.artifacts.latents`); latents are posterior means.
    chunk, chunks
        Which of how many equal runs of cells.
    budget, threads, gpu
        What the job was given.
    """
    accelerator = set_up_torch(threads=threads, seed=0, gpu=gpu)
    max_bytes = budget.block_bytes(MEMORY_MODELS["map_query"])
    with H5adReader(common) as reader, complete(mapped) as path:
        encoders = load_encoders(model, reference_model, reader.var.index, accelerator=accelerator)
        latents = [
            pa.field(f"{prefix}_{number}", pa.float32())
            for prefix, encoder in zip((LATENT, UNFITTED), encoders, strict=False)
            for number in range(encoder.n_latent)
        ]
        names = [pa.field(name, pa.string()) for name in ("cell", "batch", "label")]
        schema = pa.schema([*names, *latents])

        model_codes = {batch: code for code, batch in enumerate(encoders[0].batches)}
        first, last = (number * reader.n_cells // chunks for number in (chunk, chunk + 1))
        progress = Progress("mapped", last - first)
        with pq.ParquetWriter(path, schema) as writer:
            for start, stop in reader.ranges(max_bytes, first, last):
                batches = reader.obs("batch", start, stop)
                codes = np.array([model_codes[batch] for batch in batches], dtype=np.int64)
                counts = reader.counts(start, stop)
                latents_of_all = [column for each in encoders for column in each.latents(counts, codes).T]
                labels = (
                    reader.obs("label", start, stop)
                    if "label" in reader.obs_columns
                    else [None] * len(batches)
                )
                columns = [reader.names(start, stop), batches, labels, *latents_of_all]
                writer.write_table(pa.table(columns, schema=schema))
                progress.add(stop - start)
        progress.end()


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        map_query(
            snakemake.input.common,
            snakemake.input.model,
            snakemake.input.reference_model,
            snakemake.output.mapped,
            chunk=int(snakemake.wildcards.chunk),
            chunks=snakemake.params.chunks,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
