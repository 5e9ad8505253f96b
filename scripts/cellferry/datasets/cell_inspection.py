"""Inspection of a dataset's cell annotation: labels, levels, batches and names."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..artifacts.h5ad_writer import MAX_CATEGORIES
from ..core.problems import Problem
from ..core.progress import Progress
from ..cytometry.marker_names import listed
from ..errors import InputError
from ..formats import Cells
from ..formats.cell_names import count_repeated, hashes
from ..labels.hierarchy import LabelHierarchy
from ..labels.levels import hierarchy_of_columns
from ..labels.names import Counted, LabelNames, as_labels, count_names
from ..labels.vocabulary import SET_SEPARATOR
from .cell_filter import names_wanted
from .control_characters import cell_problem, value_problem
from .coordinate_inspection import PlaceCounts
from .dataset import Dataset, run_bounds
from .findings import Findings, as_problems
from .unused_names import unused_names

MAX_LISTED = 200
"""Batches listed one by one."""


def describe_cells(dataset: Dataset, label_names: LabelNames) -> Iterator[Findings]:
    """Yield labels, levels, batches, repeated names and problems of the cells that the filter keeps.

    Findings are yielded as they are made, so that a later error does not hide them.

    Raises
    ------
    InputError
        If an annotation table does not fit.
    """
    config = dataset.config
    if not set(dataset.obs_columns).issuperset(config["cells"]):
        return  # the missing filter column is already reported, and the kept cells are unknown
    seen, places = CellCounts(dataset, label_names), PlaceCounts(dataset)
    columns = list(dict.fromkeys([*seen.columns, *places.columns]))
    dataset.load_tables(columns)
    progress = Progress("checked the names of", dataset.header.n_cells)
    for cells in dataset.cells(columns):
        yield Findings(problems=seen.add(cells))
        places.add(cells, seen.are_kept[-1])
        progress.add(len(cells.names))
    yield places.findings()
    remarks, left_out = dataset.annotation_in_words([*seen.columns, *config["keep_obs"]])
    for remark in remarks:
        print(remark)
    yield Findings(warnings=left_out)
    yield Findings(problems=seen.control_problems(label_names))
    yield filter_findings(dataset, seen)
    n_repeated = count_repeated(seen.hashes)
    yield Findings(problems=repetition_problems(dataset, seen, n_repeated))
    counted = count_names(seen.labels, label_names)
    yield describe_labels(dataset, seen, counted)
    renamed = label_names.renamed({*filter(None, seen.labels), *seen.spellings}) if seen.label else {}
    yield Findings(
        {
            "cells_kept": seen.n_kept,
            "starts": chunk_starts(seen.are_kept, config["chunks"]),
            "duplicated_cells": n_repeated,
            "label": config["label"],
            "n_labels": len(counted.labels),
            "labels": dict(counted.labels.most_common()),
            "unlabeled_cells": counted.unlabeled,
            "batch": config["batch"],
            "n_batches": len(seen.batches) if seen.batch else 1,
            "batches": {str(value): n for value, n in seen.batches.most_common(MAX_LISTED)},
        },
        named={"labels.rename": renamed},
    )


class CellCounts:
    """Counts of the values in the cells' annotation, collected block by block.

    Attributes
    ----------
    label, batch, above
        The obs columns of the keys `label`, `batch` and `levels`; missing columns are left out.
    columns
        These columns and the filter's, each once.
    labels, batches
        Kept cells per spelling of the label, and per batch; incomplete if there are too many values.
    lines
        Kept cells per label and its coarser labels.
    filtered
        Values of the filter's columns in all cells.
    spellings
        Values of the columns `above` in all cells.
    hashes, are_kept
        Hashes of the kept cells' names, and masks of kept cells; one array per block each.
    """

    def __init__(self, dataset: Dataset, label_names: LabelNames) -> None:
        config, known = dataset.config, set(dataset.obs_columns)
        self._dataset, self._label_names = dataset, label_names
        self.label = config["label"] if config["label"] in known else None
        self.batch = config["batch"] if config["batch"] in known else None
        self.above = [column for column in config["levels"] if self.label and column in known]
        named = [column for column in (self.label, self.batch) if column]
        self.columns = list(dict.fromkeys([*config["cells"], *named, *self.above]))
        self.labels: Counter = Counter()
        self.batches: Counter = Counter()
        self.lines: Counter = Counter()
        self.filtered: dict[str, set[str]] = {column: set() for column in config["cells"]}
        self.spellings: set[str] = set()
        self.hashes: list[np.ndarray] = []
        self.are_kept: list[np.ndarray] = []
        self._strange_cell: Problem | None = None
        self._counters = {
            key: (column, counter)
            for key, column, counter in (
                ("label", self.label, self.labels),
                ("batch", self.batch, self.batches),
            )
            if column
        }

    @property
    def n_kept(self) -> int:
        """Number of kept cells."""
        return sum(map(len, self.hashes))

    def add(self, cells: Cells) -> list[Problem]:
        """Count a block of cells; return problems of columns that exceed the number of values."""
        kept = self._dataset.kept(cells)
        if self._strange_cell is None:
            names = cells.names if kept.all() else np.where(kept, cells.names, "")
            self._strange_cell = cell_problem(self._dataset, names, sum(map(len, self.are_kept)))
        self.are_kept.append(kept)
        self.hashes.append(hashes(cells.names[kept]))
        for column, values in self.filtered.items():
            add_names(values, cells.obs[column])
        for column in self.above:
            add_names(self.spellings, cells.obs[column])
        if self.above and len(self.lines) <= MAX_CATEGORIES:
            columns = [cells.obs[column][kept] for column in (self.label, *self.above)]
            self.lines.update(count_lines(columns, self._label_names))
        problems = []
        for key, (column, counter) in list(self._counters.items()):
            counter.update(as_labels(cells.obs[column][kept]).tolist())
            if len(counter) > MAX_CATEGORIES:
                del self._counters[key]
                what = (
                    f"the obs column '{column}' of {self._dataset.header.path} has more than "
                    f"{MAX_CATEGORIES} different values, too many for a {key}"
                )
                problems.append(Problem(self._dataset.key(key), what, "name another column"))
        return problems

    def control_problems(self, label_names: LabelNames) -> list[Problem]:
        """Problems of control characters in cell names, labels, levels and batches."""
        labels = {label_names.name(spelling) for spelling in self.labels if spelling is not None}
        above = {name for line in self.lines for name in line[1:]}
        problems = [
            self._strange_cell,
            value_problem(self._dataset, "label", self.label, labels),
            value_problem(self._dataset, "levels", ", ".join(self.above), above),
            value_problem(self._dataset, "batch", self.batch, self.batches),
        ]
        return [problem for problem in problems if problem is not None]


def filter_findings(dataset: Dataset, seen: CellCounts) -> Findings:
    """Problems of the cell filter: values that no cell has, alone or in combination."""
    findings = Findings()
    for unused in unused_values(dataset, seen.filtered):
        findings.add(unused)
    n_cells = dataset.header.n_cells
    if n_cells and seen.n_kept == 0 and not findings.problems:
        what = (
            f"none of the {n_cells} cells of {dataset.header.path} has all of these values "
            f"({dataset.config['cells']})"
        )
        findings.problems.append(Problem(dataset.key("cells"), what, "correct them"))
    return findings


def repetition_problems(dataset: Dataset, seen: CellCounts, n_repeated: int) -> list[Problem]:
    """Problems of duplicate names among the kept cells."""
    name = dataset.repeated_name(seen.hashes) if n_repeated else None
    if name is None:
        return []
    return [
        Problem(
            str(dataset.header.path),
            f"{n_repeated} duplicate cell name(s), such as '{name}'",
            dataset.ways_to_differ,
        )
    ]


def describe_labels(dataset: Dataset, seen: CellCounts, counted: Counted) -> Findings:
    """The hierarchy of labels, with problems of labels and levels."""
    if not seen.label or not seen.n_kept:
        return Findings()
    problems = label_problems(dataset, seen.label, counted, seen.n_kept)
    warnings = label_warnings(dataset, seen.label, counted)
    hierarchy = LabelHierarchy()
    try:
        hierarchy = described_hierarchy(dataset, seen.above, seen.lines)
    except InputError as error:
        problems.append(Problem("", str(error)))
    return Findings({"hierarchy": hierarchy}, problems=problems, warnings=warnings)


def unused_values(dataset: Dataset, found: dict[str, set[str]]) -> Iterator[Findings]:
    """Problems and warnings of the cell filter's values that are missing in its columns."""
    for column, values in found.items():
        problems, warnings = unused_names(
            names_wanted(dataset.config["cells"][column], values),
            key=dataset.key(f"cells.{column}"),
            what=f"value of the obs column '{column}' of {dataset.header.path} ({listed(sorted(values))})",
            known=values,
        )
        yield Findings(problems=as_problems(problems), warnings=warnings)


