"""Inspections of small datasets, for tests."""

import anndata as ad
import numpy as np
import pandas as pd
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from inspect_dataset import inspect_dataset
from scipy import sparse
from simulate import DATASET_DEFAULTS, label_names

N_CELLS, N_GENES = 50, 30


def make_adata():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, size=(N_CELLS, N_GENES)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(["B", "T", "T", "nan", None] * 10),
            "empty": pd.Categorical([None] * N_CELLS, categories=["B"]),
            "mostly_empty": pd.Categorical([*[None] * 40, *["B", "T"] * 5]),
            "donor": pd.Categorical(["d1", "d2"] * 25),
            "batch": "x",
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame(
        {"symbol": [f"S{i}" for i in range(N_GENES)], "number": [str(i) for i in range(N_GENES)]},
        index=[f"ENSG{i:011d}" for i in range(N_GENES)],
    )
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=var)


def inspect(path, *, files=None, obs=None, role="query", labels=None, **config):
    settings = {
        **DATASET_DEFAULTS,
        "role": role,
        "path": files or str(path),
        "obs": obs and str(obs),
        **config,
    }
    found = path.parent / "found.json"
    inspect_dataset(str(found), name="blood", config=settings, label_names=label_names(**labels or {}))
    return read_artifact(Inspection, found)


def only_problem(found):
    assert len(found.problems) == 1, found.problems
    return found.problems[0]
