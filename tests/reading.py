"""Helpers of the format tests."""

import numpy as np
from cellferry import formats
from cellferry.formats import Options
from scipy import sparse


def read_header(path, file_format="auto", **options):
    return formats.header(path, Options(dataset="blood", **options), file_format)


def read_all(header, scratch, max_bytes=10**6, columns=()):
    """Content of a file: dense counts, names, obs, and the blocks' sizes in bytes."""
    blocks = list(formats.blocks(header, list(columns), max_bytes, scratch))
    assert all(block.counts.dtype == np.float32 for block in blocks)
    assert all(block.counts.has_canonical_format for block in blocks)
    assert all(len(block.names) == len(block) for block in blocks)
    counts = sparse.vstack([block.counts for block in blocks]).toarray()
    assert counts.shape == (header.n_cells, header.n_genes)
    names = np.concatenate([block.names for block in blocks])
    obs = {column: np.concatenate([block.obs[column] for block in blocks]) for column in columns}
    cells = list(formats.cells(header, list(columns)))
    assert np.array_equal(np.concatenate([some.names for some in cells]), names)
    sizes = [8 * block.counts.nnz + 128 * len(block) for block in blocks if len(block) > 1]
    return counts, names, obs, sizes
