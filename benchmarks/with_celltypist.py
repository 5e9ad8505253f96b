"""Train CellTypist on a run's reference and predict its queries; run by `accuracy_others.py`.

    python with_celltypist.py REFERENCE.h5ad FOLDER QUERY.h5ad...

The files hold raw counts of the common genes (or values of markers), and the labels in the obs column
`label`. FOLDER gets one table per query, with its name: cell, label, probability, and `voted`, the majority
label of its cluster. This runs in a separate environment (celltypist.txt), without cellferry.
"""

import sys
from pathlib import Path

import anndata as ad
import celltypist
import hdf5plugin  # noqa: F401 (filters of the counts)
import numpy as np
import scanpy as sc

COMPONENTS = 50
"""Components of CellTypist's graph for clusters, which needs more cells and genes."""

SHIFT = 4
"""Added to marker values, so that all are 0 or more."""


def holds_values(cells: ad.AnnData) -> bool:
    """True if X holds marker values instead of counts."""
    return cells.uns["cellferry"].get("values") == "intensities"


def normalized(path: str) -> ad.AnnData:
    """Cells as input of CellTypist: log1p of counts per 10,000, or shifted marker values."""
    cells = ad.read_h5ad(path)
    if holds_values(cells):
        # Most values are between 0 and 1. CellTypist needs 0 to 9.22, and scales its input itself.
        cells.X = np.clip(cells.X.toarray() + SHIFT, 0, 2 * SHIFT)
    else:
        sc.pp.normalize_total(cells, target_sum=1e4)
        sc.pp.log1p(cells)
    return cells


def main(reference: str, folder: str, queries: list[str]) -> None:
    """Train once, predict all: CellTypist's defaults, with and without majority voting."""
    cells = normalized(reference)
    model = celltypist.train(cells, labels="label", n_jobs=1, check_expression=not holds_values(cells))
    for query in queries:
        cells = normalized(query)
        if min(cells.shape) <= COMPONENTS:
            # Without pynndescent, whose array scanpy does not support.
            sc.pp.neighbors(cells, use_rep="X", transformer="sklearn")
        predicted = celltypist.annotate(cells, model=model, majority_voting=True)
        labels = predicted.predicted_labels
        table = labels[["predicted_labels"]].rename(columns={"predicted_labels": "label"})
        # It does not vote among 50 cells or fewer: these keep their labels.
        table["voted"] = labels.get("majority_voting", table["label"])
        table["probability"] = predicted.probability_matrix.max(axis=1)
        table.to_csv(Path(folder) / f"{Path(query).stem}.tsv", sep="\t", index_label="cell")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
