"""The layout of h5ad files between rules.

Each of them is plain AnnData on disk (X as CSR float32, obs, var), readable with `anndata.read_h5ad`.
`H5adWriter` appends blocks; `H5adReader` reads row ranges. Both keep at most a block of X in
memory.

Below `uns/cellferry` each file holds the CRC-32 of its stored values and of their genes, once per source
file, and an id made from its content: the same cells give the same id.
"""

import numpy as np

INDPTR_WINDOW = 1 << 17
VALUES_AT_ONCE = 1 << 22
CELLS_PER_RANGE = 1 << 16
BYTES_PER_CELL = 256
INT32_MAX = np.iinfo(np.int32).max
X_ARRAYS = {"data": np.dtype(np.float32), "indices": np.dtype(np.int32)}
"""Arrays of X with one entry per stored value, and their types in memory."""

AXES = ("spatial_x", "spatial_y", "spatial_z")
"""Columns of obs with coordinates; `obsm["spatial"]` of the labeled file."""

SECTION = "spatial_section"
"""Column with a cell's file, in a dataset of several files, each with its own coordinates."""
