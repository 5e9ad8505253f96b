"""Counts of selected genes: duplicate genes are summed, and others left out."""

import numpy as np
from cellferry.features.gene_selection import GeneSelection
from scipy import sparse


def test_duplicates_are_summed_and_strangers_left_out():
    counts = sparse.csr_matrix(np.array([[1, 2, 4, 8], [0, 3, 0, 1]], dtype=np.float32))
    ids = np.array(["A", "B", "A", None], dtype=object)
    selected = GeneSelection(ids, ["B", "A", "C"])(counts)
    np.testing.assert_array_equal(selected.toarray(), [[2, 5, 0], [3, 0, 0]])
    assert selected.dtype == np.float32
