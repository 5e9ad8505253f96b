"""Checkpoints of a training run, so that a killed job resumes where it was."""

import hashlib
import json
import math
import time
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from ..core.atomic import complete

SECONDS_BETWEEN_CHECKPOINTS = 15
"""Epochs of a small reference take less time than writing their state."""

SECONDS_WITHIN_AN_EPOCH = 600
"""Maximum of work that a killed job repeats, for the long epochs of a large reference."""

SECONDS_BEFORE_THE_LIMIT = 180
"""Time before the limit at which a state is written; it includes the start of the job."""


class Checkpoints(Callback):
    """Keep the state of a training, and the loss of every epoch so far.

    A state is written after every epoch, unless the last one is a few seconds old; every ten minutes within
    an epoch; shortly before the job's time limit; and when training is over. With what `TrainingState` and
    `StoreDataModule` add to it, the training that resumes there is the one that was stopped: its model is the
    same bit for bit, on the same machine.

    The folder's name depends on all of `made_from`, so that a changed configuration never resumes from
    another one's state.

    The limit is watched by the clock. The signal that SLURM can send before it (`sbatch --signal`) does not
    arrive here: SLURM sends it to the snakemake process of the job, which does not forward it.

    Parameters
    ----------
    folder
        Folder of the checkpoints of all runs.
    made_from
        All inputs of the training, JSON-serializable.
    deadline
        End of the job, on the clock of `time.monotonic`.
    """

    def __init__(self, folder: str | Path, made_from: dict[str, Any], *, deadline: float = math.inf) -> None:
        fingerprint = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
        # Not last.ckpt, the former name: those lack the additions of `TrainingState`.
        self.state_path = Path(folder) / fingerprint / "state.ckpt"
        self._epochs: list[dict[str, float]] = []
        self._finished = False
        self._last_written = -math.inf
        left = deadline - time.monotonic()
        self._time_is_short = deadline - min(SECONDS_BEFORE_THE_LIMIT, left / 2)

        self._remove_damaged()

    def _remove_damaged(self) -> None:
        """A state is a zip archive with a CRC-32 of each part, which torch does not verify."""
        if not self.state_path.exists():
            return
        try:
            with zipfile.ZipFile(self.state_path) as parts:
                damaged = parts.testzip()
        except (zipfile.BadZipFile, EOFError) as error:
            damaged = str(error)
        if damaged:
            print(f"warning: {self.state_path}: is damaged ({damaged}); the training restarts")
            self.state_path.unlink()

    def resume_from(self) -> str | None:
        """Path of the state to resume from, or None."""
        return str(self.state_path) if self.state_path.exists() else None

    def max_epochs(self, epochs: int) -> int:
        """`epochs`, or the number of a finished training if its state is resumed."""
        if not self.state_path.exists():
            return epochs
        callbacks = torch.load(self.state_path, map_location="cpu", weights_only=True)["callbacks"]
        state = callbacks[self.state_key]
        return len(state["epochs"]) if state.get("finished") else epochs

    def history(self) -> pd.DataFrame:
        """Loss per epoch: columns `epoch`, `train_loss`, `validation_loss`."""
        return pd.DataFrame(self._epochs, columns=["epoch", "train_loss", "validation_loss"])

    def state_dict(self) -> dict[str, Any]:
        """State of this callback, for Lightning."""
        return {"epochs": self._epochs, "finished": self._finished}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history of the epochs that a state covers."""
        self._epochs = state_dict["epochs"]
        print(f"resuming after epoch {len(self._epochs)} from {self.state_path}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of unsaved work."""
        self._last_written = max(self._last_written, time.monotonic() - SECONDS_BETWEEN_CHECKPOINTS)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the state after an epoch, unless one was just written.

        Not at the end of that epoch: early stopping and scvi-tools' losses run after the callbacks.
        """
        if self._epochs:
            self._write_if_older(SECONDS_BETWEEN_CHECKPOINTS, trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write the state within an epoch if the last one is old or time is short."""
        if batch_idx:
            self._write_if_older(SECONDS_WITHIN_AN_EPOCH, trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the loss."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        train_loss = metrics.get("elbo_train", float("nan"))
        validation_loss = metrics.get("elbo_validation", float("nan"))
        self._epochs.append(
            {
                "epoch": trainer.current_epoch,
                "train_loss": train_loss,
                "validation_loss": validation_loss,
            }
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the state of the finished training: later steps may be killed too."""
        self._finished = True
        self._write(trainer)

    def _write_if_older(self, seconds: float, trainer: Trainer) -> None:
        now = time.monotonic()
        if now >= self._time_is_short:
            self._time_is_short = math.inf
            print(f"time is short: writing the state in epoch {trainer.current_epoch + 1}")
            self._write(trainer)
        elif now - self._last_written >= seconds:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        with complete(self.state_path) as path:
            trainer.save_checkpoint(path, weights_only=False)  # with the optimizer's state
        self._last_written = time.monotonic()
