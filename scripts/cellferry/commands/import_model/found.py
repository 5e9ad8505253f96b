"""Detected latents, labels and batches of a pre-trained model's cells, with reasons."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ...config.paths import path_problem
from ...core.problems import Problem
from ...core.text import first_few, printable
from ...errors import InputError
from ...formats.latents import LatentTable, open_latents
from ...labels.columns import Choice, Column, choose_batch, choose_label, label_points
from ...model.registered import Registered, registered
from ..new.column_choice import AS_NAMED
from ..new.discovery import columns_among, default_names
from .cells import Latents, latents_in, there_instead
from .counted import CountedCells
from .folders import files_of_cells, model_folders, popv_setup

POPV_LABEL = "_labels_annotation"
"""popV's column with the labels of its reference; its models use part of them."""

_listed = partial(first_few, most=12)


class Given(NamedTuple):
    """Paths and columns that the user gave; empty by default."""

    model: str
    latents: str = ""
    label: str = ""
    batch: str = ""
    key: str = ""
    trust: bool = False


class Found(NamedTuple):
    """The detected model and its cells.

    Attributes
    ----------
    model, registered
        Folder of the model, and the content of its file.
    latents
        Location of the latents.
    label, batch
        Columns with the labels and batches; without `batch`, all cells are one batch.
    unlabeled
        Names of missing labels, in addition to `labels.missing`.
    lines
        Detected values with reasons, for the user.
    """

    model: Path
    registered: Registered
    latents: Latents
    label: str
    batch: str | None
    unlabeled: list[str]
    lines: list[str]

    @property
    def pretrained(self) -> dict[str, Any]:
        """The section `pretrained` of a configuration for this model."""
        return {
            "model": str(self.model),
            "latents": str(self.latents.path),
            "key": self.latents.key,
            "label": self.label,
            "batch": self.batch,
        }


def find(given: Given) -> Found:
    """Find a model, and the latents, labels and batches of its cells.

    Raises
    ------
    InputError
        If something is missing or ambiguous.
    """
    folder, model, latents = _model_and_latents(given)
    table = _table(latents, model, folder)
    setup = popv_setup(folder)
    unlabeled = [name for name in (model.unlabeled, setup.get("unknown_celltype_label")) if name]
    columns = _columns(table, unlabeled)
    label, why_label = _label(given, table, columns, model, setup)
    batch, why_batch = _batch(given, table, columns, model, label)
    lines = [
        f"model    {folder} ({model.kind}, {len(model.genes):,} "
        f"{'genes' if model.modality == 'rna' else 'markers'}, {model.n_latent} latents)",
        f"latents  {latents} ({latents.why})",
        f"label    {label} ({why_label})",
        f"batch    {batch or 'none'} ({why_batch})",
    ]
    return Found(folder, model, latents, label, batch, unlabeled, list(map(printable, lines)))


def _table(latents: Latents, model: Registered, folder: Path) -> LatentTable | CountedCells:
    """Open the file of latents or counts."""
    if latents.counts:
        return CountedCells(latents.path, latents.counts)
    table = open_latents(str(latents.path), latents.key)
    if table.width != model.n_latent:
        raise InputError(
            f"LATENTS={latents}: has {table.width} latents per cell, but the model {folder} has "
            f"{model.n_latent}; name the latents of this model (KEY=)"
        )
    return table


def _model_and_latents(given: Given) -> tuple[Path, Registered, Latents]:
    """The only model with latents."""
    inside = Path(given.model).absolute()  # `.` has no parent
    folders = model_folders(inside)
    models = {folder: registered(str(folder), trust=given.trust) for folder in folders}
    if given.latents and (problem := path_problem(given.latents, folders=False)):
        raise InputError(Problem(f"LATENTS={given.latents}", problem.what, problem.remedy))
    files = {
        folder: [Path(given.latents)] if given.latents else files_of_cells(folder, inside)
        for folder in folders
    }
    found = {
        folder: latents_in(files[folder], model, given.key, named=bool(given.latents))
        for folder, model in models.items()
    }
    found = {folder: latents for folder, latents in found.items() if latents}
    if not found:
        raise InputError(_nothing(given, {folder: (models[folder], files[folder]) for folder in folders}))
    if len(found) > 1:
        raise InputError(
            f"MODEL={given.model}: contains several models with latents; name one: "
            + _listed(f"MODEL={folder} ({models[folder].kind})" for folder in found)
        )
    ((folder, latents),) = found.items()
    if len(latents) > 1:
        raise InputError(
            f"MODEL={given.model}: several candidates for the latents of its cells: "
            f"{_listed(map(str, latents))}; "
            "name the right one (LATENTS= the file, KEY= the element of obsm)"
        )
    return folder, models[folder], latents[0]


