"""Corrected counts are distinguished from normalized values, which are fractional too."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cellferry.datasets.raw_counts import Source, check_counts
from cellferry.datasets.rounding import Rounding, sign_of_normalization
from cellferry.errors import InputError
from scipy import sparse

SIZES = [(12, 20, 60), (60, 300, 500), (200, 3000, 3000)]
"""Cells, genes, counts of a cell: a tiny file, a panel, RNA."""


def subtracted(counts, soup):
    """A tenth of each cell's counts subtracted in proportion to the soup, as in SoupX."""
    left = counts.copy()
    for cell in left:
        missing = cell.sum() / 10
        for _ in range(20):
            weights = soup * (cell > 0)
            taken = np.minimum(cell, missing * weights / max(weights.sum(), 1e-9))
            cell -= taken
            missing -= taken.sum()
    return left


def estimated(counts, rng):
    """Some reads shared between two or three genes, as by aligners."""
    shared = counts.copy()
    some = rng.random(counts.shape) < 0.2
    shared[some] *= rng.choice([1 / 2, 1 / 3, 2 / 3], some.sum())
    return shared


CORRECTED = {
    "as they were": lambda counts, soup, rng: counts,
    "SoupX": lambda counts, soup, rng: subtracted(counts, soup),
    "DecontX": lambda counts, soup, rng: counts * rng.beta(8, 2, counts.shape[1]),
    "a share": lambda counts, soup, rng: counts * rng.uniform(0.5, 1, counts.shape),
    "a little": lambda counts, soup, rng: np.maximum(counts - 0.07, 0),
    "estimates": lambda counts, soup, rng: estimated(counts, rng),
}
NORMALIZED = {
    "to 10,000": lambda scaled, median: scaled,
    "per million": lambda scaled, median: scaled * 100,
    "log1p": lambda scaled, median: np.log1p(scaled),
    "log1p of the median": lambda scaled, median: np.log1p(scaled / 1e4 * median),
    "log2": lambda scaled, median: np.log2(scaled + 1),
    "log1p in four digits": lambda scaled, median: np.log1p(scaled).round(4),
    "square root": lambda scaled, median: np.sqrt(scaled),
}


def simulated(size, seed=0):
    """Counts (cells × genes), and the share of each gene in the soup."""
    n_cells, n_genes, depth = size
    rng = np.random.default_rng(seed)
    soup = rng.lognormal(0, 2, n_genes)
    soup /= soup.sum()
    rate = depth * rng.lognormal(0, 0.4, (n_cells, 1)) * soup * rng.lognormal(0, 0.5, (n_cells, n_genes))
    return rng.poisson(rate).astype(float), soup


def scaled(counts):
    return counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4


def stored(values):
    return sparse.csr_matrix(values.astype(np.float32))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("how", CORRECTED)
def test_corrected_counts_may_be_rounded(how, size):
    counts, soup = simulated(size)
    corrected = stored(CORRECTED[how](counts, soup, np.random.default_rng(1)))
    assert sign_of_normalization(corrected) is None
    rounding = Rounding()
    rounding.add(corrected)
    assert abs(rounding.change) < 0.1
    assert rounding.after == corrected.sum()
    assert (corrected.data == np.rint(corrected.data)).all()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("how", NORMALIZED)
def test_normalized_values_may_not(how, size):
    counts, _ = simulated(size)
    values = NORMALIZED[how](scaled(counts), np.median(counts.sum(1)))
    source = Source(Path("a.h5ad"), "X", None, {"X": False}, "counts", "datasets.a.counts_rounding", True)
    cells = np.array([f"c{number}" for number in range(size[0])], dtype=object)
    genes = pd.Index([f"g{number}" for number in range(size[1])])
    with pytest.raises(
        InputError, match=r"could be rounded \(datasets\.a\.counts_rounding\): the same fractions"
    ):
        check_counts(stored(values), cells, genes, source)


@pytest.mark.parametrize(
    ("genes", "sign"),
    [(None, "values before log1p of every cell add up to 1e+04"), (1500, "as for logarithms")],
)
def test_corrected_and_then_normalized(genes, sign):
    counts, soup = simulated(SIZES[-1])
    values = np.log1p(scaled(subtracted(counts, soup)))[:, :genes]
    assert sign in sign_of_normalization(stored(values))


def test_few_values_are_let_pass_with_a_doubt():
    rounding = Rounding()
    rounding.add(stored(np.array([[0, 1.4, 2.6], [0.2, 0, 0.5]])))
    assert (rounding.cells, rounding.after) == (2, 4)
    assert [doubt[:30] for doubt in rounding.doubts("key")] == [
        "key: no value checked is above",
        "key: counts of 2 cells were ro",
    ]
    rounding = Rounding()
    rounding.add(stored(np.array([[30.2, 1, 2]])))
    assert rounding.doubts("key") == []
    assert str(rounding) == (
        "counts of 1 cells were rounded to whole numbers: their total changed from 33.2 to 33 (-0.60%)"
    )
