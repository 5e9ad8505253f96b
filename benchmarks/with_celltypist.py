"""Train CellTypist on a run's reference and predict its queries; `accuracy_runs.py` runs this apart.

    python with_celltypist.py REFERENCE.h5ad FOLDER QUERY.h5ad...

The files hold raw counts of the common genes, and the labels in the obs column `label`. FOLDER gets one table
per query, of its name: cell, label, probability. This runs in an environment of its own (celltypist.txt),
without cellferry.
"""

import sys
from pathlib import Path

import anndata as ad
import celltypist
import scanpy as sc


def normalized(path: str) -> ad.AnnData:
    """Cells as CellTypist wants them: log1p of counts per 10,000."""
    cells = ad.read_h5ad(path)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    return cells


def main(reference: str, folder: str, queries: list[str]) -> None:
    """Train once, predict all; the defaults of CellTypist, without its vote within clusters of the query."""
    cells = normalized(reference)
    model = celltypist.train(cells, labels="label", n_jobs=1)
    for query in queries:
        predicted = celltypist.annotate(normalized(query), model=model, majority_voting=False)
        table = predicted.predicted_labels.rename(columns={"predicted_labels": "label"})[["label"]]
        table["probability"] = predicted.probability_matrix.max(axis=1)
        table.to_csv(Path(folder) / f"{Path(query).stem}.tsv", sep="\t", index_label="cell")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
