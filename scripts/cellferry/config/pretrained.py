"""Problems of `pretrained`: an earlier run, a packed reference, or an imported model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.pickles import TRUST, code_in, what_it_runs
from ..core.problems import Problem, problems_of, suggestion
from ..cytometry.marker_names import SCALING_COLUMNS, TRANSFORMATION
from ..errors import InputError
from ..references.archive import is_packed, verify
from ..runs.methods import FORMAT_VERSION
from .headers import latent_table_columns, table_columns
from .paths import path_problem

PRETRAINED_FILES = (
    "genes.tsv",
    "genes.json",
    "common/reference.h5ad",
    "common/validation.h5ad",
    "mapped/reference/0.parquet",
    "mapped/validation/model/model.pt",
    "evaluation/test.json",
    "reference/model/model.pt",
    "reference/classifier/labels.json",
    "reference/calibration.json",
    "reference/labels.json",
    "reference/left_out.json",
    "reference/history.csv",
)
"""Required results of an earlier run that trained the reference."""


def pretrained_problems(config: dict[str, Any]) -> list[Problem]:
    """Problems of an earlier run's folder, a packed reference, or a pre-trained model."""
    folder = config.get("pretrained")
    if isinstance(folder, dict):
        return _imported_problems(folder)
    if not isinstance(folder, str):
        return []
    if is_packed(folder):
        return _packed_problems(folder, config.get("modality", "rna"))
    if Path(folder).resolve() == Path("results").resolve():
        return [
            Problem(
                "pretrained",
                f"{folder} is where this run writes its own results",
                "run snakemake in another folder, or remove the key and keep the reference in `datasets`",
            )
        ]
    if (problem := _format_problem(folder)) is not None:
        return [problem]
    missing = [name for name in PRETRAINED_FILES if not Path(folder, name).exists()]
    if missing:
        what = f"{folder} (looked in {Path.cwd()}) has no {', '.join(missing)}"
        return [Problem("pretrained", what, "name the folder `results` of a finished run")]
    remedy = "cellferry does not write such a file: get the folder again from its source"
    models = (Path(folder, name) for name in PRETRAINED_FILES if name.endswith(".pt"))
    return [problem for model in models if (problem := _code_problem("pretrained", model, remedy))]


def _packed_problems(archive: str, modality: str) -> list[Problem]:
    """Problems of a packed reference, including its checksums."""
    if problem := path_problem(archive, folders=False):
        return [replace(problem, where="pretrained")]
    try:
        packed = verify(archive)
    except InputError as error:
        return [replace(problem, where=f"pretrained: {problem.where}") for problem in problems_of(error)]
    problems = []
    if packed.result_format != FORMAT_VERSION:
        what = (
            f"{archive} contains results of format {packed.result_format}, but this version reads format "
            f"{FORMAT_VERSION}"
        )
        remedy = "use a version of the reference packed with this version of cellferry"
        problems.append(Problem("pretrained", what, remedy))
    if packed.modality != modality:
        what = f"is {modality}, but {archive} is a reference of {packed.modality}"
        problems.append(
            Problem("modality", what, f"set modality: {packed.modality}, or name another reference")
        )
    return problems


def _code_problem(key: str, model: Path, remedy: str) -> Problem | None:
    """The problem of a model's file that contains code."""
    try:
        called = code_in(model)
    except OSError as error:
        return Problem(
            key, f"{model} cannot be read ({error.strerror})", "get read permission from its owner"
        )
    return Problem(key, f"{model} {what_it_runs(called)}", remedy) if called else None


def _format_problem(folder: str) -> Problem | None:
    """The problem of results from another version, whose files can have other names."""
    labels = Path(folder, "reference", "labels.json")
    if not labels.exists():
        return None
    try:
        version = json.loads(labels.read_text(encoding="utf-8")).get("format", 1)
    except (OSError, ValueError) as error:
        return Problem("pretrained", f"{labels} cannot be read ({error})", "copy the folder again")
    if version == FORMAT_VERSION:
        return None
    what = f"{folder} contains results of format {version}, but this version reads format {FORMAT_VERSION}"
    return Problem(
        "pretrained", what, "run it again with this version, or continue with the version that made it"
    )


def _imported_problems(imported: dict[str, Any]) -> list[Problem]:
    """Problems of a pre-trained model: missing files, and columns that the latents lack."""
    model, latents = imported.get("model"), imported.get("latents")
    problems = _scaling_problems(imported)
    if isinstance(model, str) and not Path(model, "model.pt").is_file():
        what = f"{model} (looked in {Path.cwd()}) has no file model.pt"
        remedy = "name the folder that scvi-tools' model.save() wrote"
        problems.append(Problem("pretrained.model", what, remedy))
    elif isinstance(model, str) and imported.get("trust") is not True:
        problem = _code_problem("pretrained.model", Path(model, "model.pt"), TRUST)
        problems += [problem] if problem else []
    if not isinstance(latents, str):
        return problems
    if problem := path_problem(latents, folders=False):
        return [*problems, replace(problem, where="pretrained.latents")]
    columns = latent_table_columns(Path(latents))
    return problems + [
        Problem(
            f"pretrained.{key}",
            f"{latents} has no column '{imported[key]}'{suggestion(imported[key], columns)}; it has: "
            f"{', '.join(columns) or 'none'}",
        )
        for key in ("label", "batch")
        if columns is not None and isinstance(imported.get(key), str) and imported[key] not in columns
    ]


def _scaling_problems(imported: dict[str, Any]) -> list[Problem]:
    """Problems of the table of a model's scaling."""
    model, scaling = imported.get("model"), imported.get("scaling")
    if not isinstance(scaling, str):
        return []
    if isinstance(model, str) and Path(model, TRANSFORMATION).exists():
        what = f"{model} already contains the scaling of values ({TRANSFORMATION})"
        return [Problem("pretrained.scaling", what, "remove the key")]
    if problem := path_problem(scaling, folders=False):
        return [replace(problem, where="pretrained.scaling")]
    columns = table_columns(Path(scaling), named=False)
    missing = [column for column in SCALING_COLUMNS if columns is not None and column not in columns]
    if not missing:
        return []
    what = f"{scaling} has no column {', '.join(missing)}; it has: {', '.join(columns)}"
    return [Problem("pretrained.scaling", what)]
