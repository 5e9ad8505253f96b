"""Plausible artifacts, changed where a test needs it: the only place in tests that writes their fields."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import write_artifact


def inspection_of(dataset: str, role: str = "query", **changes: Any) -> Inspection:
    """Inspection of a dataset of three labels without problems; `cells_kept` follows `cells`."""
    fields = {
        "path": f"{dataset}.h5ad",
        "made_from": f"hash of {dataset}",
        "format": "h5ad",
        "cells": 90,
        "genes": 10,
        "dtype": "float32",
        "storage": "csr",
        "counts": "X",
        "places": {"X": True},
        "gene_id": "ensembl",
        "label": "cell_type",
        "labels": {"B cell": 40, "CD4 T": 30, "NK": 20},
        "n_labels": 3,
        "n_batches": 2,
        "values_per_cell": 5.0,
    } | changes
    return Inspection(dataset=dataset, role=role, **{"cells_kept": fields["cells"]} | fields)


def inspection_dict(dataset: str, role: str = "query", **changes: Any) -> dict[str, Any]:
    """The same as a dict, for what takes no `Inspection` yet."""
    return asdict(inspection_of(dataset, role, **changes))


def write_inspection(folder: Path, dataset: str, role: str = "query", **changes: Any) -> str:
    """Write `{dataset}.json` into a folder; return its path."""
    path = folder / f"{dataset}.json"
    write_artifact(inspection_of(dataset, role, **changes), path)
    return str(path)
