"""Limits of quality: fitted to held-out cells, unless the configuration sets them."""

import numpy as np
import pytest
from cellferry.artifacts.decision import QualityLimits
from cellferry.calibration.quality import learned_limits, limits_of_query, quality_limits
from cellferry.config.settings import LimitSettings
from example_artifacts import decision_of


def test_a_shallow_reference_lowers_the_limits_to_what_99_in_100_of_its_cells_reach():
    n_counts = np.random.default_rng(0).permutation(np.arange(1, 1001)).astype(np.float32) / 10
    limits = learned_limits(n_counts, n_counts / 2)
    assert (n_counts < limits.min_counts).mean() == pytest.approx(0.01, abs=0.002)
    assert (n_counts / 2 < limits.min_genes).mean() == pytest.approx(0.01, abs=0.002)


def test_a_deep_reference_does_not_raise_them():
    """Its cells have 20,000 counts, and a query of 1,000 counts a cell is not one of empty droplets."""
    assert learned_limits(np.full(500, 20000.0), np.full(500, 4000.0)) == QualityLimits(50, 20)


def test_few_held_out_cells():
    assert learned_limits(np.array([30.0, 45.0]), np.array([9.0, 12.0])) == QualityLimits(30, 9)
    assert learned_limits(np.zeros(0), np.zeros(0)) == QualityLimits(50, 20)


def test_intensities_have_no_limits():
    infinite = np.full(100, np.inf)
    assert learned_limits(infinite, infinite) == QualityLimits(0, 0)


@pytest.mark.parametrize(
    ("counts", "genes", "expected"),
    [("auto", "auto", (33, 7)), (5, "auto", (5, 7)), ("auto", 0, (33, 0)), (500, 300, (500, 300))],
)
def test_numbers_of_the_configuration_count_before_learned_ones(counts, genes, expected):
    settings = LimitSettings(min_p=0.005, min_counts=counts, min_genes=genes)
    decision = decision_of({}, quality=QualityLimits(33, 7))
    assert quality_limits(settings, decision) == QualityLimits(*expected)


def panel_cells(median, n_cells=4000, n_genes=150, seed=0):
    """Counts and genes of cells of a panel, lognormal in depth, as Poisson draws of unequal genes."""
    rng = np.random.default_rng(seed)
    depth = rng.lognormal(np.log(median), 0.6, size=(n_cells, 1))
    counts = rng.poisson(depth * rng.dirichlet(np.full(n_genes, 0.5)))
    return counts.sum(axis=1).astype(float), (counts > 0).sum(axis=1).astype(float)


def test_a_panel_of_20_counts_a_cell_keeps_its_cells():
    """A deep reference's limits would drop nearly all cells."""
    cells = panel_cells(20)
    learned = QualityLimits(50, 20)
    assert (~learned.exceed(*cells)).mean() < 0.15
    limits = limits_of_query(learned, *cells)
    assert limits.min_counts == pytest.approx(4.4, abs=0.5)
    assert (~limits.exceed(*cells)).mean() > 0.97


@pytest.mark.parametrize("empty", [0.0, 0.8])
def test_a_deep_query_keeps_the_limits_even_if_most_droplets_are_empty(empty):
    counts, genes = panel_cells(3000, n_genes=4000)
    n_empty = int(empty * 4000)
    counts[:n_empty], genes[:n_empty] = 10, 9
    assert limits_of_query(QualityLimits(50, 20), counts, genes) == QualityLimits(50, 20)


def test_limits_are_lowered_and_never_raised():
    assert limits_of_query(QualityLimits(3, 2), *panel_cells(200)) == QualityLimits(3, 2)
    assert limits_of_query(QualityLimits(50, 20), np.zeros(0), np.zeros(0)) == QualityLimits(50, 20)
    infinite = np.full(10, np.inf)
    assert limits_of_query(QualityLimits(0, 0), infinite, infinite) == QualityLimits(0, 0)
