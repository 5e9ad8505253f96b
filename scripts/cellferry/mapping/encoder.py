"""Posterior means of a trained model's encoder, on the stored values of sparse counts, without torch.

scvi-tools' `get_latent_representation` makes every cell dense, and its import takes longer than mapping most
datasets. An encoder is one sparse product over the cells' nonzero genes, and a few small dense layers.
"""

import shutil
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from ..artifacts.json_files import remedy
from ..core.atomic import complete
from ..core.problems import Problem
from ..core.reading import is_retryable
from ..errors import InputError
from ..resources.rules import MB
from ..runs.hashes import of_files
from .layers import activate

ENCODER = "encoder.npz"
"""File of the arrays, in the folder of a model."""

WEIGHTS = "weights.npz"
MODEL_FILES = ("model.pt", WEIGHTS)
"""Files of the model beside it: scvi-tools' own, or a packed reference's."""

CELLS_PER_MINIBATCH = 1024


@dataclass(frozen=True)
class Encoder:
    """The encoder of an SCVI, SCANVI or CYTOVI model.

    Each hidden layer is a product, the weights of the cell's batch, normalization over the layer if the model
    does so, and ReLU; the posterior mean is linear in the last one.

    Attributes
    ----------
    genes, batches
        The model's genes and batches, in the order of its codes.
    takes_log
        Whether the inputs are log1p of the counts, or the values unchanged.
    layer_norm
        Whether nodes are normalized over each hidden layer.
    weights
        By layer: genes × nodes, nodes × nodes, and nodes × latents; float32, rows contiguous.
    bias
        Of the posterior mean: latents, float32.
    by_batch
        By mapping, and by hidden layer: the term of a cell's batch, batches × nodes, float32. The first
        mapping is by the model fitted to a query; the second one by the reference's own model.
    """

    genes: list[str]
    batches: list[str]
    takes_log: bool
    layer_norm: bool
    weights: list[np.ndarray]
    bias: np.ndarray
    by_batch: list[list[np.ndarray]]

    @property
    def n_latent(self) -> int:
        """Dimensions of the latent space."""
        return len(self.bias)

    @property
    def held_mb(self) -> int:
        """MB of the arrays."""
        arrays = [*self.weights, *(layer for mapping in self.by_batch for layer in mapping)]
        return sum(array.nbytes for array in arrays) // MB

    @property
    def n_mappings(self) -> int:
        """Number of mappings."""
        return len(self.by_batch)

    def beside(self, reference: "Encoder") -> "Encoder":
        """An encoder fitted to a query, with a second mapping by the reference's encoder.

        There is no second mapping if new batches have the weights of `for_batches`.

        Raises
        ------
        ValueError
            If it was fitted from another encoder.
        """
        same = (np.array_equal(*both) for both in zip(self.weights, reference.weights, strict=True))
        if not all(same):
            raise ValueError("fitting has changed weights of the reference's encoder")
        unfitted = reference.for_batches(self.batches).by_batch[0]
        if all(np.allclose(*both, atol=1e-6) for both in zip(unfitted, self.by_batch[0], strict=True)):
            return self
        return replace(self, by_batch=[self.by_batch[0], unfitted])

    def for_batches(self, batches: list[str]) -> "Encoder":
        """An encoder for these batches; new ones get the mean weights of the encoder's batches.

        Their cells are mapped with an average batch.
        """
        place = {batch: row for row, batch in enumerate(self.batches)}

        def rows_of(layer: np.ndarray) -> np.ndarray:
            mean = layer.mean(axis=0, dtype=np.float64).astype(np.float32)
            return np.stack([layer[place[batch]] if batch in place else mean for batch in batches])

        by_batch = [[rows_of(layer) for layer in layers] for layers in self.by_batch]
        return replace(self, batches=list(batches), by_batch=by_batch)

    def latents(self, counts: sparse.csr_matrix, codes: np.ndarray, *, threads: int = 1) -> list[np.ndarray]:
        """Posterior means of cells.

        Parameters
        ----------
        counts
            Cells × genes, CSR float32; each cell's genes ascending.
        codes
            Each cell's batch: its place in `batches`.
        threads
            Minibatches that are worked on at once.

        Returns
        -------
        Cells × latents, float32, by mapping.
        """
        found = [np.empty((len(codes), self.n_latent), dtype=np.float32) for _ in self.by_batch]

        def work(start: int) -> None:
            rows = slice(start, start + CELLS_PER_MINIBATCH)
            for latents, part in zip(found, self._minibatch(counts[rows], codes[rows]), strict=True):
                latents[rows] = part

        # Each minibatch on one core: how a product is cut among several changes its rounding.
        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(0, len(codes), CELLS_PER_MINIBATCH)))
        return found

    def _minibatch(self, counts: sparse.csr_matrix, codes: np.ndarray) -> list[np.ndarray]:
        n_cells = len(codes)
        first, *others, last = self.weights
        values = np.log1p(counts.data) if self.takes_log else counts.data
        # Rounding of products depends on the number of rows. All minibatches have the same number, with empty
        # cells at the end of the last, so that latents do not depend on the blocks.
        summed = np.zeros((CELLS_PER_MINIBATCH, first.shape[1]), dtype=np.float32)
        summed[:n_cells] = sparse.csr_matrix((values, counts.indices, counts.indptr), counts.shape) @ first
        latents = []
        for of_first, *of_others in self.by_batch:
            hidden = self._activated(summed, of_first[codes])
            for weights, by_batch in zip(others, of_others, strict=True):
                hidden = self._activated(hidden @ weights, by_batch[codes])
            latents.append((hidden @ last + self.bias)[:n_cells])
        return latents

    def _activated(self, summed: np.ndarray, of_batches: np.ndarray) -> np.ndarray:
        nodes = summed.copy()
        nodes[: len(of_batches)] += of_batches
        activate(nodes, layer_norm=self.layer_norm)
        return nodes

    def save(self, folder: str | Path, name: str = ENCODER) -> None:
        """Write the arrays into the folder of their model, with the hash of its weights."""
        arrays = {f"weights_{layer}": each for layer, each in enumerate(self.weights)}
        for mapping, layers in enumerate(self.by_batch):
            arrays |= {f"by_batch_{mapping}_{layer}": each for layer, each in enumerate(layers)}
        np.savez(
            Path(folder, name),
            model=np.array(of_files(_model_in(folder))),
            genes=np.array(self.genes, dtype=np.str_),
            batches=np.array(self.batches, dtype=np.str_),
            takes_log=np.array(self.takes_log),
            layer_norm=np.array(self.layer_norm),
            bias=self.bias,
            **arrays,
        )

    @classmethod
    def load(cls, folder: str | Path, genes: Sequence[str]) -> "Encoder":
        """Read what `save` wrote, for counts of these genes.

        Raises
        ------
        InputError
            If the arrays are missing, damaged, or of another model or other genes.
        """
        path = Path(folder, ENCODER)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = dict(arrays)
            if str(found["model"]) != of_files(_model_in(folder)):
                raise ValueError(f"it was made from another {_model_in(folder).name}")
            if found["genes"].tolist() != list(genes):
                raise ValueError(f"it has {len(found['genes'])} genes, not the {len(genes)} of the counts")
            mappings = sum(name.startswith("by_batch_") and name.endswith("_0") for name in found)
            layers = sum(name.startswith("by_batch_0_") for name in found)
            return cls(
                genes=found["genes"].tolist(),
                batches=found["batches"].tolist(),
                takes_log=bool(found["takes_log"]),
                layer_norm=bool(found["layer_norm"]),
                weights=[found[f"weights_{layer}"] for layer in range(layers + 1)],
                bias=found["bias"],
                by_batch=[
                    [found[f"by_batch_{mapping}_{layer}"] for layer in range(layers)]
                    for mapping in range(mappings)
                ],
            )
        # Damage of a zip file shows in its checksums or headers, or in errors of zlib and numpy.
        except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
            if is_retryable(error):
                raise
            what = f"its {ENCODER} is not that of the {_model_in(folder).name} beside it ({error})"
            raise InputError(Problem(str(folder), what, remedy(Path(folder)))) from error


def copy_model(folder: str | Path, encoder: Encoder, batches: Iterable[str], target: str | Path) -> None:
    """Copy the folder of a model, with an encoder for further batches.

    Parameters
    ----------
    folder, encoder
        The folder, and the encoder in it.
    batches
        Batches to map; new ones get the mean weights of the encoder's batches.
    target
        Folder to write.
    """
    new = sorted(set(batches).difference(encoder.batches))
    print("the model is used unchanged")
    print(f"batches with the mean weights of the model's batches: {', '.join(new) or 'none'}")
    with complete(target) as path:
        shutil.copytree(folder, path)
        encoder.for_batches([*encoder.batches, *new]).save(path)


def _model_in(folder: str | Path) -> Path:
    """The file of the model in a folder."""
    files = [Path(folder, name) for name in MODEL_FILES]
    return next(filter(Path.exists, files), files[0])
