"""Settings of the rules: keys of a section of the configuration that a rule depends on, with their types.

A job is repeated if one of its settings has another value, so a class holds only keys that its rules use.
Defaults and limits are in the schema alone.

Imported by the Snakefile: standard library only.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """Names of labels, and what is above them.

    Parameters
    ----------
    rename
        Label of each spelling, or a file of two columns.
    missing
        Labels that count as no label.
    parents
        Coarser label of each label, or a file of two columns.
    ontology
        Cell Ontology id of each label or parent, or a file of two columns.
    is_a
        OBO file that gives labels with ids their parents, or `shipped`; None: no parents by the ontology.
    """

    SECTION: ClassVar = "labels"

    rename: dict | str
    missing: list[str]
    parents: dict | str
    ontology: dict | str
    is_a: str | None


@dataclass(frozen=True, kw_only=True)
class PretrainedSettings:
    """A pre-trained model, and the latents and labels of the cells that it was trained on.

    Parameters
    ----------
    model
        Folder of the scvi-tools model.
    latents
        File of the cells: h5ad, or a table with a row per cell.
    label, batch
        Columns with the cells' labels and batches; without `batch` all are one.
    key
        Name of the latents in obsm, or the beginning of their columns' names; None: a usual one.
    scaling
        In cytometry: file of the values that became 0 and 1, or None.
    backbone
        In cytometry: the markers that the encoder sees, where the model does not hold them.
    trust
        Whether code in the model's file may be run.
    """

    SECTION: ClassVar = "pretrained"

    model: str
    latents: str
    label: str
    batch: str | None
    key: str | None
    scaling: str | None
    backbone: list[str] | None
    trust: bool


@dataclass(frozen=True, kw_only=True)
class GeneSettings:
    """How the genes of the model are chosen.

    Parameters
    ----------
    n_variable
        Number of variable genes.
    keep
        Ids or symbols of genes that are kept whether variable or not.
    min_common
        Smallest share (0 to 1) of each query's genes that all datasets must have.
    sketch_cells
        Cells of the references on which variable genes are chosen.
    """

    SECTION: ClassVar = "genes"

    n_variable: int
    keep: list[str]
    min_common: float
    sketch_cells: int


@dataclass(frozen=True, kw_only=True)
class MarkerSettings:
    """How the markers of the model are chosen, and their scaling is learned.

    Parameters
    ----------
    min_common
        Smallest share (0 to 1) of each query's markers that all datasets must have.
    sketch_cells
        Cells of the references on which scaling is learned.
    """

    SECTION: ClassVar = "genes"

    min_common: float
    sketch_cells: int


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """Which reference cells are held out.

    Parameters
    ----------
    by
        Whole batches (`batch`), a share of each label (`label`), or `auto`.
    validation, test
        Share (above 0, at most 0.4) of the cells in each part.
    min_cells_per_label
        Labels with fewer cells are seen, and not predicted.
    """

    SECTION: ClassVar = "split"

    by: str
    validation: float
    test: float
    min_cells_per_label: int


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The reference model and its training.

    Parameters
    ----------
    type
        `scvi`, `scanvi` or `cytovi`.
    n_latent
        Dimensions of the latent space; `auto` in cytometry alone.
    n_layers, n_hidden
        Hidden layers of encoder and decoder, and nodes in each.
    dropout_rate
        Share (0 to 1) of nodes that are dropped in training.
    gene_likelihood
        Distribution of the counts: `nb`, `zinb` or `poisson`.
    epochs
        Passes over the reference at most, or `auto`.
    batch_size
        Cells per minibatch.
    learning_rate
        Step size of the optimizer.
    early_stopping, patience
        Whether training stops when the loss has not improved, and after how many epochs.
    scanvi_epochs
        Epochs of the scANVI refinement, or `auto`.
    """

    SECTION: ClassVar = "model"

    type: str
    n_latent: int | str
    n_layers: int
    n_hidden: int
    dropout_rate: float
    gene_likelihood: str
    epochs: int | str
    batch_size: int
    learning_rate: float
    early_stopping: bool
    patience: int
    scanvi_epochs: int | str


@dataclass(frozen=True, kw_only=True)
class SurgerySettings:
    """How the reference's model is fitted to the batches of a query.

    Parameters
    ----------
    epochs
        Passes over the sketch, or `auto`.
    sketch_cells
        Cells of the query that the model is fitted to.
    """

    SECTION: ClassVar = "surgery"

    epochs: int | str
    sketch_cells: int


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """How the classifiers are trained.

    Parameters
    ----------
    heads
        Names of the classifiers.
    max_training_cells
        Reference cells to train on at most.
    neighbors
        Neighbors that vote on a cell's label.
    n_trees, max_depth
        Boosting rounds of XGBoost at most, and the depth of its trees at most.
    learning_rate
        XGBoost's step size (eta).
    """

    SECTION: ClassVar = "prediction"

    heads: list[str]
    max_training_cells: int
    neighbors: int
    n_trees: int
    max_depth: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """Limits below which a cell gets no label.

    Parameters
    ----------
    min_p
        Share (0 to 1) of held-out cells that are as unlike the reference.
    min_counts, min_genes
        Counts of the model's genes, and how many of these have one; `auto` as held-out cells show.
    """

    SECTION: ClassVar = "prediction"

    min_p: float
    min_counts: float | str
    min_genes: int | str


def settings_of(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """Values of a class's keys, as a rule's param, which is called like their section.

    Parameters
    ----------
    kind
        A class of this module.
    config
        The configuration, with defaults.

    Raises
    ------
    KeyError
        If the section has no such key.
    """
    return {field.name: config[kind.SECTION][field.name] for field in fields(kind)}
