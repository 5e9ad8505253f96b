"""Train CellTypist on a run's reference and predict its queries; `accuracy_others.py` runs this apart.

    python with_celltypist.py REFERENCE.h5ad FOLDER QUERY.h5ad...

The files hold raw counts of the common genes (or values of markers), and the
labels in the obs column `label`. FOLDER gets one table per query, of its name: cell, label, probability, and
`voted`, the label that most cells of its cluster got. This runs in an environment of its own
(celltypist.txt), without cellferry.
"""

import sys
from pathlib import Path

import anndata as ad
import celltypist
import numpy as np
import scanpy as sc

COMPONENTS = 50
"""Of CellTypist's own graph for clusters, which it cannot make of as many cells or genes."""

SHIFT = 4
"""What is added to values of markers, so that none is below 0."""


def holds_values(cells: ad.AnnData) -> bool:
    """Whether X holds values of markers, and not counts."""
    return cells.uns["cellferry"].get("values") == "intensities"


def normalized(path: str) -> ad.AnnData:
    """Cells as CellTypist wants them: log1p of counts per 10,000, or shifted values of markers."""
    cells = ad.read_h5ad(path)
    if holds_values(cells):
        # Most lie between 0 and 1. CellTypist refuses others than 0 to 9.22, and scales what it takes itself.
        cells.X = np.clip(cells.X.toarray() + SHIFT, 0, 2 * SHIFT)
    else:
        sc.pp.normalize_total(cells, target_sum=1e4)
        sc.pp.log1p(cells)
    return cells


def main(reference: str, folder: str, queries: list[str]) -> None:
    """Train once, predict all; the defaults of CellTypist, with its vote within clusters and without."""
    cells = normalized(reference)
    model = celltypist.train(cells, labels="label", n_jobs=1, check_expression=not holds_values(cells))
    for query in queries:
        cells = normalized(query)
        if min(cells.shape) <= COMPONENTS:
            # Not by pynndescent, whose array scanpy cannot take.
            sc.pp.neighbors(cells, use_rep="X", transformer="sklearn")
        predicted = celltypist.annotate(cells, model=model, majority_voting=True)
        labels = predicted.predicted_labels
        table = labels[["predicted_labels"]].rename(columns={"predicted_labels": "label"})
        # It holds no vote among 50 cells or fewer: these keep their labels.
        table["voted"] = labels.get("majority_voting", table["label"])
        table["probability"] = predicted.probability_matrix.max(axis=1)
        table.to_csv(Path(folder) / f"{Path(query).stem}.tsv", sep="\t", index_label="cell")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
