"""Counts of any number of simulated cells, written block by block for `scale.py`.

Counts are negative binomial with a dispersion of 1 (geometric), which can be drawn gene by gene from a
single uniform number: x > k where u < (mean / (1 + mean))^(k + 1). A cell expresses a tenth of its genes.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from cellferry.artifacts.h5ad_writer import H5adWriter
from scipy import sparse

CELLS_AT_ONCE = 512
EXPRESSED_SHARE = 0.1


def simulate_counts(
    path: str | Path,
    *,
    n_cells: int,
    n_genes: int = 20_000,
    n_types: int = 20,
    batches: tuple[str, ...] = ("a", "b", "c", "d", "e"),
    expressed_share: float = EXPRESSED_SHARE,
    seed: int = 0,
) -> None:
    """Write an h5ad file with counts in X (CSR float32, lzf), and `cell_type` and `sample` in obs.

    Files of different seeds hold different cells of the same types. Batches follow each other, as in files
    concatenated from samples, and each scales its genes at random.
    """
    biology = np.random.default_rng(2024)
    base = biology.lognormal(0, 2, n_genes)
    folds = np.where(
        biology.random((n_types, n_genes)) < 0.1, biology.lognormal(0, 1.2, (n_types, n_genes)), 1
    )
    types = np.array([f"type_{number:02d}" for number in range(n_types)], dtype=object)
    shares = biology.dirichlet(np.full(n_types, 2.0))
    rng = np.random.default_rng([seed, 1])
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(n_genes)])
    with H5adWriter(path, var, portable=True) as writer:
        for number, batch in enumerate(batches):
            means = _scaled(base * folds * rng.lognormal(0, 0.2, n_genes), expressed_share).astype(np.float32)
            first, last = (edge * n_cells // len(batches) for edge in (number, number + 1))
            for start in range(first, last, CELLS_AT_ONCE):
                size = min(CELLS_AT_ONCE, last - start)
                codes = rng.choice(n_types, size, p=shares)
                obs = {"cell_type": types[codes], "sample": np.full(size, batch, dtype=object)}
                names = np.array(
                    [f"{batch}_{seed}_{cell}" for cell in range(start, start + size)], dtype=object
                )
                writer.append(_draw(means[codes], rng), names, obs)


def _scaled(means: np.ndarray, expressed_share: float) -> np.ndarray:
    """Means, one row per type, scaled so that each type expresses the given share of genes."""
    low, high = np.zeros(len(means)), np.full(len(means), 1e3)
    for _ in range(60):
        middle = (low + high) / 2
        scaled = middle[:, None] * means
        too_many = (scaled / (1 + scaled)).mean(axis=1) > expressed_share
        high, low = np.where(too_many, middle, high), np.where(too_many, low, middle)
    return low[:, None] * means


def _draw(means: np.ndarray, rng: np.random.Generator) -> sparse.csr_matrix:
    """Counts of cells (cells × genes) with these means and random depths."""
    odds = rng.random(means.shape, dtype=np.float32)
    odds /= 1 - odds
    means *= rng.lognormal(0, 0.3, (len(means), 1)).astype(np.float32)
    cells, genes = np.nonzero(odds < means)
    drawn, mean = np.maximum(odds[cells, genes], 1e-7), means[cells, genes]
    counts = np.maximum(1, np.floor(np.log(drawn / (1 + drawn)) / np.log(mean / (1 + mean))))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=len(means)))])
    return sparse.csr_matrix((counts.astype(np.float32), genes.astype(np.int32), indptr), shape=means.shape)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--cells", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", nargs="+", default=["a", "b", "c", "d", "e"])
    options = parser.parse_args()
    simulate_counts(options.path, n_cells=options.cells, seed=options.seed, batches=tuple(options.batches))
