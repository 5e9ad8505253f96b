"""Datasets as the workflow converts them: inspected, checked, and cut into chunks."""

import anndata as ad
import numpy as np
import pandas as pd
from cellferry.resources.budget import Budget
from check_datasets import check_datasets
from convert_to_chunks import convert_to_chunks
from inspect_dataset import inspect_dataset
from scipy import sparse
from simulate import DATASET_DEFAULTS, label_names

N_CELLS, N_GENES = 70, 40


def make_adata():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, size=(N_CELLS, N_GENES)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "ct": pd.Categorical(["B", "T", None, "nan", "B"] * 14),
            "donor": pd.Categorical(["d1", "d2"] * 34 + [None, "d1"]),
            "n": np.arange(N_CELLS, dtype=float),
            "doublet": ["SNG", "SNG", "DBL", "SNG", "SNG"] * 14,
            "plate": [1, 2] * 35,
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    names = [f"G{i}" for i in range(N_GENES - 1)] + ["G0"]  # a duplicate name
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame({"id": names}, index=names))


LITTLE = Budget(700)


def convert(path, folder, *, obs=None, budget=LITTLE, scratch=None, **config):
    """Inspect, check and convert; the chunks in their order."""
    settings = {
        "path": path if isinstance(path, list | dict) else str(path),
        "obs": obs if isinstance(obs, list) else obs and str(obs),
    }
    settings = {**DATASET_DEFAULTS, "role": "query", **settings, "chunks": 3, "jobs": 1, **config}
    inspected = folder.with_suffix(".json")
    inspect_dataset(str(inspected), name="blood", config=settings, label_names=label_names())
    check_datasets([str(inspected)], str(folder.with_suffix(".tsv")), parents={})
    for job in range(settings["jobs"]):
        convert_to_chunks(
            str(inspected),
            str(folder / str(job)),
            name="blood",
            config=settings,
            label_names=label_names(),
            job=job,
            budget=budget,
            scratch=scratch,
        )
    paths = sorted(folder.glob("*/*.h5ad"), key=lambda chunk: int(chunk.stem))
    assert [int(chunk.stem) for chunk in paths] == list(range(settings["chunks"]))
    return [ad.read_h5ad(chunk) for chunk in paths]


def write_mtx_whose_order_ends_late(folder, counts):
    folder.mkdir()
    order = np.argsort(counts.row, kind="stable")
    order = np.append(order[1:], order[0])
    lines = ["%%MatrixMarket matrix coordinate integer general", f"{N_GENES} {N_CELLS} {counts.nnz}"]
    lines += [f"{counts.col[i] + 1} {counts.row[i] + 1} {counts.data[i]:.0f}" for i in order]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    (folder / "genes.tsv").write_text("".join(f"ENSG{i:011d}\tG{i}\n" for i in range(N_GENES)))
    (folder / "barcodes.tsv").write_text("".join(f"cell{i}\n" for i in range(N_CELLS)))


def counts(parts):
    """Counts of several AnnData, one after another, dense."""
    return sparse.vstack([part.X for part in parts]).toarray()
