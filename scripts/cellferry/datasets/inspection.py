"""Inspection of a dataset's files: content and problems, with a few counts read."""

import difflib
from collections.abc import Callable, Iterator

import numpy as np

from ..artifacts.h5ad_layout import AXES, SECTION
from ..core.problems import Problem
from ..core.text import CONTROLS, first_control
from ..features.excel_dates import dates_among
from ..features.gene_ids import id_columns, id_kind
from ..features.subset import TOTALS
from ..formats import Header
from ..labels.names import LabelNames
from .cell_inspection import describe_cells
from .channel_inspection import describe_channels
from .control_characters import feature_problems
from .count_inspection import first_blocks, look_at_counts
from .dataset import Dataset
from .findings import Findings

OWN_COLUMNS = ("batch", "label", *AXES, SECTION, TOTALS)
"""Columns of obs that cellferry itself writes."""

UNUSABLE: dict[str, Callable[[str], bool]] = {
    "cannot name a column in HDF5, which takes it for a path": lambda column: (
        column in ("", ".") or column.startswith("/")
    ),
    "is the name of a column that the workflow writes itself": OWN_COLUMNS.__contains__,
}
"""Reasons why a column cannot be kept, each with a test of the column's name."""

MAX_DATES_LISTED = 30


def findings_of(dataset: Dataset, label_names: LabelNames) -> Iterator[Findings]:
    """Yield the findings, step by step.

    Raises
    ------
    InputError
        If a step fails that later ones need; findings yielded before remain valid.
    """
    yield describe_file(dataset)
    yield Findings(problems=[*column_problems(dataset), *feature_problems(dataset)])
    yield from describe_cells(dataset, label_names)
    yield Findings(problems=shape_problems(dataset))
    firsts, problems = first_blocks(dataset)
    yield Findings(problems=problems)
    yield look_at_counts(dataset, firsts)
    if dataset.is_cytometry and any(firsts.values()):
        yield describe_channels(dataset, firsts)
    warnings = [f"{dataset.header.path}: {warning}" for warning in dataset.header.warnings]
    fields = {"in_order": dataset.in_order}
    if not dataset.is_cytometry:
        warnings += date_warnings(dataset.header)
        fields["gene_names"] = gene_names(dataset.header)
    yield Findings(fields, warnings=warnings)
    for remark in dataset.header.remarks:
        print(remark)


def describe_file(dataset: Dataset) -> Findings:
    """Shape, storage, place of the counts, and kinds of gene ids."""
    header = dataset.header
    columns = {column: header.var[column].to_numpy(dtype=object) for column in header.var}
    names = header.var.index.to_numpy(dtype=object)
    fields = {
        "files": dataset.states,
        "format": header.format,
        "cells": header.n_cells,
        "genes": header.n_genes,
        "held_mb": header.held_mb,
        "nonzeros": header.nonzeros,
        "dtype": header.dtype,
        "storage": header.storage,
        "counts": header.counts,
        "places": header.places,
        "gene_id": gene_id_kind(names),
        "gene_id_columns": {column: gene_id_kind(values) for column, values in columns.items()},
        "duplicated_genes": int(header.var.index.duplicated().sum()),
        "obs_columns": dataset.obs_columns,
    }
    return Findings(fields)


def gene_names(header: Header) -> dict[str, str]:
    """Columns that may contain gene names (for `Inspection`): most of their values are different."""
    columns = {
        name: ["" if gene is None else gene for gene in ids] for name, ids in id_columns(header.var).items()
    }
    # Not every control character can be stored; `feature_problems` reports them.
    return {name: "\n".join(ids) for name, ids in columns.items() if not CONTROLS.search("".join(ids))}


def date_warnings(header: Header) -> list[str]:
    """Warning of gene names that a spreadsheet turned into dates, with the possible original genes."""
    dates = dates_among(header.var)
    if not dates:
        return []
    listed = ", ".join(f"{date} ({genes})" for date, genes in list(dates.items())[:MAX_DATES_LISTED])
    more = f" and {len(dates) - MAX_DATES_LISTED} more" if len(dates) > MAX_DATES_LISTED else ""
    names = header.var.index
    repeated = sorted({name for name in names[names.duplicated()] if name in dates})
    summed = f"; {', '.join(repeated)} occur several times and would be added up" if repeated else ""
    return [
        f"{header.path}: {len(dates)} gene(s) have names that a spreadsheet turned into dates or numbers: "
        f"{listed}{more}{summed}; they match no gene, so export the counts again without opening them in a "
        "spreadsheet"
    ]


def gene_id_kind(ids: np.ndarray) -> str:
    """`ensembl`, `symbol`, or `other` if most ids are numbers or missing."""
    if sum(value is None or not str(value).strip() or str(value).isdigit() for value in ids) * 2 >= len(ids):
        return "other"
    return id_kind(ids)


def column_problems(dataset: Dataset) -> list[Problem]:
    """Problems of configured columns that the dataset lacks or that cannot be kept."""
    config, known = dataset.config, dataset.obs_columns
    wanted = [(key, config[key]) for key in ("label", "batch") if config[key]]
    wanted += [(f"cells.{column}", column) for column in config["cells"]]
    wanted += [(key, column) for key in ("levels", "keep_obs") for column in config[key]]
    if not dataset.coordinates.is_element:
        wanted += [("coordinates", column) for column in dataset.coordinates.columns]
    problems = []
    for key, column in wanted:
        if column not in known:
            close = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            suggestion = f" (did you mean '{close[0]}'?)" if close else ""
            remedy = (
                f"it has: {', '.join(known)}" if known else f"it has no columns; set {dataset.key('obs')}"
            )
            tables = "".join(f" with {path}" for path in dataset.table_paths[:1])
            what = f"{dataset.header.path}{tables} has no obs column '{column}'{suggestion}"
            problems.append(Problem(dataset.key(key), what, remedy))
    problems += [
        Problem(dataset.key(key), f"is {found}", "rename the column")
        for key in ("levels", "keep_obs")
        if (found := first_control(config[key]))
    ]
    problems += [
        Problem(
            dataset.key("keep_obs"),
            f"'{column}' {why}",
            f"rename the column in {dataset.header.path} or leave it out",
        )
        for why, is_unusable in UNUSABLE.items()
        for column in config["keep_obs"]
        if is_unusable(column)
    ]
    return problems


def shape_problems(dataset: Dataset) -> list[Problem]:
    """Problems of files without cells, genes or a matrix."""
    header = dataset.header
    path = str(header.path)
    problems = [
        Problem(path, f"holds no {what}", "check how it was exported")
        for what, n in (("cells", header.n_cells), ("genes", header.n_genes))
        if n == 0
    ]
    if header.values != "counts" and not dataset.is_cytometry:
        what = f"holds {header.values}, as {header.format} files do, not counts"
        problems.append(Problem(path, what, "set modality: cytometry, or remove the dataset"))
    if header.counts is None:
        what = "holds no matrix in X, raw or layers"
        problems.append(Problem(path, what, "export it with its raw counts"))
    return problems
