"""Small mapped cells: corners of the latent space, counts or marker values; written as the rules do."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.config.settings import ClassifierSettings
from cellferry.heads.registry import HEADS
from cellferry.heads.scanvi import ScanviHead
from cellferry.heads.training import TrainingFiles
from cellferry.resources.budget import Budget
from example_artifacts import write_reference_labels
from scipy import sparse
from simulate import settings_like
from train_classifier import train_classifier

LABELS = ["B, naive", "NK/ILC", "γδ T"]
"""Sorted; every label has a corner of the latent space and ten of the genes."""

LEVELS = {"lineage": dict(zip(LABELS, ["B", "T/NK", "T/NK"], strict=True))}

N_LATENT = 5
N_GENES = 40
TELLTALE = 30
"""A marker outside of the backbone that alone distinguishes all labels."""


def latents_at(places: list[float | int], *, spread: float = 0.0, seed: int = 0) -> np.ndarray:
    """Latents (float32) of cells around the corners of labels; a place between two of them is mixed."""
    places = np.asarray(places, dtype=float)
    corners = 4 * np.eye(N_LATENT)
    lower = np.floor(places).astype(int)
    share = (places - lower)[:, None]
    exact = (1 - share) * corners[lower] + share * corners[np.minimum(lower + 1, N_LATENT - 1)]
    noise = np.random.default_rng(seed).normal(0, 1, exact.shape)
    return (exact + spread * noise).astype(np.float32)


def counts_at(places: list[float | int], *, depth: float = 1.0, seed: int = 0) -> sparse.csr_matrix:
    """Counts of 40 genes; a place is a label's number, or between two, with the genes of both."""
    rates = np.full((len(places), N_GENES), 0.3)
    for cell, place in enumerate(places):
        for label in {int(np.floor(place)), int(np.ceil(place))}:
            rates[cell, 10 * label : 10 * label + 10] = 3
    return sparse.csr_matrix(np.random.default_rng(seed).poisson(depth * rates).astype(np.float32))


def values_at(places: list[float | int], *, spread: float = 0.1, seed: int = 0) -> sparse.csr_matrix:
    """Values of 40 markers, all stored, ten per label; `TELLTALE` is exact."""
    levels = np.full((len(places), N_GENES), 0.2)
    for cell, place in enumerate(places):
        for label in {int(np.floor(place)), int(np.ceil(place))}:
            levels[cell, 10 * label : 10 * label + 10] = 0.7
    values = levels + np.random.default_rng(seed).normal(0, spread, levels.shape)
    values[:, TELLTALE] = np.asarray(places) / 4
    return stored(values)


def stored(values: np.ndarray) -> sparse.csr_matrix:
    """An array as CSR (float32) that stores every value, including zeros."""
    n_cells, n_markers = values.shape
    indices = np.tile(np.arange(n_markers, dtype=np.int32), n_cells)
    indptr = n_markers * np.arange(n_cells + 1, dtype=np.int32)
    return sparse.csr_matrix((values.astype(np.float32).ravel(), indices, indptr), shape=values.shape)


def write_mapped(
    path: Path,
    latents: np.ndarray,
    labels: list[str | None],
    batches: list[str],
    *,
    first: int = 0,
    unfitted: np.ndarray | None = None,
) -> str:
    """A file of mapped cells, as map_query writes it; `unfitted` are latents without fitting."""
    n_cells = len(latents)
    columns = {
        "cell": pa.array([f"cell{first + row}" for row in range(n_cells)], pa.string()),
        "batch": pa.array(batches, pa.string()),
        "label": pa.array(labels, pa.string()),
    }
    columns |= {f"latent_{number}": latents[:, number] for number in range(N_LATENT)}
    if unfitted is not None:
        columns |= {f"unfitted_{number}": unfitted[:, number] for number in range(N_LATENT)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def write_expression(
    path: Path, expression: sparse.csr_matrix, *, markers: bool, labels: list[str] | None = None
) -> str:
    """Counts or marker values of a part, as the subset rules write them; obs has at most `labels`."""
    names = np.array([f"cell{row}" for row in range(expression.shape[0])], dtype=object)
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(N_GENES)])
    if markers:
        var = var.assign(measured=True, backbone=np.arange(N_GENES) != TELLTALE)
    with H5adWriter(path, var) as writer:
        writer.append(expression, names, {"label": np.array(labels, dtype=object)} if labels else {})
        if markers:
            writer.write_uns(values="intensities")
    return str(path)


