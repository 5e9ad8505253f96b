"""Simulated cells of very many labels: counts of a hierarchy of labels, and latents.

Labels are leaves of a hierarchy of four levels. Half of the difference between labels is in 60 programs of
all genes; the other half is in marker genes of each node, so that siblings differ by the few genes of their
own nodes. Latents replace those of a model. Labels have very different numbers of cells, and batches scale
every gene.
"""

import sys
from dataclasses import dataclass

import numpy as np
from measuring import ROOT
from scipy import sparse
from sklearn.decomposition import PCA

sys.path.insert(0, str(ROOT / "scripts"))

from cellferry.heads.expression import log_normalized

N_GENES, N_LATENT, N_PROGRAMS = 2000, 30, 60
LEVELS = (1.0, 0.7, 0.5, 0.4)
"""Deviation of the programs' activity between nodes, from the coarsest level to the labels."""

MARKERS_PER_NODE = 12
MARKER_FOLD = 5.0
DEPTH = 1000
"""Approximate counts of a cell, of some 400 genes."""

BATCHES = 4
BATCH_DEVIATION = 0.15
LEAST_CELLS = 5


@dataclass(frozen=True)
class Cells:
    """Counts (cells × genes, CSR float32), latents (cells × L), codes of labels and of batches."""

    counts: sparse.csr_matrix
    latents: np.ndarray
    codes: np.ndarray
    batches: np.ndarray


class Tissue:
    """A hierarchy of labels, with the mean expression of each.

    Parameters
    ----------
    n_labels
        Leaves of the hierarchy.
    seed
        Seed of the hierarchy.
    """

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, n_labels])
        self.n_labels = n_labels
        programs = rng.normal(0, 1, (N_PROGRAMS, N_GENES)) * (rng.random((N_PROGRAMS, N_GENES)) < 0.2)
        logs = np.tile(rng.normal(0, 1.5, N_GENES), (n_labels, 1))
        for place, deviation in enumerate(LEVELS):
            size = max(1, branching(n_labels) ** (len(LEVELS) - 1 - place))
            node = np.arange(n_labels) // size if place < len(LEVELS) - 1 else np.arange(n_labels)
            n_nodes = int(node.max()) + 1
            activity = rng.normal(0, deviation, (n_nodes, N_PROGRAMS)) @ programs / np.sqrt(N_PROGRAMS / 10)
            markers = np.zeros((n_nodes, N_GENES))
            for each in range(n_nodes):
                markers[each, rng.choice(N_GENES, MARKERS_PER_NODE, replace=False)] = np.log(MARKER_FOLD)
            logs += (0.5 * activity + markers)[node]
        self.profiles = np.exp(logs - logs.max(axis=1, keepdims=True))
        self.profiles /= self.profiles.sum(axis=1, keepdims=True)
        self.profiles = self.profiles.astype(np.float32)
        self.shares = rng.lognormal(0, 1.0, n_labels)
        self.shares /= self.shares.sum()
        self.batch_scales = batch_scales(rng)
        self._components: Components | None = None

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of their codes."""
        return [f"label {number:05}" for number in range(self.n_labels)]

    def draw(self, n_cells: int, *, seed: int, elsewhere: bool = False) -> Cells:
        """Cells of all labels, at least `LEAST_CELLS` of each if there are so many.

        Batches of `elsewhere` scale genes differently.
        """
        rng = np.random.default_rng([seed, 7])
        scales = batch_scales(rng) if elsewhere else self.batch_scales
        least = min(LEAST_CELLS, n_cells // self.n_labels)
        some = np.repeat(np.arange(self.n_labels), least)
        rest = rng.choice(self.n_labels, n_cells - len(some), p=self.shares)
        codes = rng.permutation(np.concatenate([some, rest])).astype(np.int32)
        batches = rng.integers(0, BATCHES, n_cells).astype(np.int32)
        blocks = []
        for start in range(0, n_cells, 2048):
            here = slice(start, start + 2048)
            means = self.profiles[codes[here]] * scales[batches[here]]
            # A gamma of shape 2 on the mean: negative binomial counts.
            means *= rng.standard_gamma(2, means.shape, dtype=np.float32) / 2
            depths = DEPTH * rng.lognormal(0, 0.3, (len(means), 1)).astype(np.float32)
            blocks.append(sparse.csr_matrix(rng.poisson(means * depths).astype(np.float32)))
        counts = sparse.vstack(blocks, format="csr")
        if self._components is None:
            self._components = Components(counts)
        return Cells(counts, self._components.of(counts), codes, batches)


class Components:
    """Principal components of log1p of counts per 10,000, fitted to at most 20,000 cells."""

    def __init__(self, counts: sparse.csr_matrix) -> None:
        drawn = np.sort(np.random.default_rng(0).permutation(counts.shape[0])[:20_000])
        self._pca = PCA(N_LATENT, svd_solver="arpack", random_state=0).fit(log_normalized(counts[drawn]))

    def of(self, counts: sparse.csr_matrix) -> np.ndarray:
        """Latents of cells: cells × 30, float32."""
        axes = self._pca.components_.T
        return (log_normalized(counts) @ axes - self._pca.mean_ @ axes).astype(np.float32)


def batch_scales(rng: np.random.Generator) -> np.ndarray:
    """Scale of each gene in each batch: batches × genes."""
    return np.exp(rng.normal(0, BATCH_DEVIATION, (BATCHES, N_GENES))).astype(np.float32)


def coarse_nodes(n_labels: int) -> np.ndarray:
    """Node of each label on the coarsest level."""
    return np.arange(n_labels) // branching(n_labels) ** (len(LEVELS) - 1)


def branching(n_labels: int) -> int:
    """Children of a node."""
    return max(2, round(n_labels ** (1 / len(LEVELS))))
