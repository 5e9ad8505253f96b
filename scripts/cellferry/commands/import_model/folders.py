"""Which folders hold a model, and which files its cells; what is no model of scvi-tools is refused."""

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
"""Files of popV's beside its models: the cells without their counts, and how they were set up."""

OF_CELLTYPIST = ("sklearn.linear_model.", "sklearn.preprocessing.")
"""Beginnings of names in CellTypist's models: a regression on genes, and what standardizes these."""

CELLTYPIST_KEY = b"Scaler_"
"""What the latter is called there."""


def model_folders(given: Path) -> list[Path]:
    """The folder itself or, in popV's way, those in it that hold a model.

    Raises
    ------
    InputError
        If there is no model; the message says what is there instead.
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
    """What is there in the place of a model, and what to do."""
    if is_packed(str(given)):
        return "is a packed reference already", f"make label REFERENCE={given} QUERY=query.h5ad uses it"
    if (given / "reference" / "model" / MODEL_FILE).is_file():
        return "holds the results of a run of cellferry", f"make pack RESULTS={given} packs them"
    pickles = pickles_in(given)
    if prefixed := sorted(given.glob(f"*{MODEL_FILE}")):
        return (
            f"has no file {MODEL_FILE}, and has {', '.join(path.name for path in prefixed)}",
            f"copy the model into a folder of its own as {MODEL_FILE}, with its cells beside it",
        )
    there = f" (it holds {', '.join(path.name for path in pickles[:3])})" if pickles else ""
    return (
        f"has no file {MODEL_FILE}, nor has a folder in it{there}",
        "name the folder that scvi-tools' model.save() wrote",
    )


def pickles_in(folder: Path) -> list[Path]:
    """Pickles in a folder; none where there is no folder."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in inside if path.is_file() and path.name.endswith(PICKLES)]


def celltypist_file(given: Path) -> Path | None:
    """The pickle that the user gave, or the model of CellTypist in the folder; None for anything else.

    Raises
    ------
    InputError
        If there are several of these models.
    """
    if given.is_file():
        return given if given.name.endswith(PICKLES) else None
    found = [path for path in pickles_in(given) if is_of_celltypist(path)]
    if len(found) > 1:
        names = first_few((f"MODEL={path}" for path in found), most=12)
        raise InputError(f"MODEL={given}: holds several models of CellTypist; name one: {names}")
    return next(iter(found), None)


def is_of_celltypist(path: Path) -> bool:
    """Whether a file is a pickle that CellTypist wrote; nothing in it is called."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(CELLTYPIST_KEY) < 0:
            return False
    names = names_in(path)
    return all(any(name.startswith(begin) for name in names) for begin in OF_CELLTYPIST)


def files_of_cells(folder: Path, given: Path) -> list[Path]:
    """Files beside a model that may hold the latents of its cells: h5ad files and tables.

    Those of the folder that the user gave are among them, and those of the folder above where popV wrote it.
    """
    of_popv = [folder.parent] if (folder.parent / POPV_CELLS).is_file() else []
    inside = [path for each in dict.fromkeys([folder, given, *of_popv]) for path in sorted(each.iterdir())]
    return [path for path in inside if path.is_file() and path.name.endswith((".h5ad", *TABLES))]


def popv_setup(folder: Path) -> dict[str, Any]:
    """How popV's cells beside a model were set up; empty where popV says nothing.

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
                what = f"is not what popV writes ({error})"
                raise InputError(
                    Problem(str(about), what, "copy the folder again, or take the file out")
                ) from error
    return {}
