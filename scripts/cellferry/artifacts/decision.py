"""The decision on labels, fitted by calibrate_classifier and estimate_missing_genes: `calibration.json`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Tail:
    """Tail of the distances of held-out cells.

    Attributes
    ----------
    quantiles
        Distances of held-out cells at even steps of rank, from the nearest to the begin of the tail; empty
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
    """Novelty of held-out cells, see `cellferry.calibration.novelty`.

    Attributes
    ----------
    distance, label_distance, entropy
        Tails of the distances to neighbors and to labels, and of the entropy of calibrated probabilities.
    evidence
        Tail of their combined evidence.
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
        Counts of the model's genes, and number of detected ones; 0 for intensities.
    """

    min_counts: float
    min_genes: float

    def exceed(self, n_counts: np.ndarray, n_genes: np.ndarray) -> np.ndarray:
        """Mask of cells with fewer counts or genes."""
        return (n_counts < self.min_counts) | (n_genes < self.min_genes)


@dataclass(frozen=True)
class HeldOutAnswers:
    """Results for the held-out cells that a decision was fitted on.

    Attributes
    ----------
    cells, donors
        Number of cells, and of donors left out of the heads' training.
    max_error
        Accepted share of wrong labels among assigned ones.
    accepted, wrong
        Number of cells that got a label of the finest level, and of those with a wrong one.
    error
        Share of wrong labels; None without accepted cells.
    error_bound_95
        Upper bound of the error with 95 % confidence (Clopper and Pearson).
    accuracy
        Share of right best labels; None without cells.
    rehearsed
        Whether the cells are training cells, predicted by heads trained without their donor.
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
    """Results for a sketch of a query with the thresholds of held-out cells, and with raised ones.

    Attributes
    ----------
    cells
        Cells of the sketch.
    labeled, labeled_before
        Number with a label of any level, by the raised thresholds and by those before.
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
    """Mixture, calibration and thresholds.

    Attributes
    ----------
    temperatures, weights
        By head, before and in the mixture; empty for an uncalibrated single head.
    mixture_temperature
        Temperature of the mixture, which calibrates it.
    novelty
        Model of novelty.
    thresholds
        Thresholds per level (the coarsest first), by node.
    set_thresholds
        Threshold of each label in the prediction set.
    rare_threshold
        Probability of a rare label above which a cell gets no other.
    quality
        Limits of quality from held-out cells, for `auto` in the configuration.
    held_out
        Results for the cells that it was fitted on.
    made_from
        Hashes of the model, its genes and the classifiers.
    raised
        Effect of raised thresholds for a query; None for thresholds of held-out cells.
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
