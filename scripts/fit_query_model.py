"""Fit the reference's model to the batches of a query, once, by surgery on a sketch."""

from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.config.settings import SurgerySettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.mapping.encoder import Encoder, copy_model
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS


def fit_query_model(
    common: str,
    reference_model: str,
    model: str,
    *,
    settings: SurgerySettings,
    batch_size: int,
    seed: int,
    budget: Budget,
    threads: int,
    gpu: int,
) -> None:
    """Write the model that maps a query.

    Surgery adds weights for every batch that the reference does not have, and trains only them. It
    is done once for all chunks, since two trainings would place one batch twice. Without new batches
    the model is the reference's.

    Parameters
    ----------
    common
        The query's counts of the model's genes.
    reference_model, model
        Folder of the reference's model, and folder to write.
    settings
        Settings of surgery.
    batch_size
        Cells per minibatch.
    seed, threads, gpu
        See `cellferry.model.scvi_models.set_up_torch`.
    budget
        Memory of the job.
    """
    with H5adReader(common) as reader:
        reference = Encoder.load(reference_model, reader.var.index)
        batches = reader.used("batch")
        new = set(batches).difference(reference.batches)
        fitted = None
        if new:
            # Imported late: this takes longer than mapping a query without new batches.
            from cellferry.model.plain_arrays import encoder_of
            from cellferry.model.scvi_models import set_up_torch
            from cellferry.model.surgery import draw_sketch, model_for_query

            accelerator = set_up_torch(threads=threads, seed=seed, gpu=gpu)
            sketch = draw_sketch(
                reader,
                sketch_cells=settings.sketch_cells,
                seed=seed,
                need=MEMORY_MODELS["fit_query_model"],
                budget=budget,
            )
            print(f"new batches: {', '.join(sorted(new))}")
            fitted = model_for_query(
                sketch, reference_model, settings, batch_size=batch_size, accelerator=accelerator
            )
    if fitted is None:
        copy_model(reference_model, reference, batches, model)
        return
    with complete(model) as path:
        fitted.save(str(path))
        encoder_of(fitted).beside(reference).save(path)


if __name__ == "__main__":
    with job(snakemake):
        fit_query_model(
            snakemake.input.common,
            snakemake.input.model,
            snakemake.output.model,
            settings=SurgerySettings(**snakemake.params.surgery),
            batch_size=snakemake.params.batch_size,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
