"""Settings of the rules: configuration keys that a rule depends on, with their types.

A job is repeated if one of its settings changes, so a class has only keys that its rules use. Defaults and
limits are in the schema only.

Imported by the Snakefile: standard library only.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """Names of labels, and their hierarchy.

    Parameters
    ----------
    rename
        Label by spelling, or a file of two columns.
    missing
        Names of missing labels.
    parents
        Coarser label by label, or a file of two columns.
    ontology
        Cell Ontology id by label or parent, or a file of two columns.
    is_a
        OBO file with the parents of labels with ids, or `shipped`; None: no parents from the ontology.
    """

    SECTION: ClassVar = "labels"

    rename: dict | str
    missing: list[str]
    parents: dict | str
    ontology: dict | str
    is_a: str | None


@dataclass(frozen=True, kw_only=True)
class PretrainedSettings:
    """A pre-trained model, and latents and labels of its training cells.

    Parameters
    ----------
    model
        Folder of the scvi-tools model.
    latents
        File of the cells: h5ad, or a table with one row per cell.
    label, batch
        Columns with the cells' labels and batches; without `batch`, all cells are one batch.
    key
        Name of the latents in obsm, or prefix of their columns; None: a usual name.
    scaling
        Cytometry: file of the values that were scaled to 0 and 1, or None.
    backbone
        Cytometry: markers of the encoder, if the model does not contain them.
    trust
        True if code in the model's file may be run.
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
    """Selection of the model's genes.

    Parameters
    ----------
    n_variable
        Number of variable genes.
    keep
        Ids or symbols of genes that are always kept.
    min_common
        Smallest share (0 to 1) of each query's genes that all datasets must have.
    sketch_cells
        Cells of the references used to select variable genes.
    """

    SECTION: ClassVar = "genes"

    n_variable: int
    keep: list[str]
    min_common: float
    sketch_cells: int


@dataclass(frozen=True, kw_only=True)
class MarkerSettings:
    """Selection and scaling of the model's markers.

    Parameters
    ----------
    min_common
        Smallest share (0 to 1) of each query's markers that all datasets must have.
    sketch_cells
        Cells of the references used to fit the scaling.
    """

    SECTION: ClassVar = "genes"

    min_common: float
    sketch_cells: int


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """Held-out reference cells.

    Parameters
    ----------
    by
        Whole batches (`batch`), a share of each label (`label`), or `auto`.
    validation, test
        Share (above 0, at most 0.4) of the cells in each part.
    min_cells_per_label
        Labels with fewer cells train the model, but are not predicted.
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
        Dimensions of the latent space; `auto` in cytometry only.
    n_layers, n_hidden
        Hidden layers of encoder and decoder, and nodes in each.
    dropout_rate
        Share (0 to 1) of nodes dropped in training.
    gene_likelihood
        Distribution of the counts: `nb`, `zinb` or `poisson`.
    epochs
        Maximum number of passes over the reference, or `auto`.
    batch_size
        Cells per minibatch.
    learning_rate
        Step size of the optimizer.
    early_stopping, patience
        Stop training if the loss does not improve, and after how many epochs.
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
    """Fit of the reference's model to the batches of a query.

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
    """Training of the classifiers.

    Parameters
    ----------
    heads
        Names of the classifiers.
    max_training_cells
        Maximum number of training cells.
    neighbors
        Neighbors that vote on a cell's label.
    n_trees, max_depth
        Maximum number of XGBoost's boosting rounds, and maximum depth of its trees.
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
        Share (0 to 1) of held-out cells at least as unlike the reference.
    min_counts, min_genes
        Counts in the model's genes, and number of these genes with counts; `auto`: by held-out cells.
    """

    SECTION: ClassVar = "prediction"

    min_p: float
    min_counts: float | str
    min_genes: int | str


def settings_of(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """Values of a class's keys, for a rule's param with the section's name.

    Parameters
    ----------
    kind
        A class of this module.
    config
        The configuration with defaults.

    Raises
    ------
    KeyError
        If the section has no such key.
    """
    return {field.name: config[kind.SECTION][field.name] for field in fields(kind)}
