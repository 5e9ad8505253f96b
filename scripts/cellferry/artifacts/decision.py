"""The decision on labels as calibrate_classifier and estimate_missing_genes learn it: `calibration.json`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Tail:
    """How rarely a held-out cell is as far.

    Attributes
    ----------
    quantiles
        Distances of held-out cells at even steps of rank, from the nearest to where the tail begins; empty
        without held-out cells.
    scale
        Mean distance beyond there of the cells that are farther.
    cells
        Number of these.
    """

    quantiles: tuple[float, ...]
    scale: float
    cells: int


@dataclass(frozen=True)
class Novelty:
    """How unlike the reference held-out cells are; `cellferry.calibration.novelty` tells by what.

    Attributes
    ----------
    distance, label_distance, entropy
        Tails of the distances to neighbors and to labels, and of the entropy of calibrated probabilities.
    evidence
        Tail of what these say together.
    """

    distance: Tail
    label_distance: Tail
    entropy: Tail
    evidence: Tail


@dataclass(frozen=True)
class QualityLimits:
    """Limits below which a cell gets no label.

    Attributes
    ----------
    min_counts, min_genes
        Counts of the model's genes, and how many of these have one; 0 where nothing is counted.
    """

    min_counts: float
    min_genes: float

    def exceed(self, n_counts: np.ndarray, n_genes: np.ndarray) -> np.ndarray:
        """Which cells have fewer counts or genes (mask)."""
        return (n_counts < self.min_counts) | (n_genes < self.min_genes)


@dataclass(frozen=True)
class HeldOutAnswers:
    """Answers to the held-out cells that a decision was learned from.

    Attributes
    ----------
    cells, donors
        Number of cells, and of donors that the heads do not know.
    max_error
        Share of wrong labels among those given out that was allowed.
    accepted, wrong
        Number of cells that got a label of the finest level, and of those with a wrong one.
    error
        Share of wrong labels; None without accepted cells.
    error_bound_95
        Upper bound of the error with 95 % confidence (Clopper and Pearson).
    accuracy
        Share of right best labels; None without cells.
    rehearsed
        Whether the cells are training cells, each judged by heads that did not learn from its donor.
    """

    cells: int
    donors: int
    max_error: float
    accepted: int = 0
    wrong: int = 0
    error: float | None = None
    error_bound_95: float = 1.0
    accuracy: float | None = None
    rehearsed: bool = False


@dataclass(frozen=True)
class RaisedThresholds:
    """Answers to a sketch of a query by the thresholds of held-out cells, and by those raised for it.

    Attributes
    ----------
    cells
        Cells of the sketch.
    labeled, labeled_before
        How many got a label of any level, by the raised thresholds and by those before.
    expected_error, expected_error_before
        Mean of 1 - probability of these labels; None without any.
    """

    cells: int
    labeled: int
    labeled_before: int
    expected_error: float | None
    expected_error_before: float | None


@dataclass(frozen=True)
class DecisionModel:
    """How heads are mixed and calibrated, and when a label is given out.

    Attributes
    ----------
    temperatures, weights
        By head, before and in the mixture; none where the only head's probabilities are taken as they are.
    mixture_temperature
        Temperature of the mixture, which calibrates it.
    novelty
        How unlike the reference a cell is.
    thresholds
        Least probability per level (the coarsest first), by node.
    set_thresholds
        By label, its least probability in the prediction set.
    rare_threshold
        Probability of a rare label beyond which a cell gets no other.
    quality
        Limits of quality that held-out cells show, for those that the configuration leaves open.
    held_out
        Answers to the cells it was learned from.
    made_from
        Hashes of the model, its genes and the classifiers.
    raised
        What raising the thresholds for a query changed; None where they are those of held-out cells.
    """

    VERSION: ClassVar[int] = 3

    temperatures: dict[str, float]
    weights: dict[str, float]
    mixture_temperature: float
    novelty: Novelty
    thresholds: dict[str, dict[str, float]]
    set_thresholds: dict[str, float]
    rare_threshold: float
    quality: QualityLimits
    held_out: HeldOutAnswers
    made_from: dict[str, str]
    raised: RaisedThresholds | None = None
