"""Limits of quality: from how few counts or genes on a cell gets no label."""

import numpy as np

from ..artifacts.decision import DecisionModel, QualityLimits
from ..config.settings import LimitSettings

LOW_SHARE = 0.01
"""Share of held-out cells that may lie below a limit."""

DEEP, SHARE_OF_DEEP = 0.9, 0.1
"""Totals of cells differ tenfold between the ninth tenth and the lowest hundredth: they are lognormal, as
in most datasets, with a deviation of .6."""

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


def limits_of_query(learned: QualityLimits, n_counts: np.ndarray, n_genes: np.ndarray) -> QualityLimits:
    """Limits that a shallow query, such as a panel of 20 counts a cell, meets as deep ones do.

    They are lowered to a tenth of what the query's own deepest tenth of cells has. Its depth is judged by
    these cells, since the others may be empty droplets.

    Parameters
    ----------
    learned
        Limits by held-out cells of the reference.
    n_counts, n_genes
        Of a random sketch of the query; infinite where nothing is counted.
    """
    return QualityLimits(
        min(learned.min_counts, _of_deep_cells(n_counts)), min(learned.min_genes, _of_deep_cells(n_genes))
    )


def _of_deep_cells(values: np.ndarray) -> float:
    """A share of the quantile that the deepest cells exceed; infinite without cells."""
    if len(values) == 0 or not np.isfinite(values).all():
        return np.inf
    return SHARE_OF_DEEP * float(np.quantile(values, DEEP, method="higher"))


def quality_limits(settings: LimitSettings, decision: DecisionModel) -> QualityLimits:
    """The limits of the configuration; of those that are `auto`, the learned ones."""
    learned = decision.quality
    return QualityLimits(
        learned.min_counts if settings.min_counts == "auto" else settings.min_counts,
        learned.min_genes if settings.min_genes == "auto" else settings.min_genes,
    )
