"""The shuffled store on disk that the reference model trains from (annbatch's layout, zarr v3)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
import zarr
from annbatch import DatasetCollection, Loader
from annbatch.samplers import RandomSampler, SequentialSampler
from annbatch.types import LoadRequest
from lightning import LightningDataModule

from ..resources.memory import PRELOADED_MINIBATCHES

MINIBATCHES_PER_PIECE = 4
"""Minibatches read as one piece of a large store: single ones take half as long again."""


class ResumableSampler(RandomSampler):
    """Draw minibatches in another order in each pass; a later process can resume the order."""

    _before: dict[str, Any]
    _skipped = 0

    def state(self, done: int) -> dict[str, Any]:
        """The state after `done` minibatches of a pass; 0 between two passes."""
        return {"generator": self._before if done else self.rng.bit_generator.state, "done": done}

    def resume(self, state: dict[str, Any]) -> None:
        """Begin the next pass in a state."""
        self.rng.bit_generator.state = state["generator"]
        self._skipped = state["done"]

    def _sample(self, n_obs: int) -> Iterator[LoadRequest]:
        """The minibatches of a pass, in pieces to read, without those of an earlier process."""
        self._before = self.rng.bit_generator.state
        skipped, self._skipped = self._skipped, 0
        for piece in super()._sample(n_obs):
            minibatches = piece["splits"]
            if skipped < len(minibatches):
                yield {**piece, "splits": minibatches[skipped:]}
            skipped = max(0, skipped - len(minibatches))


class StoreDataModule(LightningDataModule):
    """Minibatches of a shuffled store, for scvi-tools' modules.

    Parameters
    ----------
    store
        Folder that `shuffle_reference` wrote.
    batch_size
        Cells per minibatch.
    monitored_share
        Share of the cells that are left out of training to monitor the loss. The store is shuffled, so
        its first cells are used.
    batch_mapping, label_mapping
        The model's code for each code of the store.
    measured
        CytoVI: mask of the markers measured in each of the store's batches, batches × markers.
    seed
        Seed of the order of the minibatches.
    """

    def __init__(
        self,
        store: str | Path,
        *,
        batch_size: int,
        monitored_share: float,
        batch_mapping: np.ndarray,
        label_mapping: np.ndarray,
        measured: np.ndarray | None = None,
        seed: int,
    ) -> None:
        super().__init__()
        groups = list(DatasetCollection(zarr.open_group(store, mode="r")))
        self._counts = [ad.io.sparse_dataset(group["X"]) for group in groups]  # on disk
        self._codes = [
            pd.DataFrame({code: group["obs"][code][:] for code in ("batch_code", "label_code")})
            for group in groups
        ]
        self.batch_size = batch_size
        self._batch_mapping = batch_mapping.astype(np.int64)
        self._label_mapping = label_mapping.astype(np.int64)
        self._measured = measured
        self.n_obs = int(zarr.open_group(store, mode="r").attrs["n_cells"])
        self.n_val = round(monitored_share * self.n_obs)
        self.n_train = self.n_obs - self.n_val
        read_whole = self.n_train <= PRELOADED_MINIBATCHES * batch_size
        self._minibatches_per_piece = 1 if read_whole else MINIBATCHES_PER_PIECE
        self._training_sampler = ResumableSampler(
            **self._pieces(), mask=slice(self.n_val, self.n_obs), rng=np.random.default_rng(seed)
        )

    def _pieces(self) -> dict[str, int]:
        return {
            "chunk_size": self._minibatches_per_piece * self.batch_size,
            "preload_nchunks": PRELOADED_MINIBATCHES // self._minibatches_per_piece,
            "batch_size": self.batch_size,
        }

    def cells_by_label(self, n_labels: int) -> np.ndarray:
        """Number of cells by the model's code of their label; negative codes are left out."""
        codes = np.concatenate([self._label_mapping[codes["label_code"]] for codes in self._codes])
        return np.bincount(codes[codes >= 0], minlength=n_labels)

    def state_dict(self) -> dict[str, Any]:
        """Position of a training in its pass over the cells, for Lightning's state."""
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed
        return self._training_sampler.state(done % self._training_sampler.n_batches(self.n_obs))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position in the pass over the cells."""
        self._training_sampler.resume(state_dict)

    def _loader(self, sampler: RandomSampler | SequentialSampler) -> Loader:
        loader = Loader(batch_sampler=sampler, preload_to_gpu=False)
        return loader.add_datasets(self._counts, self._codes)

    def train_dataloader(self) -> Loader:
        """Minibatches of all cells but the monitored ones, in a new order each epoch."""
        return self._loader(self._training_sampler)

    def val_dataloader(self) -> Loader | list:
        """Minibatches of the monitored cells."""
        if self.n_val == 0:
            return []
        return self._loader(SequentialSampler(**self._pieces(), mask=slice(0, self.n_val)))

    def on_before_batch_transfer(self, batch: dict, dataloader_idx: int) -> dict[str, torch.Tensor | None]:
        """Turn annbatch's minibatch (CSR and codes) into dense tensors; dense only for one minibatch."""
        codes = batch["obs"]
        cells = {
            "X": torch.from_numpy(batch["X"].toarray().astype(np.float32, copy=False)),
            "batch": torch.from_numpy(self._batch_mapping[codes["batch_code"]]).unsqueeze(1),
            "labels": torch.from_numpy(self._label_mapping[codes["label_code"]]).unsqueeze(1),
            "extra_categorical_covs": None,
            "extra_continuous_covs": None,
        }
        if self._measured is not None:
            cells["nan_layer"] = torch.from_numpy(self._measured[codes["batch_code"]])
        return cells
