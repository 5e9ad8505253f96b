"""Parts of a run: datasets and held-out cells, with numbers of cells and values."""

from dataclasses import dataclass, replace
from math import ceil

from ..artifacts.inspection import Inspection
from ..artifacts.labels import ReferenceLabels
from ..config.available_heads import TREES, affordable_heads, available_heads
from .memory import (
    CYTOVI_NEIGHBORS,
    calibration_cap,
    calibration_mb,
    classifier_mb,
    head_output_bytes,
    model_mb,
    sums_mb,
    training_cap,
)

VALUE_BYTES = 8
"""A stored value in memory: float32, and its gene as int32."""

MAX_LATENT = 20
"""Maximum dimensions of CytoVI's latent space by default."""


@dataclass(frozen=True)
class Part:
    """A set of cells: a dataset, or a held-out part of the reference."""

    name: str
    chunks: int
    cells: int
    values: int
    common_values: int


@dataclass(frozen=True)
class Run:
    """Properties of a run that determine its jobs.

    Attributes
    ----------
    config
        The configuration, with defaults.
    found
        Inspections by dataset.
    whole
        The datasets.
    mapped
        Mapped datasets, with their mapped cells.
    train, held_out
        The references' training cells, and their held-out parts; without cells if an earlier run trained the
        reference.
    n_labels, heads
        Number of labels, and classifiers.
    """

    config: dict
    found: dict[str, Inspection]
    whole: dict[str, Part]
    mapped: dict[str, Part]
    train: Part
    held_out: dict[str, Part]
    n_labels: int
    heads: list[str]

    @classmethod
    def of(cls, config: dict, inspected: list[Inspection], trained: ReferenceLabels | None) -> "Run":
        """See `expected_jobs`."""
        inspections = {dataset.dataset: dataset for dataset in inspected}
        n_selected = min(config["genes"]["n_variable"], min(dataset.genes for dataset in inspected))
        whole = {name: _whole(dataset, config, n_selected) for name, dataset in inspections.items()}
        references = [name for name in inspections if inspections[name].role == "reference"]
        mapped = {
            name: _labeled(whole[name], inspections[name], config)
            if inspections[name].role == "evaluate"
            else whole[name]
            for name in inspections
            if name not in references
        }
        if trained is None:
            everything = joined([whole[name] for name in references])
            most = config["reference"]["subsample"]
            if most is not None and everything.cells > most:
                everything = share_of(everything, "reference", most / everything.cells)
            n_labels = max(inspections[name].n_labels for name in references)
        else:
            n_labels = len(trained.hierarchy.leaves)
            n_cells = sum(trained.sizes[label] for label in trained.hierarchy.leaves)
            everything = Part("reference", 1, n_cells, 0, 0)
        held_out = {
            part: share_of(everything, part, config["split"][part]) for part in ("validation", "test")
        }
        train = share_of(everything, "reference", 1 - sum(config["split"][part] for part in held_out))
        heads = available_heads(
            config["prediction"]["heads"],
            scanvi_model=config["model"]["type"] == "scanvi",
            cytometry=config["modality"] == "cytometry",
            expression=not isinstance(config["pretrained"], dict),
        )
        n_labels = max(2, n_labels)
        heads = affordable_heads(heads, n_labels=n_labels)
        return cls(config, inspections, whole, mapped, train, held_out, n_labels, heads)

    @property
    def n_latent(self) -> int:
        """Dimensions of the latent space; their maximum if they depend on the markers."""
        configured = self.config["model"]["n_latent"]
        return MAX_LATENT if configured == "auto" else configured

    @property
    def model_mb(self) -> int:
        """MB of the model during training."""
        n_genes = min(dataset.genes for dataset in self.found.values())
        return model_mb(min(self.config["genes"]["n_variable"], n_genes), self.config["model"]["n_hidden"])

    @property
    def encoder_mb(self) -> float:
        """MB of the encoder's weights: half of the model's, without gradients and moments."""
        return self.model_mb / 8

    @property
    def neighbors(self) -> int:
        """Number of reference neighbors of a cell."""
        return max(self.config["prediction"]["neighbors"], CYTOVI_NEIGHBORS if "cytovi" in self.heads else 0)

    @property
    def n_markers(self) -> int:
        """Number of markers used by classifiers; 0 for genes."""
        if self.config["modality"] != "cytometry" or not {"expression", "expression_xgboost"} & {*self.heads}:
            return 0
        return min(dataset.genes for dataset in self.found.values())

    @property
    def training_cells(self) -> int:
        """Number of the classifiers' training cells."""
        most = self.config["prediction"]["max_training_cells"]
        cap = training_cap(n_labels=self.n_labels, max_training_cells=most, trees=self.grows_trees)
        return min(cap, self.train.cells)

    @property
    def grows_trees(self) -> bool:
        """True if a head of boosted trees is trained."""
        return not set(TREES).isdisjoint(self.heads)

    @property
    def classifier_mb(self) -> int:
        """MB of the trained classifiers."""
        return classifier_mb(self.training_cells, n_latent=self.n_latent)

    @property
    def sums_mb(self) -> int:
        """MB of sums of expression by label; 0 for a pre-trained model, without counts."""
        if isinstance(self.config["pretrained"], dict):
            return 0
        n_genes = min(dataset.genes for dataset in self.found.values())
        return sums_mb(n_labels=self.n_labels, n_genes=min(self.config["genes"]["n_variable"], n_genes))

    def calibration_mb(self, part: Part) -> int:
        """MB of the classifiers and their probabilities for a held-out part."""
        n_cells = min(calibration_cap(n_labels=self.n_labels), part.cells)
        return self.classifier_mb + calibration_mb(n_cells, n_labels=self.n_labels, n_heads=len(self.heads))

    def judged(self, part: Part) -> Part:
        """A part whose number of values corresponds to the memory of predicting its cells."""
        return _judged(
            part,
            n_labels=self.n_labels,
            n_heads=len(self.heads),
            n_latent=self.n_latent,
            neighbors=self.neighbors,
        )


