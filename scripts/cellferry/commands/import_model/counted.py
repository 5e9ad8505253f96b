"""Cells beside a model with counts but without latents, which the model computes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...artifacts.latents import LATENT
from ...core.atomic import complete
from ...core.progress import Progress
from ...errors import InputError
from ...features.gene_ids import strip_version
from ...features.gene_selection import GeneSelection
from ...formats import Block, Header, Options, blocks, cells, header
from ...formats.hdf5 import open_hdf5
from ...formats.interface import Cells
from ...labels.names import as_labels
from ...mapping.encoder import ENCODER, Encoder
from ...model.registered import Registered
from ...resources.budget import Budget
from ...resources.memory import MEMORY_MODELS

MINIFIED = "uns/_scvi_adata_minify_type"
WITHOUT_COUNTS = "latent_posterior_parameters"
"""Value of scvi-tools' mark on minified cells that have no counts."""


class CountedCells:
    """An h5ad file with counts of a model's genes.

    Attributes
    ----------
    columns
        Columns of its annotation.
    """

    def __init__(self, path: Path, place: str) -> None:
        self._header = header(path, Options(dataset="cells", counts=place), "h5ad")
        self.columns = self._header.obs_columns

    @property
    def opened(self) -> Header:
        """The file's header."""
        return self._header

    @property
    def genes(self) -> list[str]:
        """Names of its genes, without the versions of Ensembl ids."""
        return list(map(strip_version, self._header.var.index))

    def blocks(self, wanted: list[str]) -> Iterator[Cells]:
        """All cells with these columns of annotation."""
        yield from cells(self._header, wanted)


def place_of_counts(path: Path, model: Registered) -> str | None:
    """Place of counts of all genes of a model, as a value of `counts`; None without one.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if model.modality != "rna" or not h5py.is_hdf5(path):
        return None
    place = f"layers/{model.layer}" if model.layer else "X"
    with open_hdf5(path) as file:
        minified = file.get(MINIFIED)
        if place not in file or (minified is not None and minified[()] == WITHOUT_COUNTS.encode()):
            return None
    return place if set(model.genes) <= set(CountedCells(path, place).genes) else None


def gene_annotation(path: Path, model: Registered) -> pd.DataFrame | None:
    """Names and columns of a file's genes, if it has all genes of a model."""
    if model.modality != "rna" or not h5py.is_hdf5(path):
        return None
    var = header(path, Options(dataset="cells"), "h5ad").var
    return var if set(model.genes) <= set(map(strip_version, var.index)) else None


def map_cells(
    path: Path,
    place: str,
    model: Path,
    target: Path,
    *,
    label: str,
    batch: str | None,
    model_batch: str | None,
    budget: Budget,
    threads: int,
) -> None:
    """Compute a model's latents of cells, and write them with `label` and `batch` as parquet.

    Parameters
    ----------
    path, place
        h5ad file, and the place of the counts in it.
    model
        Folder of the model, as `import_reference` writes it.
    target
        File to write.
    label, batch, model_batch
        Columns of obs; the last has the model's batches, if the model has a batch column.
    budget, threads
        Memory and cores of the job.

    Raises
    ------
    InputError
        If counts are missing, values are unsuitable, or batches are not those of the model.
    """
    counted = CountedCells(path, place)
    with np.load(Path(model, ENCODER), allow_pickle=False) as arrays:
        encoder = Encoder.load(model, arrays["genes"].tolist())
    selection = GeneSelection(np.array(counted.genes, dtype=object), encoder.genes)
    max_bytes = budget.block_bytes(MEMORY_MODELS["convert_to_chunks"], more_mb=encoder.held_mb)
    names = ["cell", "label", *(["batch"] if batch else [])]
    schema = pa.schema(
        [
            *(pa.field(name, pa.string()) for name in names),
            *(pa.field(f"{LATENT}_{number}", pa.float32()) for number in range(encoder.n_latent)),
        ]
    )
    progress, empty = Progress("mapped", counted.opened.n_cells), True
    takes_batch = _takes_batch(encoder)
    if takes_batch and model_batch not in counted.columns:
        raise InputError(
            f"{path}: has no column '{model_batch}', the batches for the model's encoder; add it, or give "
            "LATENTS=, a file with the cells' latents"
        )
    written = [label, *([batch] if batch else [])]
    columns = list(dict.fromkeys(filter(None, [*written, model_batch if takes_batch else None])))
    with (
        complete(target) as temporary,
        pq.ParquetWriter(temporary, schema) as writer,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for block in blocks(counted.opened, columns, max_bytes, scratch):
            _check_values(block, path, place)
            empty &= not block.counts.data.any()
            codes = np.zeros(len(block), dtype=np.int64)
            if takes_batch:
                codes = _codes(block, model_batch, encoder.batches, path)
            (latents,) = encoder.latents(selection(block.counts), codes, threads=threads)
            annotation = [as_labels(block.obs[column]) for column in written]
            writer.write_table(pa.table([block.names, *annotation, *latents.T], schema=schema))
            progress.add(len(block))
        if empty:
            raise InputError(
                f"{path}: {place} contains only zeros; give LATENTS=, a file with the cells' latents"
            )


def _check_values(block: Block, path: Path, place: str) -> None:
    values = block.counts.data
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InputError(
            f"{path}: {place}, by its name the model's training data, has negative or missing values; "
            "give LATENTS=, a file with the cells' latents"
        )


def _takes_batch(encoder: Encoder) -> bool:
    """True if the encoder depends on a cell's batch."""
    return any((layer != layer[0]).any() for layers in encoder.by_batch for layer in layers)


def _codes(block: Block, column: str, known: list[str], path: Path) -> np.ndarray:
    """Each cell's batch as the model's code."""
    place = {name: code for code, name in enumerate(known)}
    of_cells = as_labels(block.obs[column])
    codes = np.array([place.get(name, -1) for name in of_cells], dtype=np.int64)
    if (codes < 0).any():
        first = int(np.argmin(codes))
        raise InputError(
            f"{path}: the cell {block.names[first]} has '{of_cells[first]}' in the column '{column}', which "
            "is not a batch of the model; give LATENTS=, a file with the cells' latents"
        )
    return codes
