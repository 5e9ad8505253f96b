"""Entries of a matrix in any order, sorted into row blocks through temporary files."""

import numpy as np
import pytest
from cellferry.formats.sorting import Entries, OutOfOrderError, row_blocks, sorted_row_blocks
from scipy import sparse


def random_matrix(n_rows=200, n_columns=30, density=0.3):
    matrix = sparse.random(n_rows, n_columns, density=density, random_state=0, format="coo", dtype=np.float32)
    matrix.data = np.rint(matrix.data * 9) + 1
    return matrix


def in_batches(matrix, order, size):
    for start in range(0, len(order), size):
        some = order[start : start + size]
        yield Entries(matrix.row[some], matrix.col[some], matrix.data[some])


def size_of(block):
    return 8 * block.nnz + 128 * block.shape[0]


@pytest.mark.parametrize("max_bytes", [200, 2_000, 20_000, 10**7])
@pytest.mark.parametrize("nonzeros", [None, 1800, 10**7])
def test_row_blocks_in_any_order(tmp_path, max_bytes, nonzeros):
    matrix = random_matrix()
    order = np.random.default_rng(0).permutation(matrix.nnz)
    blocks = list(
        row_blocks(in_batches(matrix, order, 100), matrix.shape, max_bytes, tmp_path, nonzeros=nonzeros)
    )
    assert np.array_equal(sparse.vstack(blocks).toarray(), matrix.toarray())
    assert all(size_of(block) <= max_bytes for block in blocks if block.shape[0] > 1)
    assert all(block.dtype == np.float32 and block.has_canonical_format for block in blocks)
    assert not list(tmp_path.iterdir())


def test_row_blocks_deals_uneven_rows_again(tmp_path):
    dense = np.zeros((64, 50), dtype=np.float32)
    dense[3] = 1  # all entries in neighboring rows, so that equal ranges of rows differ in size
    dense[4] = 2
    dense[5] = 3
    matrix = sparse.coo_matrix(dense)
    blocks = list(
        row_blocks(in_batches(matrix, np.arange(150), 7), dense.shape, 1000, tmp_path, nonzeros=150)
    )
    assert np.array_equal(sparse.vstack(blocks).toarray(), dense)
    assert all(size_of(block) <= 1000 for block in blocks)


def test_row_blocks_sums_what_stands_twice_and_yields_empty_rows(tmp_path):
    batch = Entries(np.array([2, 2]), np.array([1, 1]), np.array([3.0, 4.0]))
    blocks = list(row_blocks([batch], (5, 2), 10**6, tmp_path, nonzeros=2))
    assert sparse.vstack(blocks).toarray().tolist() == [[0, 0], [0, 0], [0, 7], [0, 0], [0, 0]]


@pytest.mark.parametrize("row", [-1, 5, 2**31 - 1])
def test_row_blocks_refuses_entries_outside_the_matrix(tmp_path, row):
    batch = Entries(np.array([2, row]), np.array([1, 1]), np.array([3.0, 4.0]))
    with pytest.raises(IndexError, match="outside the matrix"):
        list(row_blocks([batch], (5, 2), 10**6, tmp_path, nonzeros=2))


def test_row_blocks_leaves_nothing_behind_when_given_up(tmp_path):
    matrix = random_matrix()
    blocks = row_blocks(
        in_batches(matrix, np.arange(matrix.nnz), 100), matrix.shape, 500, tmp_path, nonzeros=None
    )
    next(blocks)
    assert list(tmp_path.iterdir())
    blocks.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("max_bytes", [200, 2_000, 10**7])
@pytest.mark.parametrize("batch", [1, 13, 10**6])
def test_sorted_row_blocks(max_bytes, batch):
    matrix = random_matrix(density=0.05)  # with empty rows
    order = np.argsort(matrix.row, kind="stable")
    blocks = list(sorted_row_blocks(in_batches(matrix, order, batch), matrix.shape, max_bytes))
    assert np.array_equal(sparse.vstack(blocks).toarray(), matrix.toarray())
    assert all(size_of(block) <= max_bytes for block in blocks if block.shape[0] > 1)


def test_sorted_row_blocks_without_entries():
    assert sum(block.shape[0] for block in sorted_row_blocks([], (7, 3), 300)) == 7


@pytest.mark.parametrize("batch", [1, 3])
def test_sorted_row_blocks_says_when_the_order_ends(batch):
    matrix = sparse.coo_matrix(np.ones((4, 3), dtype=np.float32))
    order = np.argsort(matrix.row, kind="stable")
    order[[5, 11]] = order[[11, 5]]
    with pytest.raises(OutOfOrderError):
        list(sorted_row_blocks(in_batches(matrix, order, batch), matrix.shape, 10**6))