def _whole(dataset: Inspection, config: dict, n_selected: int) -> Part:
    keys = config["datasets"][dataset.dataset]
    cells = dataset.cells_kept
    values = cells * dataset.values_per_cell
    # Variable genes have about twice their share of the stored values.
    common = values * min(1.0, 2 * n_selected / max(1, dataset.genes))
    return Part(dataset.dataset, keys["chunks"], cells, int(values), int(common))


def _labeled(part: Part, dataset: Inspection, config: dict) -> Part:
    """The scored cells of a dataset to evaluate."""
    labeled = part.cells - dataset.unlabeled_cells
    most = config["datasets"][part.name]["max_cells"]
    return share_of(part, part.name, min(labeled, labeled if most is None else most) / max(1, part.cells))


def joined(parts: list[Part]) -> Part:
    """Join several parts: the references together."""
    chunks, cells, values, common = (
        sum(getattr(part, name) for part in parts) for name in ("chunks", "cells", "values", "common_values")
    )
    return Part("reference", chunks, cells, values, common)


def _judged(part: Part, *, n_labels: int, n_heads: int, n_latent: int, neighbors: int) -> Part:
    """A part whose number of values corresponds to the heads' memory per cell."""
    a_cell = head_output_bytes(
        n_labels=n_labels,
        n_heads=n_heads,
        neighbors=neighbors,
        n_latent=n_latent,
        values=part.common_values / max(1, part.cells),
    )
    return replace(part, common_values=part.cells * a_cell // VALUE_BYTES)


def share_of(part: Part, name: str, share: float) -> Part:
    """Take a share of a part's cells, with fewer chunks accordingly."""
    return Part(
        name,
        ceil(part.chunks * share) if name in ("validation", "test") else part.chunks,
        round(part.cells * share),
        round(part.values * share),
        round(part.common_values * share),
    )
