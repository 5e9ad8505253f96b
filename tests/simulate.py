"""Small simulated cells with known labels, and the files of the chain made from them."""

import csv
import zlib
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.inspection import InspectedChannel, Inspection
from cellferry.config.schema import fill_defaults, load_schema
from cellferry.config.settings import LabelSettings, settings_of
from cellferry.cytometry.channels import channel_kind
from cellferry.cytometry.fcs_writer import Channel, FcsWriter
from cellferry.cytometry.marker_names import CHANNEL, KIND, MARKER, marker_key, marker_name
from cellferry.cytometry.value_kind import ValueKind
from cellferry.labels.names import LabelNames
from example_artifacts import inspection_of
from scipy import sparse


def simulate_cells(
    n_cells: int = 300,
    *,
    n_genes: int = 200,
    labels: tuple[str, ...] = ("T cell", "B cell", "NK"),
    batches: tuple[str, ...] = ("a",),
    shift: float = 0.0,
    seed: int = 0,
) -> ad.AnnData:
    """Counts of cells with well-separated labels.

    Every label has 10 % of the genes ten times as high as elsewhere; every batch scales
    genes at random by up to `shift` (log scale). `obs` holds `cell_type` and `sample`.
    """
    structure = np.random.default_rng(1234)  # the same biology, whatever the seed
    base = structure.gamma(1.0, 1.0, n_genes)
    profiles = np.tile(base, (len(labels), 1))
    for number, markers in enumerate(np.array_split(structure.permutation(n_genes), 10)[: len(labels)]):
        profiles[number, markers] = 10 * base.mean()
    rng = np.random.default_rng(seed)
    label = np.arange(n_cells) % len(labels)
    batch = rng.integers(0, len(batches), n_cells)
    scale = np.exp(rng.normal(0, shift, (len(batches), n_genes)))
    rate = profiles[label] * scale[batch] * rng.lognormal(0, 0.3, (n_cells, 1))
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.array(labels)[label], categories=labels),
            "sample": pd.Categorical(np.array(batches)[batch], categories=batches),
        },
        index=[f"cell{seed}_{number}" for number in range(n_cells)],
    )
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(n_genes)])
    return ad.AnnData(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs, var=var)


PANEL = ("CD3", "CD19", "CD56", "CD4", "CD8", "HLA-DR", "CD45RA", "CD14", "CD11c", "CD16")


def simulate_events(
    n_events: int = 300,
    *,
    panel: tuple[str, ...] = PANEL,
    labels: tuple[str, ...] = ("T cell", "B cell", "NK"),
    batches: tuple[str, ...] = ("a",),
    shift: float = 0.0,
    cofactor: float = 5.0,
    seed: int = 0,
) -> ad.AnnData:
    """Intensities of cytometry as in a merged file, with well-separated labels.

    Events are normally distributed after arcsinh(value / `cofactor`): around 4 for a label's markers (values
    are lognormal), around 0 for others (values are often negative). Every batch shifts markers by up to
    `shift`. A marker's values depend on its name, not on the panel. Time is before the markers, DNA1 behind
    them.
    """
    rng = np.random.default_rng(seed)
    label = np.arange(n_events) % len(labels)
    batch = rng.integers(0, len(batches), n_events)
    place = np.array([zlib.crc32(marker_key(marker).encode()) for marker in panel])
    means = 4.0 * (np.arange(len(labels))[:, None] == place % len(labels))
    shifts = rng.normal(0, shift, (len(batches), len(panel)))
    transformed = means[label] + shifts[batch] + rng.normal(0, 0.4, (n_events, len(panel)))
    time = np.sort(rng.uniform(0, 1e5, n_events))
    dna = rng.lognormal(6, 0.2, n_events)
    values = np.column_stack([time, cofactor * np.sinh(transformed), dna]).astype(np.float32)
    channels = ["Time", *panel, "DNA1"]
    kinds = [channel_kind(channel) for channel in channels]
    var = pd.DataFrame({KIND: kinds, CHANNEL: channels}, index=list(map(marker_name, channels)))
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.array(labels)[label], categories=labels),
            "sample": pd.Categorical(np.array(batches)[batch], categories=batches),
        },
        index=[f"event{number}" for number in range(1, n_events + 1)],
    )
    return ad.AnnData(sparse.csr_matrix(values), obs=obs, var=var)


