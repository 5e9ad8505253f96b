"""Rank correlation of a cell's marker genes with the labels' mean expression; stored as npz.

Effects on all counts of a cell, such as sequencing depth, do not change ranks, but do shift a linear model on
values. After SingleR (Aran et al. 2019), which correlates with single cells, and
MapMyCells, which takes 30 marker genes for each pair of labels; a mean needs few cells.
"""

import numba
import numpy as np
from scipy import sparse
from scipy.special import log_softmax, softmax

from ..config.available_heads import MANY_LABELS
from .arrays import ArraysHead
from .expression import log_normalized
from .shrinkage import HeldOut
from .softmax import softmax_of
from .temperature import likeliest_temperature

MARKERS_PER_PAIR = 30
"""Marker genes per pair of labels, as in MapMyCells."""

NEAR_LABELS = 50
"""Number of most similar labels to compare each label with; dissimilar ones share marker genes."""

CELLS_AT_ONCE = 256
"""Cells of a block whose intermediate results fit the processor's cache."""

COUNTED = 4096
"""Counts below this are ranked by their frequencies, in a tenth of the time of sorting."""

TEMPERATURES = (1e-3, 1.0)
"""Correlations differ by hundredths."""


class ExpressionRanksHead(ArraysHead):
    """Spearman's correlation with the mean expression of each label, on marker genes.

    Parameters
    ----------
    genes
        Columns of the marker genes.
    profiles
        Ranks of these genes in each label's mean of log1p CP10k, centered and of length 1: labels × markers.
    offsets
        Of the labels' logits: 0, and minus infinity for a label without cells.
    temperature
        Divisor of the correlations in the softmax.
    """

    file_name = "expression_ranks.npz"

    def __init__(
        self, genes: np.ndarray, profiles: np.ndarray, offsets: np.ndarray, temperature: float
    ) -> None:
        self.genes = genes
        self.profiles = profiles
        self.offsets = offsets
        self.temperature = float(temperature)

    @classmethod
    def train(
        cls, values: sparse.csr_matrix, codes: np.ndarray, held_out: HeldOut | None = None, *, n_labels: int
    ) -> "ExpressionRanksHead":
        """Take means of raw counts' log1p CP10k (cells × genes, CSR) by label.

        Held-out cells, or without them the training cells, give the temperature.
        """
        known = np.bincount(codes, minlength=n_labels) > 0
        means = label_means(values, codes, n_labels=n_labels)
        return cls.of_means(means, known, (values, codes), held_out)

    @classmethod
    def of_means(
        cls, means: np.ndarray, known: np.ndarray, learned: HeldOut, held_out: HeldOut | None
    ) -> "ExpressionRanksHead":
        """Take the labels' means (labels × genes); `known` is false for a label without cells.

        Training and held-out cells (raw counts) are for the temperature, see `train`.
        """
        genes = marker_genes(means[known])
        # Late: only training needs it, and importing it takes longer than predicting a chunk.
        from scipy.stats import rankdata

        ranks = rankdata(means[:, genes], axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        profiles = ranks / np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-12)
        if len(means) > MANY_LABELS:
            profiles = profiles.astype(np.float32)
        head = cls(genes, profiles, np.where(known, 0, -np.inf), 1.0)
        number = np.cumsum(known) - 1  # of a label among those with cells
        values, codes = learned
        if held_out is not None and known[held_out[1]].any():
            kept = known[held_out[1]]
            values, codes = held_out[0][kept], held_out[1][kept]
        head.temperature = fitted_temperature(head.correlations(values)[:, known], number[codes])
        return head

    def correlations(self, values: sparse.csr_matrix) -> np.ndarray:
        """Spearman's correlation of cells with the labels: cells × labels; 0 of a cell without counts."""
        starts = range(0, max(1, values.shape[0]), CELLS_AT_ONCE)
        blocks = (values[start : start + CELLS_AT_ONCE, self.genes] for start in starts)
        return np.concatenate([self._block_correlations(block) for block in blocks])

    def _block_correlations(self, values: sparse.csr_matrix) -> np.ndarray:
        ranks, lengths = centered_ranks(values)
        return (ranks @ self.profiles.T) / np.maximum(lengths, 1e-12)[:, None]

    def probabilities(self, values: sparse.csr_matrix) -> np.ndarray:
        """Probabilities of the labels from raw counts (cells × genes, CSR), float32."""
        if len(self.offsets) <= MANY_LABELS:
            logits = self.correlations(values) / self.temperature + self.offsets
            return softmax(logits, axis=1).astype(np.float32)
        ranks, lengths = centered_ranks(values[:, self.genes])
        unit = ranks.astype(np.float32).toarray()
        unit /= (self.temperature * np.maximum(lengths, 1e-12)).astype(np.float32)[:, None]
        return softmax_of(unit, self.profiles, self.offsets)


