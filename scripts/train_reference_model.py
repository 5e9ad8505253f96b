"""Train the reference model from disk: scVI, optionally scANVI on top, or CytoVI."""

import time
from dataclasses import asdict, replace

import zarr
from cellferry.artifacts.features import Features
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from cellferry.config.settings import ModelSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.cytometry.transformation import write_transformation
from cellferry.labels.vocabulary import UNKNOWN
from cellferry.model.checkpoints import Checkpoints
from cellferry.model.plain_arrays import encoder_of, scanvi_classifier
from cellferry.model.reference_training import TrainingStore, untrained
from cellferry.model.scvi_models import scanvi_from_scvi, set_up_torch
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS, model_mb, preloaded_values
from cellferry.resources.schedule import minibatch_size, reference_epochs, refining_epochs


def train_reference_model(
    store: str,
    *,
    model: str,
    history: str,
    checkpoints: str,
    settings: ModelSettings,
    seed: int,
    threads: int,
    gpu: int,
    minutes: float,
    budget: Budget,
    marker_report: str | None = None,
    labels: str | None = None,
) -> None:
    """Train the reference model and save it as an ordinary scvi-tools folder.

    Parameters
    ----------
    store
        Shuffled training cells, as `shuffle_reference` wrote them.
    model, history
        Folder and table (loss per epoch) to write.
    checkpoints
        Folder for the training's state. A training that was killed, even in its last second, resumes from it;
        the folder is kept until a run of the workflow succeeds.
    settings
        Settings of the model and its training.
    seed, threads, gpu
        See `cellferry.model.scvi_models.set_up_torch`.
    minutes
        Time limit of the job; the state is saved shortly before it.
    budget
        Memory of the job.
    marker_report
        Cytometry: the report of `select_markers`.
    labels
        Labels of the reference, if the model uses them; coarser labels are left out.
    """
    deadline = time.monotonic() + 60 * minutes
    accelerator = set_up_torch(threads=threads, seed=seed, gpu=gpu)
    attributes = dict(zarr.open_group(store, mode="r").attrs)
    if labels:
        attributes["labels"] = without_coarse(attributes["labels"], read_artifact(ReferenceLabels, labels))
    reference_model = untrained(attributes, settings)
    n_cells = attributes["n_cells"]
    budget.require(
        MEMORY_MODELS["train_reference_model"],
        values=preloaded_values(settings.batch_size, n_cells, attributes["nonzeros"]),
        more_mb=model_mb(len(attributes["genes"]), settings.n_hidden),
        remedy="lower model.batch_size",
    )
    epochs = reference_epochs(settings.epochs, n_cells)
    batch_size = minibatch_size(settings.batch_size, n_cells)
    print(f"{n_cells} cells, at most {epochs} epochs, minibatches of {batch_size}, on the {accelerator}")

    made_from = {"store": attributes, "settings": asdict(settings), "seed": seed}
    kept = Checkpoints(checkpoints, made_from, deadline=deadline)
    cells = TrainingStore(store, attributes, batch_size, seed, accelerator)
    cells.train(reference_model, settings=settings, epochs=epochs, checkpoints=kept)
    losses = kept.history()
    print(f"trained {len(losses)} epochs; last loss {losses['train_loss'].iloc[-1]:.1f}")
    if settings.type == "scanvi":
        reference_model = scanvi_from_scvi(reference_model)
        scanvi_epochs = refining_epochs(settings.scanvi_epochs, epochs)
        print(f"scANVI: {scanvi_epochs} epochs")
        cells.train(
            reference_model,
            settings=replace(settings, early_stopping=False),
            epochs=scanvi_epochs,
            checkpoints=Checkpoints(checkpoints, {**made_from, "refined": True}, deadline=deadline),
        )
    with complete(history) as path:
        # The planned number; fewer losses mean early stopping.
        losses.assign(max_epochs=epochs).to_csv(path, index=False)
    with complete(model) as path:
        reference_model.save(str(path))
        # In addition to scvi-tools' files: map_query and predict_labels run without torch.
        encoder_of(reference_model).save(path)
        if settings.type == "scanvi":
            scanvi_classifier(reference_model).save(path)
        if marker_report:
            features = read_artifact(Features, marker_report)
            write_transformation(features.transformation, features.values, path)


def without_coarse(labels: list[str], known: ReferenceLabels) -> list[str]:
    """Labels of a store, with `unknown` for coarser ones: scANVI treats their cells as unlabeled."""
    coarse = known.coarse
    for label in (label for label in labels if label in coarse):
        print(f"scANVI: cells with the coarser label '{label}' are treated as unlabeled")
    return [UNKNOWN if label in coarse else label for label in labels]


if __name__ == "__main__":
    with job(snakemake):
        train_reference_model(
            snakemake.input.store,
            model=snakemake.output.model,
            history=snakemake.output.history,
            checkpoints=snakemake.params.checkpoints,
            settings=ModelSettings(**snakemake.params.model),
            seed=snakemake.params.seed,
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
            minutes=snakemake.resources.runtime,
            budget=Budget.of(snakemake.resources),
            marker_report=snakemake.input.marker_report or None,
            labels=snakemake.input.labels or None,
        )
