"""The genes of a model among those of a dataset."""

import numpy as np
from scipy import sparse


class GeneSelection:
    """Turns counts of a file's genes into counts of the selected genes.

    Parameters
    ----------
    ids
        One id (or None) per gene of the file. Duplicate genes are summed.
    selected
        Ids wanted, each once.
    """

    def __init__(self, ids: np.ndarray, selected: list[str]) -> None:
        self.n_genes = len(selected)
        target = {gene: column for column, gene in enumerate(selected)}
        columns = np.array([target.get(gene, -1) for gene in ids])
        rows = np.flatnonzero(columns >= 0)
        self._columns = None
        if len(rows) == len(selected) == len(np.unique(columns[rows])):
            # Each once: picking columns is twice as fast as multiplying.
            self._columns = rows[np.argsort(columns[rows])]
        ones = np.ones(len(rows), dtype=np.float32)
        self._matrix = sparse.csr_matrix((ones, (rows, columns[rows])), shape=(len(ids), len(selected)))

    def __call__(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Counts of the selected genes: cells × selected genes, CSR float32."""
        return counts @ self._matrix if self._columns is None else counts[:, self._columns]