def write_part(
    folder: Path,
    places: list[float | int],
    *,
    labels: list[str | None] | None = None,
    batches: tuple[str, ...] = ("a", "b"),
    chunks: int = 1,
    spread: float = 0.5,
    depth: float = 1.0,
    markers: bool = False,
    unfitted: list[float | int] | None = None,
    seed: int = 0,
) -> SimpleNamespace:
    """A part's mapped chunks and its expression.

    Parameters
    ----------
    folder
        Where to write.
    places
        Place of each cell: the number of its label in `LABELS`, or a number between two.
    labels
        Labels of the cells; by default from their places.
    batches
        The cells' batches, in turn.
    chunks
        Number of files of mapped cells.
    spread, depth, seed
        Deviation of the latents, depth of the counts, seed of both.
    markers
        True for marker values instead of counts.
    unfitted
        Places of the cells without fitting; None for a part that is mapped once.
    """
    n_cells = len(places)
    if labels is None:
        labels = [LABELS[round(place)] if place <= len(LABELS) - 1 else None for place in places]
    latents = latents_at(places, spread=spread, seed=seed)
    second = None if unfitted is None else latents_at(unfitted, spread=spread, seed=seed)
    in_turn = [batches[row % len(batches)] for row in range(n_cells)]
    mapped = []
    for chunk in range(chunks):
        first, last = (number * n_cells // chunks for number in (chunk, chunk + 1))
        cells = slice(first, last)
        path = folder / f"{chunk}.parquet"
        others = None if second is None else second[cells]
        mapped.append(
            write_mapped(path, latents[cells], labels[cells], in_turn[cells], first=first, unfitted=others)
        )
    expression = values_at(places, seed=seed) if markers else counts_at(places, depth=depth, seed=seed)
    common = write_expression(folder / "common.h5ad", expression, markers=markers)
    return SimpleNamespace(mapped=mapped, common=common, labels=labels, places=places)


def train_heads(
    folder: Path,
    places: list[float | int],
    *,
    heads: tuple[str, ...] = tuple(HEADS),
    levels: dict[str, dict[str, str]] = LEVELS,
    ontology: dict[str, str] | None = None,
    model: ScanviHead | None = None,
    counts: bool = True,
    markers: bool = False,
    rare: dict[str, int] | None = None,
    **how,
) -> SimpleNamespace:
    """Train classifiers on simulated cells into the folder `classifier`.

    Files for later rules are beside it: `train`, `model`, `genes.tsv`.

    Parameters
    ----------
    folder, places, how
        See `write_part`.
    heads
        As in the configuration.
    levels, ontology
        Levels above the labels, ids of labels and nodes.
    model
        The classifier of a scANVI model.
    counts
        True if the cells have counts.
    markers
        True if they have marker values instead.
    rare
        Place by name of rare labels with four cells; their file is empty by default.
    """
    # One donor: with several, each would be left out once.
    train = write_part(folder / "train", places, markers=markers, **{"batches": ("a",)} | how)
    (folder / "model").mkdir()
    if model:
        model.save(folder / "model")
    (folder / "genes.tsv").write_text("gene\n")
    few = [name for name in rare or {} for _ in range(4)]
    few_counts = counts_at([rare[name] for name in few], seed=11)
    of_rare = write_expression(folder / "rare.h5ad", few_counts, markers=False, labels=few)
    known = {name: {**above, **dict.fromkeys(rare or {}, "other")} for name, above in levels.items()}
    labels = write_reference_labels(
        folder / "labels.json", LABELS, known, ontology=ontology, rare=tuple(rare or {})
    )
    nothing = write_part(folder / "nothing", [], markers=markers)
    settings = settings_like(
        ClassifierSettings, heads=list(heads), n_trees=30, max_depth=4, learning_rate=0.2
    )
    train_classifier(
        TrainingFiles(
            train.mapped,
            nothing.mapped,
            str(folder / "model"),
            common=train.common if counts else None,
            validation_common=nothing.common if counts else None,
            rare=of_rare if counts else None,
        ),
        labels,
        str(folder / "classifier"),
        settings=settings,
        modality="cytometry" if markers else "rna",
        seed=0,
        budget=Budget(4000),
        threads=1,
    )
    return train
