"""Sums of expression by label, written by predict_labels per chunk and by train_classifier.

They are sums of integers, exactly the same for any order of cells, blocks and chunks. The rounding error of a
gene's mean is a millionth.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from ..core.atomic import complete

REFERENCE_SUMS = "expression_sums.npz"
"""Name of the classifiers' file with sums over the training cells of heads on expression."""

SCALE, SQUARE_SCALE = 1 << 20, 1 << 16
"""Factor of values and squares before rounding; log1p CP10k is below 10."""

LARGEST = 1024.0
"""Upper limit of values, so that sums of 100 million cells fit 64 bits."""


class ExpressionSums:
    """Sums and sums of squares of expression, by label.

    Parameters
    ----------
    labels
        Names of the labels.
    n_genes
        Genes of a cell.

    Attributes
    ----------
    labels
        Names of the labels.
    cells
        Number of summed cells by label, int64.
    """

    def __init__(self, labels: Sequence[str], n_genes: int) -> None:
        self.labels = list(labels)
        self.cells = np.zeros(len(self.labels), dtype=np.int64)
        # Pages of labels without cells are never touched, and take no memory.
        self._sums = np.zeros((len(self.labels), n_genes), dtype=np.int64)
        self._squares = np.zeros((len(self.labels), n_genes), dtype=np.int64)

    @property
    def n_genes(self) -> int:
        """Genes of a cell."""
        return self._sums.shape[1]

    def add(self, expression: sparse.csr_matrix, codes: np.ndarray) -> None:
        """Add cells (cells × genes, CSR float32); codes are places of labels, negative for no label."""
        # Imported late: reading sums does not need numba.
        from .summing import add_rows

        codes = codes.astype(np.int64)
        self.cells += np.bincount(codes[codes >= 0], minlength=len(self.labels))
        add_rows(expression.data, expression.indices, expression.indptr, codes, self._sums, self._squares)

    def add_sums(self, other: Self) -> None:
        """Add the sums of other cells of the same genes; their labels are among these."""
        place = {label: code for code, label in enumerate(self.labels)}
        for code, label in enumerate(other.labels):
            self.cells[place[label]] += other.cells[code]
            self._sums[place[label]] += other._sums[code]
            self._squares[place[label]] += other._squares[code]

    def mean(self, code: int) -> np.ndarray:
        """Mean expression of a label's cells by gene, float64; NaN without cells."""
        return self._sums[code] / SCALE / (self.cells[code] or np.nan)

    def variance(self, code: int) -> np.ndarray:
        """Variance among a label's cells by gene, float64; NaN for fewer than two."""
        n_cells = self.cells[code]
        if n_cells < 2:
            return np.full(self.n_genes, np.nan)
        squares = self._squares[code] / SQUARE_SCALE / n_cells
        return np.maximum(squares - self.mean(code) ** 2, 0) * n_cells / (n_cells - 1)

    def save(self, path: str | Path) -> None:
        """Write the sums as npz; the file appears when it is complete."""
        known = np.flatnonzero(self.cells)
        with complete(path) as temporary:
            np.savez_compressed(
                temporary,
                labels=np.array([self.labels[code] for code in known], dtype=str),
                cells=self.cells[known],
                sums=self._sums[known],
                squares=self._squares[known],
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote: labels without cells are not among them."""
        with np.load(path, allow_pickle=False) as arrays:
            read = cls(arrays["labels"].tolist(), 0)
            read.cells, read._sums, read._squares = (arrays[key] for key in ("cells", "sums", "squares"))
        return read