def add_names(names: set[str], values: np.ndarray) -> None:
    """Add the distinct values of a column, as label names, to a set of limited size."""
    if len(names) <= MAX_CATEGORIES:
        names.update(name for name in as_labels(pd.unique(values)) if name is not None)


def count_lines(columns: list[np.ndarray], label_names: LabelNames) -> dict[tuple, int]:
    """Cells per tuple of values of label columns; None for a missing value."""
    named = pd.DataFrame({number: label_names(values) for number, values in enumerate(columns)})
    counted = named.value_counts(dropna=False, sort=False)
    return {tuple(None if pd.isna(value) else value for value in line): int(n) for line, n in counted.items()}


def described_hierarchy(dataset: Dataset, columns: list[str], lines: Counter) -> LabelHierarchy:
    """The hierarchy of labels in the given columns.

    Raises
    ------
    InputError
        If the columns hold no levels.
    """
    key = dataset.key("levels")
    if len(lines) > MAX_CATEGORIES:
        raise InputError(
            f"{key}: {', '.join(columns)} of {dataset.header.path} have more than {MAX_CATEGORIES} "
            "different values, too many for coarser labels; name other columns"
        )
    return hierarchy_of_columns(columns, lines, key)


def chunk_starts(are_kept: list[np.ndarray], n_chunks: int) -> list[int]:
    """First cells of the chunks, and the end of the last one, as positions among all cells."""
    kept = np.flatnonzero(np.concatenate(are_kept)) if are_kept else np.empty(0, dtype=np.int64)
    end = kept[-1:] + 1 if len(kept) else np.zeros(1, dtype=np.int64)
    return np.append(kept, end)[run_bounds(len(kept), n_chunks)].tolist()


