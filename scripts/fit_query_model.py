"""Fit the reference model to the batches of one query (scArches surgery), once, on a sketch of it."""

import shutil

import numpy as np
from cellferry.budget import Budget
from cellferry.files import complete
from cellferry.h5ad import H5adReader
from cellferry.logs import logged
from cellferry.marker_values import BACKBONE
from cellferry.model import as_it_is, cells_for_model, known_batches, model_class, set_up_torch, train
from cellferry.needs import NEEDS
from cellferry.schedule import fitting_epochs, minibatch_size
from cellferry.sketch import sketch_values, stratified_sketch
from cellferry.subset import MEASURED


def fit_query_model(
    common: str,
    reference_model: str,
    model: str,
    *,
    fit: bool,
    epochs: int | str,
    sketch_cells: int,
    batch_size: int,
    seed: int,
    budget: Budget,
    threads: int,
    gpu: int,
) -> None:
    """Write the model that maps a query.

    Surgery adds weights for every batch that the reference does not have, and trains only them. It
    is done once for all chunks: a batch trained in two chunks would lie in two places. Where the
    query has no new batch there is nothing to train, and the model is the reference's.

    Parameters
    ----------
    common
        The query's counts of the model's genes.
    reference_model, model
        Folder of the reference's model, and folder to write.
    fit, epochs, sketch_cells
        As in the configuration's section `surgery`.
    batch_size
        Cells per minibatch.
    seed, threads, gpu
        See `cellferry.model.set_up_torch`.
    budget
        Memory of the job.
    """
    accelerator = set_up_torch(threads=threads, seed=seed, gpu=gpu)
    known = known_batches(reference_model)
    with H5adReader(common) as reader:
        codes = reader.codes("batch")
        new = sorted(set(reader.categories("batch")[np.unique(codes)]).difference(known))
        if not new:
            print(f"{common} has no batch that the reference model does not know: it is used as it is")
            with complete(model) as path:
                shutil.copytree(reference_model, path)
            return
        # One cell of every batch at the least: a batch that is not in the sketch could not be mapped.
        n_cells = max(min(sketch_cells, reader.n_cells), len(np.unique(codes)))
        budget.require(
            NEEDS["fit_query_model"],
            cells=reader.n_cells,
            values=sketch_values(reader, n_cells),
            remedy="lower surgery.sketch_cells",
        )
        rows = stratified_sketch(codes, n_cells, seed=seed)
        batches = reader.categories("batch")[codes[rows]]
        measured = None
        if BACKBONE in reader.var:
            # The encoder sees the backbone; what is missing there is 0, and counts as if it were measured.
            measured = (reader.var[MEASURED] | reader.var[BACKBONE]).to_numpy()
        sketch = cells_for_model(reader.rows(rows), reader.var.index, batches, measured)
    size = minibatch_size(batch_size, len(rows))
    epochs = fitting_epochs(epochs, len(rows), size)
    print(f"new batches: {', '.join(new)}")
    if fit:
        print(f"{len(rows)} of {len(codes)} cells, {epochs} epochs, batches of {size}, on the {accelerator}")
    else:
        print("they have the mean weights of the reference's batches (surgery.fit is false)")

    query_model = model_class(reference_model).load_query_data(
        sketch, str(reference_model), accelerator=accelerator
    )
    if fit:
        train(
            query_model,
            max_epochs=epochs,
            batch_size=size,
            accelerator=accelerator,
            devices=1,
            train_size=1.0,
            # Weights of the reference must not decay while those of the query are learned (scArches).
            plan_kwargs={"weight_decay": 0.0},
            enable_progress_bar=False,
        )
    else:
        as_it_is(query_model, reference_model)
    with complete(model) as path:
        query_model.save(str(path))


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        fit_query_model(
            snakemake.input.common,
            snakemake.input.model,
            snakemake.output.model,
            fit=snakemake.params.fit,
            epochs=snakemake.params.epochs,
            sketch_cells=snakemake.params.sketch_cells,
            batch_size=snakemake.params.batch_size,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
