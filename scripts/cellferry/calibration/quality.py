"""Limits of quality: minimum counts and genes of a labeled cell."""

import numpy as np

from ..artifacts.decision import DecisionModel, QualityLimits
from ..config.settings import LimitSettings

LOW_SHARE = 0.01
"""Share of held-out cells that may be below a limit."""

DEEP, SHARE_OF_DEEP = 0.9, 0.1
"""Quantile of deep cells, and its ratio to the 1st percentile: lognormal totals with a deviation of .6."""

MAX_MIN_COUNTS, MAX_MIN_GENES = 50.0, 20.0
"""Upper bound of limits for a deep reference: a shallower query is not a set of empty droplets."""


def learned_limits(n_counts: np.ndarray, n_genes: np.ndarray) -> QualityLimits:
    """Limits from held-out cells, which fit panels of few genes and shallow technologies.

    Parameters
    ----------
    n_counts, n_genes
        Counts and genes of held-out cells; infinite for intensities.
    """
    if len(n_counts) and not np.isfinite(n_counts).any():
        return QualityLimits(0.0, 0.0)
    return QualityLimits(_low(n_counts, MAX_MIN_COUNTS), _low(n_genes, MAX_MIN_GENES))


def _low(values: np.ndarray, most: float) -> float:
    """The first percentile, at most `most`."""
    return min(most, float(np.quantile(values, LOW_SHARE, method="lower"))) if len(values) else most


def limits_of_query(learned: QualityLimits, n_counts: np.ndarray, n_genes: np.ndarray) -> QualityLimits:
    """Limits for a shallow query, such as a panel of 20 counts per cell.

    They are lowered to a tenth of the 90th percentile of the query's cells. Its deepest cells define its
    depth, since others may be empty droplets.

    Parameters
    ----------
    learned
        Limits from held-out cells of the reference.
    n_counts, n_genes
        Counts and genes of a random sketch of the query; infinite for intensities.
    """
    return QualityLimits(
        min(learned.min_counts, _of_deep_cells(n_counts)), min(learned.min_genes, _of_deep_cells(n_genes))
    )


def _of_deep_cells(values: np.ndarray) -> float:
    """A share of the quantile of the deepest cells; infinite without cells."""
    if len(values) == 0 or not np.isfinite(values).all():
        return np.inf
    return SHARE_OF_DEEP * float(np.quantile(values, DEEP, method="higher"))


def quality_limits(settings: LimitSettings, decision: DecisionModel) -> QualityLimits:
    """The limits of the configuration; for `auto`, the fitted ones."""
    learned = decision.quality
    return QualityLimits(
        learned.min_counts if settings.min_counts == "auto" else settings.min_counts,
        learned.min_genes if settings.min_genes == "auto" else settings.min_genes,
    )
