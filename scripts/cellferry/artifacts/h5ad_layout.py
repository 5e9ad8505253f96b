"""The layout of the h5ad files that pass between rules.

Each of them is plain AnnData on disk (X as CSR float32, obs, var), readable with `anndata.read_h5ad`.
`H5adWriter` appends blocks; `H5adReader` reads row ranges. Neither holds more than a block of X,
whatever the number of cells.

Below `uns/cellferry` each file holds the CRC-32 of its stored values and of their genes, once per file that
it was put together from, and an id made from its content: the same cells give the same id.
"""

import numpy as np

INDPTR_WINDOW = 1 << 17
VALUES_AT_ONCE = 1 << 22
CELLS_PER_RANGE = 1 << 16
BYTES_PER_CELL = 256
INT32_MAX = np.iinfo(np.int32).max
X_ARRAYS = {"data": np.dtype(np.float32), "indices": np.dtype(np.int32)}
"""Arrays of X that are as long as there are values, and what they are held as in memory."""

AXES = ("spatial_x", "spatial_y", "spatial_z")
"""Columns of obs with coordinates; `obsm["spatial"]` of the labeled file."""

SECTION = "spatial_section"
"""Column with the file that a cell is of, in a dataset of several: each has coordinates of its own."""
