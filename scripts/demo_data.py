"""Make the demo's two datasets from the 700 blood cells that ship inside scanpy.

pbmc68k_reduced (Zheng et al. 2017) holds 765 genes, log-normalized to 10,000 counts a cell and rounded
to three decimals, and each cell's count over all genes. This recovers the counts exactly:
expm1(value) × total / 10,000 differs from a whole number by rounding only.
"""

import gzip
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from cellferry.core.atomic import complete
from cellferry.core.job import job
from scipy import io, sparse

QUERY_SHARE = 0.4
LARGEST_ROUNDING_ERROR = 0.1


def recover_counts() -> ad.AnnData:
    """Packaged cells: log-normalized in X, raw counts in layers["counts"] (700 cells × 765 genes).

    Raises
    ------
    RuntimeError
        If the recovered counts are not whole numbers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the packaged file is of an old on-disk version
        packaged = sc.datasets.pbmc68k_reduced()
    totals = packaged.obs["n_counts"].to_numpy()
    counts = np.expm1(packaged.raw.X.toarray()) * totals[:, None] / 1e4
    error = np.abs(counts - np.round(counts)).max()
    if error > LARGEST_ROUNDING_ERROR:
        raise RuntimeError(f"the packaged data has changed: a recovered count is off by {error:.2f}")
    cells = ad.AnnData(
        sparse.csr_matrix(packaged.raw.X, dtype=np.float32),
        obs=packaged.obs[["bulk_labels"]].astype("category"),
        var=pd.DataFrame(index=packaged.raw.var_names),
    )
    cells.layers["counts"] = sparse.csr_matrix(np.round(counts), dtype=np.float32)
    return cells


def write_10x(cells: ad.AnnData, folder: Path) -> None:
    """Write counts as Cell Ranger 3 does: genes × cells in matrix.mtx.gz, features and barcodes beside it."""
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        io.mmwrite(file, cells.layers["counts"].T.astype(np.int32).tocoo(), field="integer")
    features = [f"{gene}\t{gene}\tGene Expression\n" for gene in cells.var_names]
    with gzip.open(folder / "features.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines(features)
    with gzip.open(folder / "barcodes.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in cells.obs_names)


def demo_data(reference: str, query: str, query_obs: str, *, seed: int) -> None:
    """Write a reference (h5ad) and a query (10x folder, labels in a table beside it) of different cells."""
    cells = recover_counts()
    is_query = np.zeros(cells.n_obs, dtype=bool)
    is_query[np.random.default_rng(seed).permutation(cells.n_obs)[: int(QUERY_SHARE * cells.n_obs)]] = True
    with complete(reference) as path:
        cells[~is_query].copy().write_h5ad(path)
    with complete(query_obs) as path:
        cells[is_query].obs.to_csv(path, index_label="cell")
    with complete(query) as path:
        write_10x(cells[is_query].copy(), path)
    print(f"{(~is_query).sum()} reference cells, {is_query.sum()} query cells, {cells.n_vars} genes")


if __name__ == "__main__":
    with job(snakemake):
        demo_data(snakemake.output.reference, snakemake.output.query, snakemake.output.query_obs, seed=0)
