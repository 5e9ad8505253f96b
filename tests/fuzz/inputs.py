"""Small valid files of every format, and damaged copies of them by a seed."""

import gzip
import shutil
import warnings

import numpy as np
import pandas as pd
import r_writer as r
from damage import damage
from r_cells import make_seurat
from small_fcs import make_values, write_fcs
from sparse_files import CELLS, FORMATS, GENES, make_counts
from tenx_files import write_mtx
from test_formats_h5mu import make_two, write_h5mu
from test_formats_loom import write_loom
from verdict import Finding, content, judge


def _csv(folder, _):
    table = pd.DataFrame(make_counts().astype(int), index=CELLS, columns=GENES)
    table.to_csv(folder / "a.csv")
    return folder / "a.csv"


def _mtx(folder, _):
    write_mtx(folder / "mtx", ending="")
    return folder / "mtx"


def _parquet(folder, _):
    counts = make_counts().astype(int)
    table = pd.DataFrame(counts, columns=GENES)
    table.insert(0, "cell_id", CELLS)
    table["batch"] = ["a", "b"] * (len(CELLS) // 2)
    table.to_parquet(folder / "a.parquet", row_group_size=15)
    return folder / "a.parquet"


def _packed_rds(folder, _):
    r.write_rds(folder / "a.rds", make_seurat(), gzip.open)
    return folder / "a.rds"


WRITERS = FORMATS | {
    "h5mu": lambda folder, _: write_h5mu(folder / "a.h5mu", make_two()) or folder / "a.h5mu",
    "Seurat, packed": _packed_rds,
    "parquet": _parquet,
    "FCS": lambda folder, _: write_fcs(folder / "a.fcs", make_values()) or folder / "a.fcs",
    "loom": lambda folder, _: write_loom(folder / "a.loom"),
    "csv": _csv,
    "mtx": _mtx,
}

INPUTS = {
    "h5ad CSR": 120,
    "h5ad CSC": 40,
    "zarr CSR": 20,
    "zarr CSC": 10,
    "10x h5": 300,
    "h5Seurat": 300,
    "rds": 400,
    "BPCells": 400,
    "loom": 100,
    "h5mu": 30,
    "Seurat, packed": 200,
    "parquet": 150,
    "FCS": 300,
    "csv": 300,
    "mtx": 200,
}
"""Number of files of a format per round."""


def fuzz(name, numbers, folder, tell=lambda name, number: None):
    """Judge damaged files of a format, one per number, which reproduces it.

    Returns
    -------
    Findings as sentences, and counts of each verdict.
    """
    found, verdicts = [], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = WRITERS[name](folder, {})
        original = content(whole, folder / "scratch")
        kept = folder / "whole"
        shutil.copytree(whole, kept) if whole.is_dir() else shutil.copy(whole, kept)
        for number in numbers:
            tell(name, number)
            shutil.rmtree(whole) if whole.is_dir() else whole.unlink()
            shutil.copytree(kept, whole) if kept.is_dir() else shutil.copy(kept, whole)
            rng = np.random.default_rng([number, *name.encode()])
            what = damage(whole, rng)
            try:
                verdict = judge(whole, original, folder / "scratch")
            except Finding as finding:
                verdict = "found"
                found.append(f"{name}, number {number} ({what}): {finding}")
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
    return found, verdicts