def _nothing(given: Given, looked: dict[Path, tuple[Registered, list[Path]]]) -> str:
    """The message if no latents were found."""
    (model, files), *_ = looked.values()
    if given.latents or given.key:
        where = f"LATENTS={given.latents}" if given.latents else f"KEY={given.key}"
        return (
            f"{where}: contains no latents of a {model.kind} model with {model.n_latent} dimensions "
            f"({there_instead(files)}); name the file and the element of obsm (KEY=) that contain them"
        )
    return (
        f"MODEL={given.model}: no latents of the training cells of this {model.kind} model "
        f"({there_instead(files)}). A reference needs {model.n_latent} latents and a label per cell.\n"
        "If a listed element of obsm contains the latents, give KEY=; else write them to the cells' file "
        '(obsm["X_scVI"] = model.get_latent_representation()) and give LATENTS=cells.h5ad'
    )


def _columns(table: LatentTable | CountedCells, unlabeled: list[str]) -> list[Column]:
    return columns_among(table.columns, table.blocks, default_names(unlabeled))


def _label(
    given: Given,
    table: LatentTable | CountedCells,
    columns: list[Column],
    model: Registered,
    setup: dict[str, Any],
) -> tuple[str, str]:
    """The column of the labels, and the reason."""
    if given.label:
        _check(table, "LABEL", given.label)
        return given.label, AS_NAMED
    certain = [
        (setup.get("ref_labels_key"), "popV's metadata.json names it"),
        (POPV_LABEL, "popV's column of its reference's labels"),
        (model.label if model.kind == "SCANVI" else None, "the model was trained with it"),
    ]
    for column, why in certain:
        if column in table.columns:
            return column, _with_values(columns, column, why)
    choice = choose_label(columns)
    if choice is None:
        there = _listed(f"{column.name} ({len(column.values)} values)" for column in columns)
        raise InputError(
            f"LABEL= is missing: no column of the cells looks like labels; name one of: "
            f"{there or _listed(table.columns) or 'no columns; name a file with columns (LATENTS=)'}"
        )
    equals = [each for each in choice.others if label_points(each) == label_points(choice.column)]
    if equals:
        names = _listed(column.name for column in (choice.column, *equals))
        raise InputError(f"LABEL= is missing: several columns look like labels; name one of: {names}")
    return choice.column.name, _with_values(columns, choice.column.name, _of_choice(choice))


def _batch(
    given: Given, table: LatentTable | CountedCells, columns: list[Column], model: Registered, label: str
) -> tuple[str | None, str]:
    """The column of the batches, if there is one, and the reason."""
    if given.batch:
        _check(table, "BATCH", given.batch)
        return given.batch, AS_NAMED
    if model.batch in table.columns:
        return model.batch, _with_values(columns, model.batch, "the model's batches")
    choice = choose_batch(columns, label)
    if choice is None:
        lacks = f", and the cells have no column '{model.batch}'" if model.batch else ""
        return (
            None,
            f"no column looks like batches{lacks}: all cells are one batch, no whole donor is held out",
        )
    return choice.column.name, _with_values(columns, choice.column.name, _of_choice(choice))


def _check(table: LatentTable | CountedCells, key: str, column: str) -> None:
    if column not in table.columns:
        there = ", ".join(table.columns) or "none"
        raise InputError(f"{key}={column}: the cells have no column '{column}'; they have: {there}")


def _of_choice(choice: Choice) -> str:
    others = f"; also possible: {_listed(column.name for column in choice.others)}" if choice.others else ""
    return f"{choice.why}{others}"


def _with_values(columns: list[Column], name: str, why: str) -> str:
    values = next((len(column.values) for column in columns if column.name == name), None)
    return why if values is None else f"{values} values, {why}"
