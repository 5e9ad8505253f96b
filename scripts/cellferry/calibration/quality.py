"""Limits of quality: from how few counts or genes on a cell gets no label."""

import numpy as np

from ..artifacts.decision import DecisionModel, QualityLimits
from ..config.settings import LimitSettings

LOW_SHARE = 0.01
"""Share of held-out cells that may lie below a limit."""

MAX_MIN_COUNTS, MAX_MIN_GENES = 50.0, 20.0
"""Limits at most, however deep the reference: a shallower query is not one of empty droplets."""


def learned_limits(n_counts: np.ndarray, n_genes: np.ndarray) -> QualityLimits:
    """Limits that a panel of few genes, or a shallow technology, meets as its held-out cells do.

    Parameters
    ----------
    n_counts, n_genes
        Of held-out cells; infinite where nothing is counted.
    """
    if len(n_counts) and not np.isfinite(n_counts).any():
        return QualityLimits(0.0, 0.0)
    return QualityLimits(_low(n_counts, MAX_MIN_COUNTS), _low(n_genes, MAX_MIN_GENES))


def _low(values: np.ndarray, most: float) -> float:
    """The value that all but one in a hundred reach, `most` at most."""
    return min(most, float(np.quantile(values, LOW_SHARE, method="lower"))) if len(values) else most


def quality_limits(settings: LimitSettings, decision: DecisionModel) -> QualityLimits:
    """The limits of the configuration; of those that are `auto`, the learned ones."""
    learned = decision.quality
    return QualityLimits(
        learned.min_counts if settings.min_counts == "auto" else settings.min_counts,
        learned.min_genes if settings.min_genes == "auto" else settings.min_genes,
    )
