"""Small files as Cell Ranger writes them: HDF5, folders of mtx files, zip archives."""

import gzip
import zipfile

import h5py
import numpy as np
from scipy import sparse

N_CELLS, N_GENES = 40, 30
BARCODES = [f"{'ACGT' * 4}{i}-1" for i in range(N_CELLS)]


def make_counts():
    """Cells × genes."""
    return np.random.default_rng(0).poisson(0.4, size=(N_CELLS, N_GENES)).astype(np.int32)


def write_h5(path, *, types=("Gene Expression",), genomes=("GRCh38",)):
    by_cell = sparse.csr_matrix(make_counts())
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array([N_GENES, N_CELLS], dtype=np.int32)
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(by_cell, key)
        group["barcodes"] = np.array(BARCODES, dtype="S")
        features = group.create_group("features")
        columns = {
            "id": [f"ENSG{i:011d}" for i in range(N_GENES)],
            "name": [f"GENE{i // 2}" for i in range(N_GENES)],
            "feature_type": [types[i % len(types)] for i in range(N_GENES)],
            "genome": [genomes[i % len(genomes)] for i in range(N_GENES)],
        }
        for key, values in columns.items():
            features[key] = np.array(values, dtype="S")


def write_mtx(
    folder, *, order="cells", prefix="", ending=".gz", field="integer", old=False, types=True, n_listed=None
):
    """Write a folder; returns its counts, cells × genes."""
    folder.mkdir(exist_ok=True)
    counts = sparse.coo_matrix(make_counts())
    keys = {
        "cells": np.lexsort([counts.col, counts.row]),
        "genes": np.lexsort([counts.row, counts.col]),
        "random": np.random.default_rng(1).permutation(counts.nnz),
        # Sorted up to the last entries, which belong to the first cell.
        "late": np.lexsort([counts.col, np.where(np.arange(counts.nnz) < 3, N_CELLS, counts.row)]),
    }
    lines = [
        f"%%MatrixMarket matrix coordinate {field} general",
        "%",
        f"{N_GENES} {N_CELLS} {n_listed or counts.nnz}",
    ]
    lines += [f"{counts.col[i] + 1} {counts.row[i] + 1} {counts.data[i]}" for i in keys[order]]
    features = [
        "\t".join([f"ENSG{i:011d}", f"GENE{i}"] + ([] if old or not types else ["Gene Expression"]))
        for i in range(N_GENES)
    ]
    write_text(folder / f"{prefix}matrix.mtx{ending}", lines)
    write_text(folder / f"{prefix}{'genes' if old else 'features'}.tsv{ending}", features)
    write_text(folder / f"{prefix}barcodes.tsv{ending}", BARCODES)
    return make_counts()


def write_text(path, lines):
    text = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def pack(folder, path, *, inside="", compression=zipfile.ZIP_DEFLATED, more=()):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}{file.name}")
        for name in more:
            archive.writestr(name, "a")
    return path
