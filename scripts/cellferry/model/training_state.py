"""Additions to Lightning's states, which make a resumed training equal to an uninterrupted one."""

import random
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

KEPT = "cellferry"
"""Key of the additions in a state."""


class TrainingState(Callback):
    """Complete the states that Lightning writes, and restore them.

    Lightning keeps weights, optimizers, callbacks and progress. Added are the random generators (also used
    after the training), the sums behind the losses of an unfinished epoch, and the losses so far, which
    scvi-tools saves with its model. `StoreDataModule` adds the order of the minibatches.

    States must be written at the begin of an epoch or minibatch, when everything before is complete.
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, torch.Tensor]] = {}

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Complete a state."""
        # An epoch that has only begun is not in the state: Lightning would skip it.
        loops = checkpoint["loops"]["fit_loop"]
        for progress in (loops["epoch_progress"], loops["epoch_loop.batch_progress"]):
            for counts in (progress["total"], progress["current"]):
                counts["ready"] = counts["started"]
        sums = {name: metric.metric_state for name, metric in _metrics(trainer).items()}
        checkpoint[KEPT] = {
            "generators": _generators(),
            "sums": self._sums or sums,
            "losses": {
                name: (losses.index.name, losses[name].to_dict())
                for name, losses in trainer.logger.history.items()
            },
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore a state."""
        kept = checkpoint[KEPT]
        _set_generators(kept["generators"])
        self._sums = kept["sums"]
        for name, (unit, losses) in kept["losses"].items():
            for moment, loss in losses.items():
                trainer.logger.log_metrics({name: loss, unit: moment}, moment)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Add earlier sums after the first minibatch, for which Lightning has created the sums."""
        for name, metric in _metrics(trainer).items() if self._sums else ():
            for part, before in self._sums.get(name, {}).items():
                now = getattr(metric, part)
                setattr(metric, part, now + before.to(now.device))
        self._sums = {}


def _metrics(trainer: Trainer) -> dict[str, Any]:
    """All sums over an epoch: metrics of scvi-tools, and Lightning's values logged."""
    return {**trainer.lightning_module.train_metrics, **trainer._results}


def _generators() -> dict[str, Any]:
    """States of all generators, in plain types, which Lightning requires."""
    name, key, *position = np.random.get_state()  # noqa: NPY002 scvi-tools seeds it
    return {
        "python": random.getstate(),
        "numpy": (name, key.tolist(), *position),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _set_generators(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
