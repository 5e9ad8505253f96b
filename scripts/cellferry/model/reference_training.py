"""Training of a reference model on the cells of a store."""

from dataclasses import dataclass

import numpy as np
from scvi.model import SCANVI
from scvi.model.base import BaseModelClass

from ..config.settings import ModelSettings
from ..labels.vocabulary import UNKNOWN
from .checkpoints import Checkpoints
from .scvi_models import (
    UNLABELED,
    LabeledCellsPlan,
    balance_labels,
    measured_by_batch,
    new_cytovi,
    new_model,
    skeleton,
    train,
)
from .store import StoreDataModule
from .training_progress import TrainingProgress
from .training_state import TrainingState

MONITORED_SHARE = 0.05
"""Share of the training cells whose loss decides on early stopping."""


@dataclass(frozen=True)
class TrainingStore:
    """Shuffled training cells, and settings for reading them.

    Parameters
    ----------
    path
        The store, as `shuffle_reference` wrote it.
    attributes
        The store's attributes; cells with the label `unknown` are unlabeled.
    batch_size
        Cells per minibatch.
    seed
        Seed of the order of cells.
    accelerator
        Where to compute.
    """

    path: str
    attributes: dict
    batch_size: int
    seed: int
    accelerator: str

    def train(
        self, model: BaseModelClass, *, settings: ModelSettings, epochs: int, checkpoints: Checkpoints
    ) -> None:
        """Train a model, registered on a skeleton, or resume its training.

        Parameters
        ----------
        model
            The model; it is changed.
        settings
            Settings of the training.
        epochs
            Maximum of epochs.
        checkpoints
            State of the training.
        """
        measured = None
        if "measured" in self.attributes:
            measured = measured_by_batch(self.attributes["batches"], self.attributes["measured"])
        label_mapping = code_mapping(model, "labels", self.attributes["labels"])
        unlabeled = np.array(self.attributes["labels"]) == UNKNOWN
        if isinstance(model, SCANVI) and unlabeled.any():
            label_mapping[unlabeled] = UNLABELED
            model._training_plan_cls = LabeledCellsPlan
        datamodule = StoreDataModule(
            self.path,
            batch_size=self.batch_size,
            monitored_share=MONITORED_SHARE,
            batch_mapping=code_mapping(model, "batch", self.attributes["batches"]),
            label_mapping=label_mapping,
            measured=measured,
            seed=self.seed,
        )
        if isinstance(model, SCANVI):
            balance_labels(model, datamodule.cells_by_label(model.n_labels))
        plan = {"lr": settings.learning_rate}
        if measured is not None:
            # The prior reaches its full weight also in a short training.
            plan["n_epochs_kl_warmup"] = min(400, epochs)
            # With different panels, missing values would identify batches.
            plan["adversarial_classifier"] = not measured.all()
        train(
            model,
            max_epochs=checkpoints.max_epochs(epochs),
            datamodule=datamodule,
            accelerator=self.accelerator,
            devices=1,
            early_stopping=settings.early_stopping and datamodule.n_val > 0,
            early_stopping_patience=settings.patience,
            check_val_every_n_epoch=1,
            plan_kwargs=plan,
            enable_progress_bar=False,
            callbacks=[checkpoints, TrainingState(), TrainingProgress(datamodule.n_train)],
            ckpt_path=checkpoints.resume_from(),
        )


def untrained(attributes: dict, settings: ModelSettings) -> BaseModelClass:
    """A new model for the cells of a store."""
    measured = attributes.get("measured")
    labels = [label for label in attributes["labels"] if label != UNKNOWN]
    cells = skeleton(attributes["genes"], attributes["batches"], labels, measured)
    if settings.type == "cytovi":
        return new_cytovi(cells, settings, attributes["backbone"])
    return new_model(cells, settings)


def code_mapping(model: BaseModelClass, field: str, names: list[str]) -> np.ndarray:
    """The model's code of each of `names`; zeros for a field it does not use."""
    registered = model.adata_manager.get_state_registry(field)["categorical_mapping"]
    codes = {str(name): code for code, name in enumerate(registered)}
    return np.array([codes.get(name, 0) for name in names])
