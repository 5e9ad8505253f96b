"""A query mapped in two ways, as compare_mappings writes it to `mappings.json`."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Mapping:
    """Answers to a sketch of a query's cells in one way of mapping.

    Attributes
    ----------
    labeled, out_of_reference
        Share of cells with a label of the finest level, and out of the reference.
    probability
        Mean probability of the best label.
    accuracy, macro_f1
        Scores of the best label, where the truth is known; else None.
    """

    labeled: float
    out_of_reference: float
    probability: float
    accuracy: float | None
    macro_f1: float | None


@dataclass(frozen=True)
class Mappings:
    """Answers in both ways.

    Attributes
    ----------
    cells
        Number of cells in the sketch.
    fitted
        By the model that was fitted to the query's batches.
    unfitted
        By the reference's model.
    same_label
        Share of cells whose best label is the same; None without cells.
    """

    VERSION: ClassVar[int] = 1

    cells: int
    fitted: Mapping
    unfitted: Mapping
    same_label: float | None
