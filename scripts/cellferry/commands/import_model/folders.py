"""Folders with a model, and files with its cells."""

import json
import mmap
from pathlib import Path
from typing import Any

from ...config.paths import path_problem
from ...core.pickles import names_in
from ...core.problems import Problem
from ...core.text import first_few
from ...errors import InputError
from ...model.saved import MODEL_FILE
from ...references.archive import is_packed

TABLES = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
PICKLES = (".pkl", ".pickle", ".joblib")

POPV_CELLS, POPV_ABOUT = "minified_ref_adata.h5ad", "metadata.json"
"""popV's files beside its models: cells without counts, and their setup."""

OF_CELLTYPIST = ("sklearn.linear_model.", "sklearn.preprocessing.")
"""Prefixes of classes in CellTypist's models: a regression on genes, and a scaler."""

CELLTYPIST_KEY = b"Scaler_"
"""Key of the scaler in a CellTypist model."""


def model_folders(given: Path) -> list[Path]:
    """The folder itself or, as popV writes them, its subfolders with a model.

    Raises
    ------
    InputError
        If there is no model; the message describes the contents instead.
    """
    if (problem := path_problem(given)) is not None:
        raise InputError(Problem(f"MODEL={given}", problem.what, problem.remedy))
    if (given / MODEL_FILE).is_file():
        return [given]
    inside = sorted(path.parent for path in given.glob(f"*/{MODEL_FILE}")) if given.is_dir() else []
    if not inside:
        raise InputError(Problem(f"MODEL={given}", *_no_model(given)))
    return inside


def _no_model(given: Path) -> tuple[str, str]:
    """Problem and remedy for a folder without a model."""
    if is_packed(str(given)):
        return "is already a packed reference", f"use it: make label REFERENCE={given} QUERY=query.h5ad"
    if (given / "reference" / "model" / MODEL_FILE).is_file():
        return "contains the results of a cellferry run", f"pack them: make pack RESULTS={given}"
    pickles = pickles_in(given)
    if prefixed := sorted(given.glob(f"*{MODEL_FILE}")):
        return (
            f"has no file {MODEL_FILE}, but {', '.join(path.name for path in prefixed)}",
            f"copy the model into its own folder as {MODEL_FILE}, with its cells beside it",
        )
    there = f" (it contains {', '.join(path.name for path in pickles[:3])})" if pickles else ""
    return (
        f"neither it nor a subfolder has a file {MODEL_FILE}{there}",
        "name the folder that scvi-tools' model.save() wrote",
    )


def pickles_in(folder: Path) -> list[Path]:
    """Pickles in a folder; empty if the folder is missing."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in inside if path.is_file() and path.name.endswith(PICKLES)]


def celltypist_file(given: Path) -> Path | None:
    """The given pickle, or the CellTypist model in the folder; None for anything else.

    Raises
    ------
    InputError
        If there are several CellTypist models.
    """
    if given.is_file():
        return given if given.name.endswith(PICKLES) else None
    found = [path for path in pickles_in(given) if is_of_celltypist(path)]
    if len(found) > 1:
        names = first_few((f"MODEL={path}" for path in found), most=12)
        raise InputError(f"MODEL={given}: contains several CellTypist models; name one: {names}")
    return next(iter(found), None)


def is_of_celltypist(path: Path) -> bool:
    """True if a file is a CellTypist pickle; no code in it is run."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(CELLTYPIST_KEY) < 0:
            return False
    names = names_in(path)
    return all(any(name.startswith(begin) for name in names) for begin in OF_CELLTYPIST)


def files_of_cells(folder: Path, given: Path) -> list[Path]:
    """h5ad files and tables beside a model, which can contain the latents of its cells.

    Includes files of the given folder and, for popV, of the parent folder.
    """
    of_popv = [folder.parent] if (folder.parent / POPV_CELLS).is_file() else []
    inside = [path for each in dict.fromkeys([folder, given, *of_popv]) for path in sorted(each.iterdir())]
    return [path for path in inside if path.is_file() and path.name.endswith((".h5ad", *TABLES))]


def popv_setup(folder: Path) -> dict[str, Any]:
    """Setup of popV's cells beside a model; empty without popV's metadata.

    Raises
    ------
    InputError
        If its file cannot be read.
    """
    for each in (folder, folder.parent):
        about = each / POPV_ABOUT
        if (each / POPV_CELLS).is_file() and about.is_file():
            try:
                setup = json.loads(about.read_text(encoding="utf-8"))["setup_dict"]
                return dict(setup)
            except (ValueError, KeyError, TypeError) as error:
                what = f"is not a metadata file of popV ({error})"
                raise InputError(
                    Problem(str(about), what, "copy the folder again, or remove the file")
                ) from error
    return {}
