"""Progress of a training, in cells, with the loss of the last epoch."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from ..core.progress import Progress


class TrainingProgress(Callback):
    """Print the progress of a training to the log and on a terminal.

    Parameters
    ----------
    n_cells
        Cells of an epoch.
    """

    def __init__(self, n_cells: int) -> None:
        self._n_cells = n_cells
        self._note = ""
        self._progress: Progress | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: dict[str, Any], batch_idx: int
    ) -> None:
        """Start the count, after the cells of an earlier job."""
        if self._progress is None:
            self._progress = Progress(
                "trained on",
                trainer.max_epochs * self._n_cells,
                at_most=True,
                already=self._seen(trainer, batch_idx * len(batch["X"])),
            )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
    ) -> None:
        """Count the cells of a minibatch."""
        note = self._note or f"epoch {trainer.current_epoch + 1} of at most {trainer.max_epochs}"
        self._progress.reach(self._seen(trainer, (batch_idx + 1) * len(batch["X"])), note)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the loss."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._note = f"epoch {trainer.current_epoch + 1} of at most {trainer.max_epochs}"
        if "elbo_train" in metrics:
            self._note += f": loss {metrics['elbo_train']:.1f}"
        if "elbo_validation" in metrics:
            self._note += f", on monitored cells {metrics['elbo_validation']:.1f}"
        self._progress.reach(self._seen(trainer, self._n_cells), self._note)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the duration."""
        if self._progress:
            self._progress.end()

    def _seen(self, trainer: Trainer, in_epoch: int) -> int:
        # The last minibatch of an epoch may be smaller than the others, or left out.
        return trainer.current_epoch * self._n_cells + min(in_epoch, self._n_cells)