def describe_events(
    events: ad.AnnData, dataset: str, *, role: str = "query", **intensities: str
) -> Inspection:
    """Inspection of simulated events, as `inspect_dataset` makes it."""
    channels = [InspectedChannel(name, row[KIND], row[CHANNEL]) for name, row in events.var.iterrows()]
    kind = {"values": "raw", "technology": "mass", "why": "simulated"} | intensities
    return inspection_of(dataset, role, channels=channels, intensities=ValueKind(**kind))


def write_samples(folder: Path, events: ad.AnnData) -> None:
    """Write simulated events as an FCS file per sample, and a table with a label per line beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in events.obs["sample"].cat.categories:
        own = events[events.obs["sample"] == sample]
        channels = [
            Channel(f"D{n}", name) if channel_kind(name) == MARKER else Channel(name)
            for n, name in enumerate(events.var[CHANNEL])
        ]
        with FcsWriter(folder / f"{sample}.fcs", channels, {}) as writer:
            writer.append(own.X.toarray())
        with open(folder / f"{sample}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["population"], *([label] for label in own.obs["cell_type"])])


def write_cells(path: Path, cells: ad.AnnData, dataset: str, *, chunks: int = 1) -> None:
    """Write one file as `convert_to_chunks` does."""
    with H5adWriter(path, cells.var) as writer:
        obs = {
            "batch": np.array([f"{dataset}/{sample}" for sample in cells.obs["sample"]], dtype=object),
            "label": cells.obs["cell_type"].astype(object).to_numpy(),
        }
        writer.append(cells.X.copy(), cells.obs_names.to_numpy(dtype=object), obs)
        writer.write_uns(
            dataset=dataset,
            chunks=chunks,
            cells=cells.n_obs,
            nonzeros=cells.X.nnz,
            total_counts=float(cells.X.sum()),
            gene_totals=np.asarray(cells.X.sum(axis=0), dtype=np.float64).ravel(),
        )


def write_chunks(folder: Path, cells: ad.AnnData, *, chunks: int) -> None:
    """Write a chunk folder as `convert_to_chunks` does; its name is the dataset's."""
    folder.mkdir(parents=True)
    for chunk in range(chunks):
        first, last = (number * cells.n_obs // chunks for number in (chunk, chunk + 1))
        write_cells(folder / f"{chunk}.h5ad", cells[first:last].copy(), folder.name, chunks=chunks)


DATASET_DEFAULTS = {
    key: value["default"]
    for key, value in load_schema()["$defs"]["dataset"]["properties"].items()
    if "default" in value
} | {"chunks": 25}
"""Keys of a dataset that have a default; `auto` takes a number of chunks that follows from the files."""


def settings_like[Settings](kind: type[Settings], **given) -> Settings:
    """Settings of a class of cellferry.config.settings; keys have their defaults unless given."""
    config = {"datasets": {}, kind.SECTION: dict(given)}
    fill_defaults(config)
    return kind(**settings_of(kind, config) | given)


def label_names(**given) -> LabelNames:
    """Settings of labels; keys of `labels` have their defaults unless given."""
    settings = settings_like(LabelSettings, **given)
    return LabelNames(settings.rename, settings.missing)


def simulate_probabilities(
    n_cells: int, *, n_labels: int, spread: float = 2.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities (cells × labels, float32), and labels drawn by them (codes).

    `spread` is the deviation of the logits: larger ones give higher probabilities.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n_cells, n_labels))
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    drawn = probabilities.cumsum(axis=1) > rng.random((n_cells, 1))
    return probabilities.astype(np.float32), drawn.argmax(axis=1)
