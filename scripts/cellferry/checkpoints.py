"""Checkpoints of a training run: one after every epoch, so that a killed job resumes where it was."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from .files import complete

SECONDS_BETWEEN_LINES = 10
"""A training of minutes and one of days both leave a log that can be read."""


class Checkpoints(Callback):
    """Keep the state after the last finished epoch, and the loss of every epoch so far.

    A folder belongs to one set of inputs and settings: whatever differs in `made_from` makes the
    folder's name differ, so that a changed configuration never resumes from another one's state.

    Parameters
    ----------
    folder
        Where checkpoints of all runs lie.
    made_from
        Everything the training depends on, JSON-serialisable.
    """

    def __init__(self, folder: str | Path, made_from: dict[str, Any]) -> None:
        fingerprint = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = Path(folder) / fingerprint
        self.state_path = self.folder / "last.ckpt"
        self._history_path = self.folder / "history.csv"
        self._epochs: list[dict[str, float]] = []
        self._last_said = 0.0

    def resume_from(self) -> str | None:
        """Path of the state to resume from, or None; the epochs it covers are read back into the history."""
        if not self.state_path.exists():
            return None
        self._epochs = pd.read_csv(self._history_path).to_dict("records")
        print(f"resuming after epoch {len(self._epochs)} from {self.state_path}")
        return str(self.state_path)

    def history(self) -> pd.DataFrame:
        """Loss per epoch: columns `epoch`, `train_loss`, `validation_loss`."""
        return pd.DataFrame(self._epochs, columns=["epoch", "train_loss", "validation_loss"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write history and state; the state last, since it is what a later run looks for."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        # Rows of an epoch that was begun, lost and repeated are replaced.
        self._epochs = [row for row in self._epochs if row["epoch"] < trainer.current_epoch]
        self._epochs.append(
            {
                "epoch": trainer.current_epoch,
                "train_loss": metrics.get("elbo_train", float("nan")),
                "validation_loss": metrics.get("elbo_validation", float("nan")),
            }
        )
        with complete(self._history_path) as path:
            self.history().to_csv(path, index=False)
        with complete(self.state_path) as path:
            trainer.save_checkpoint(path, weights_only=False)  # the optimiser's state too
        if time.monotonic() - self._last_said > SECONDS_BETWEEN_LINES:
            self._last_said = time.monotonic()
            last = self._epochs[-1]
            print(
                f"epoch {trainer.current_epoch + 1} of at most {trainer.max_epochs}: "
                f"loss {last['train_loss']:.1f}, on monitored cells {last['validation_loss']:.1f}"
            )