def label_problems(dataset: Dataset, label: str, counted: Counted, n_kept: int) -> list[Problem]:
    """Problems of a dataset's labels."""
    key, path = dataset.key("label"), dataset.header.path
    if counted.unlabeled == n_kept:
        what = f"the obs column '{label}' of {path} has no value for any cell"
        return [Problem(key, what, "name another column")]
    if dataset.config["role"] != "reference":
        return []
    if counted.unlabeled * 2 > n_kept:
        what = f"{counted.unlabeled} of the {n_kept} cells of {path} have no label in '{label}'"
        remedy = f"name another column, or select labeled cells with {dataset.key('cells')}"
        return [Problem(key, what, remedy)]
    return [
        Problem(
            key,
            f"the label '{name}' in '{label}' of {path} contains '{SET_SEPARATOR}', the separator of labels "
            "in prediction sets",
            "give it another name in labels.rename",
        )
        for name in counted.labels
        if SET_SEPARATOR in name
    ]


def label_warnings(dataset: Dataset, label: str, counted: Counted) -> list[str]:
    """Warnings of labels that are treated as missing or renamed."""
    path = dataset.header.path
    warnings = []
    if counted.missing:
        changes = ", ".join(f"'{spelling}' ({n} cells)" for spelling, n in counted.missing.most_common())
        warnings.append(f"{path}: in '{label}' these count as no label (labels.missing): {changes}")
    if counted.renamed:
        changes = ", ".join(
            f"{spelling!r} is '{name}' ({n} cells)" for spelling, (name, n) in counted.renamed.items()
        )
        warnings.append(f"{path}: in '{label}' labels are renamed (labels.rename, single blanks): {changes}")
    return warnings
