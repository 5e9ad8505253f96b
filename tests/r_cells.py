"""Small cells as objects of R: counts, a data frame and a Seurat object, for tests/r_writer.py to write."""

import bz2
import gzip
import lzma

import numpy as np
import r_writer as r
from scipy import sparse

N_CELLS, N_GENES = 50, 20
GENES = [f"Gene{i}" for i in range(N_GENES)]
CELLS = [f"Zelle{i}" for i in range(N_CELLS)]
OPENERS = {"plain": open, "gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}


def make_counts():
    """Cells × genes."""
    return sparse.csr_matrix(np.random.default_rng(0).poisson(0.6, size=(N_CELLS, N_GENES)).astype(float))


def make_frame():
    return r.frame(
        {
            "label": r.factor(np.arange(N_CELLS) % 3 + 1, ["B", "β", "NA"]),
            "text": r.strings([None, "x"] * 25),
            "number": r.numbers(np.where(np.arange(N_CELLS) % 5, 0.5, np.nan)),
            "whole": r.numbers(np.arange(N_CELLS)),
            "flag": r.numbers(np.arange(N_CELLS) % 2 == 0),
        },
        CELLS,
    )


def make_seurat(**slots):
    counts = r.dgc(make_counts(), GENES, CELLS)
    return r.seurat({"RNA": r.assay(**({"counts": counts, "data": counts} | slots))}, make_frame(), "RNA")
