"""Labels of a reference, written by split_reference, and of its classifiers, by train_classifier.

`results/reference/labels.json` and `results/reference/classifier/labels.json`.
"""

from dataclasses import dataclass
from typing import ClassVar

from ..labels.hierarchy import LabelHierarchy
from ..runs.methods import FORMAT_VERSION


@dataclass(frozen=True)
class LabelCells:
    """Cells of a label.

    Attributes
    ----------
    cells
        Their number in all references.
    train, validation, test
        Number of those in each part.
    """

    cells: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class ReferenceLabels:
    """Labels of a reference.

    Attributes
    ----------
    labels
        Cells by label, also of labels that are too rare to be predicted.
    hierarchy
        The labels that can be predicted, and the coarser ones above all of them.
    ontology
        Cell Ontology ids of the labels that have one, coarser ones included.
    format
        Version of the result files beside this one, see `cellferry.config.pretrained`.
    """

    VERSION: ClassVar[int] = 1

    labels: dict[str, LabelCells]
    hierarchy: LabelHierarchy
    ontology: dict[str, str]
    format: int = FORMAT_VERSION

    @property
    def sizes(self) -> dict[str, int]:
        """Number of cells by label."""
        return {label: found.cells for label, found in self.labels.items()}

    @property
    def coarse(self) -> dict[str, int]:
        """Number of cells by coarser label; these are in the parts, and train the sum of labels below."""
        return {
            label: found.cells
            for label, found in self.labels.items()
            if label not in self.hierarchy.leaves and found.train + found.validation + found.test > 0
        }

    @property
    def rare(self) -> dict[str, int]:
        """Number of cells by rare label."""
        not_rare = {*self.hierarchy.leaves, *self.coarse}
        return {label: n for label, n in self.sizes.items() if label not in not_rare}


@dataclass(frozen=True)
class ClassifierLabels:
    """Labels that a classifier's heads predict, and the settings of their training.

    Attributes
    ----------
    hierarchy
        The reference's hierarchy; its leaves are the labels of the heads.
    heads
        Names of the heads, in the order of the registry.
    ontology
        Cell Ontology ids of the reference's labels that have one, coarser ones included.
    training_cells
        Number of training cells by label.
    validation_cells
        Number of cells that may stop trees early.
    settings
        Settings of the training by name, and its results: kept boosting rounds (`trees_kept`,
        `expression_trees_kept`; 0 without the head) and the `depth` of trees.
    """

    VERSION: ClassVar[int] = 1

    hierarchy: LabelHierarchy
    heads: list[str]
    ontology: dict[str, str]
    training_cells: dict[str, int]
    validation_cells: int
    settings: dict[str, float]