def label_means(values: sparse.csr_matrix, codes: np.ndarray, *, n_labels: int) -> np.ndarray:
    """Mean log1p CP10k by label (labels × genes) from raw counts (cells × genes, CSR); 0 without cells."""
    sizes = np.bincount(codes, minlength=n_labels)
    shares = (1 / sizes[codes], (codes, np.arange(len(codes))))
    return (sparse.csr_matrix(shares, (n_labels, len(codes))) @ log_normalized(values)).toarray()


def marker_genes(means: np.ndarray) -> np.ndarray:
    """Genes by which labels exceed those most like them, from means (labels × genes); ascending columns."""
    n_labels, n_genes = means.shape
    per_pair = min(MARKERS_PER_PAIR, n_genes)
    alike = np.corrcoef(means) if n_labels > NEAR_LABELS + 1 else np.ones((n_labels, n_labels))
    np.fill_diagonal(alike, -np.inf)
    n_near = min(NEAR_LABELS, n_labels - 1)
    kept = np.zeros(n_genes, dtype=bool)
    for label in range(n_labels):
        near = np.argpartition(-alike[label], n_near - 1)[:n_near]
        excess = means[label] - means[near]
        most = np.argpartition(-excess, per_pair - 1, axis=1)[:, :per_pair]
        kept[most[np.take_along_axis(excess, most, axis=1) > 0]] = True
    return np.flatnonzero(kept) if kept.any() else np.arange(n_genes)


def centered_ranks(values: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Ranks of each cell's genes, less the rank of its zeros, and the length of the centered ranks.

    Genes of equal counts share their mean rank, as in `scipy.stats.rankdata`. Less the zeros' rank, ranks are
    as sparse as counts; with a profile that sums to 0 their product is that of the centered ranks.
    """
    values = values.copy()
    values.eliminate_zeros()
    ranks, lengths = np.empty(values.nnz), np.empty(values.shape[0])
    _rank_cells(values.data, values.indptr, values.shape[1], ranks, lengths)
    return sparse.csr_matrix((ranks, values.indices, values.indptr), values.shape), lengths


@numba.njit(cache=True)
def _rank_cells(
    values: np.ndarray, starts: np.ndarray, n_genes: int, ranks: np.ndarray, lengths: np.ndarray
) -> None:
    """Write the ranks of cells whose values begin at `starts`, and their lengths; see `centered_ranks`."""
    numbers = np.zeros(COUNTED, dtype=np.int64)
    for cell in range(len(lengths)):
        some = values[starts[cell] : starts[cell + 1]]
        found = ranks[starts[cell] : starts[cell + 1]]
        if _are_small_counts(some):
            _places_of_counts(some, numbers, found)
        else:
            _places_of_values(some, found)
        # Places count from 0; a cell's zeros come before its values.
        n_zeros = n_genes - len(some)
        middle, of_zeros = (n_genes + 1) / 2, (n_zeros + 1) / 2
        squares = 0.0
        for value in range(len(some)):
            rank = found[value] + n_zeros + 1
            squares += (rank - middle) ** 2
            found[value] = rank - of_zeros
        lengths[cell] = np.sqrt(squares + n_zeros * (of_zeros - middle) ** 2)


@numba.njit(cache=True)
def _are_small_counts(values: np.ndarray) -> bool:
    small = True
    for value in values:
        small &= 0 <= value < COUNTED and value == np.floor(value)
    return small


@numba.njit(cache=True)
def _places_of_counts(counts: np.ndarray, numbers: np.ndarray, places: np.ndarray) -> None:
    """Each count's mean place among all, from how many there are of each; `numbers` is 0 before and after."""
    most = 0
    for count in counts:
        numbers[int(count)] += 1
        most = max(most, int(count))
    first = 0
    for count in range(most + 1):
        # From here on the sum of the first and the last place of this count.
        first, numbers[count] = first + numbers[count], 2 * first + numbers[count] - 1
    for value in range(len(counts)):
        places[value] = numbers[int(counts[value])] / 2
    numbers[: most + 1] = 0


@numba.njit(cache=True)
def _places_of_values(values: np.ndarray, places: np.ndarray) -> None:
    """The same by sorting, whatever the values."""
    order = np.argsort(values)
    first = 0
    while first < len(values):
        last = first
        while last + 1 < len(values) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in range(first, last + 1):
            places[order[place]] = (first + last) / 2
        first = last + 1


def fitted_temperature(correlations: np.ndarray, codes: np.ndarray) -> float:
    """The divisor of correlations (cells × labels) under which the cells' labels are most likely."""
    return likeliest_temperature(
        lambda temperature: log_softmax(correlations / temperature, axis=1), codes, bounds=TEMPERATURES
    )
