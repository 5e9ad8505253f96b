"""Use the reference's model unchanged for a query's batches, without training or torch."""

from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.core.job import job
from cellferry.mapping.encoder import Encoder, copy_model


def copy_reference_model(common: str, reference_model: str, model: str) -> None:
    """Write the model that maps a query: the reference's, with an encoder for the query's batches.

    Parameters
    ----------
    common
        The query's counts of the model's genes.
    reference_model, model
        Folder of the reference's model, and folder to write.
    """
    with H5adReader(common) as reader:
        encoder = Encoder.load(reference_model, reader.var.index)
        batches = reader.used("batch")
    copy_model(reference_model, encoder, batches, model)


if __name__ == "__main__":
    with job(snakemake):
        copy_reference_model(snakemake.input.common, snakemake.input.model, snakemake.output.model)
