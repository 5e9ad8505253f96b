"""Small outputs of Xenium, CosMx and MERSCOPE, as the instruments write them, with known counts."""

import gzip

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

GENES = ["Slc17a7", "Gad1", "Aqp4", "Cldn5", "Pvalb", "Sst"]
TYPES = {
    "NegControlProbe_00042": "Negative Control Probe",
    "antisense_PROKR2": "Negative Control Probe",
    "NegControlCodeword_0500": "Negative Control Codeword",
    "UnassignedCodeword_0001": "Unassigned Codeword",
    "DeprecatedCodeword_0122": "Deprecated Codeword",
    "BLANK_0069": "Blank Codeword",
    "Intergenic_Region_1093": "Genomic Control",
}
"""Controls of Xenium, and their types."""

COSMX_CONTROLS = ["Negative1", "NegPrb10", "SystemControl3", "FalseCode7"]
N_CELLS = 30


def make_counts(n_features, n_cells=N_CELLS):
    """Cells × features."""
    return np.random.default_rng(n_features).poisson(2.0, size=(n_cells, n_features)).astype(np.int32)


def make_places(n_cells=N_CELLS):
    """Places of cells: pixels of a large slide, which float32 cannot hold."""
    return np.random.default_rng(1).uniform(1e5, 2e5, size=(n_cells, 2)).round(4)


def write_xenium(folder, *, table="cells.parquet", typed=True, genes=GENES, n_placed=N_CELLS, places=None):
    """A Xenium folder; counts of all features, genes first, and places."""
    folder.mkdir(parents=True, exist_ok=True)
    features = [*genes, *TYPES]
    counts, places = make_counts(len(features)), make_places() if places is None else places
    cells = [f"aaab{'abcdefghijklmnop'[n % 16]}{n}-1" for n in range(N_CELLS)]
    by_cell = sparse.csr_matrix(counts)
    with h5py.File(folder / "cell_feature_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array(counts.shape[::-1], dtype=np.int32)
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(by_cell, key)
        group["barcodes"] = np.array(cells, dtype="S")
        described = group.create_group("features")
        ids = [f"ENSMUSG{n:011d}" for n in range(len(genes))] + list(TYPES)
        types = ["Gene Expression"] * len(genes) + list(TYPES.values())
        for key, values in {
            "id": ids,
            "name": features,
            "feature_type": types if typed else ["Gene Expression"] * len(features),
            "genome": ["Unknown"] * len(features),
        }.items():
            described[key] = np.array(values, dtype="S")
    if table:
        # Another order than that of the matrix.
        placed = np.random.default_rng(2).permutation(N_CELLS)[:n_placed]
        frame = pd.DataFrame(
            {
                "cell_id": np.array(cells)[placed],
                "x_centroid": places[placed, 0],
                "y_centroid": places[placed, 1],
                "cell_area": 50.5,
            }
        )
        if table.endswith(".parquet"):
            frame.to_parquet(folder / table, index=False)
        else:
            frame.to_csv(folder / table, index=False)
    return counts, places


def write_cosmx(folder, *, prefix="Slide1_", ending=".csv", outside=True, metadata=True):
    """Flat files of CosMx, with a line of cell 0 for each field of view; counts, names and places."""
    folder.mkdir(parents=True, exist_ok=True)
    features = [*GENES, *COSMX_CONTROLS]
    counts, places = make_counts(len(features)), make_places()
    views, numbers = np.repeat([1, 2, 3], N_CELLS // 3), np.tile(np.arange(1, N_CELLS // 3 + 1), 3)
    open_text = gzip.open if ending.endswith(".gz") else open
    with open_text(folder / f"{prefix}exprMat_file{ending}", "wt") as file:
        file.write(",".join(["fov", "cell_ID", *features]) + "\n")
        for cell in range(N_CELLS):
            if outside and numbers[cell] == 1:
                file.write(",".join(map(str, [views[cell], 0, *[900] * len(features)])) + "\n")
            file.write(",".join(map(str, [views[cell], numbers[cell], *counts[cell]])) + "\n")
    if metadata:
        pd.DataFrame(
            {
                "fov": views,
                "cell_ID": numbers,
                "Area": 7,
                "CenterX_local_px": places[:, 0] % 4000,
                "CenterY_local_px": places[:, 1] % 4000,
                "CenterX_global_px": places[:, 0],
                "CenterY_global_px": places[:, 1],
            }
        ).to_csv(folder / f"{prefix}metadata_file{ending}", index=False)
    return counts, [f"{number}_{view}" for number, view in zip(numbers, views, strict=True)], places


def write_merscope(folder):
    """Tables of MERSCOPE; counts, names and places."""
    folder.mkdir(parents=True, exist_ok=True)
    features = [*GENES, "Blank-1", "Blank-20"]
    counts, places = make_counts(len(features)), make_places()
    names = [f"1108834247646{n:05d}" for n in range(N_CELLS)]
    index = pd.Index(names, name="cell")
    pd.DataFrame(counts, index=index, columns=features).to_csv(folder / "cell_by_gene.csv")
    frame = pd.DataFrame(
        {"fov": 1, "volume": 3.5, "center_x": places[:, 0], "center_y": places[:, 1]}, index=names
    )
    frame.iloc[::-1].to_csv(folder / "cell_metadata.csv")
    return counts, names, places
