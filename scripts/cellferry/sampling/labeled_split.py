"""Labels of a reference: predictable labels, parts of their cells, and their hierarchy."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ..artifacts.labels import LabelCells, ReferenceLabels
from ..config.settings import SplitSettings
from ..errors import InputError
from ..labels.hierarchy import LabelHierarchy
from ..labels.levels import hierarchy_of_parents, joined_hierarchy
from ..labels.tables import ONTOLOGY_ID
from ..labels.tree import depths_of, describe_depths
from .sketch import stratified_sketch
from .splits import DROPPED, RARE, SPLITS, split_cells


def split_labeled(
    labels: np.ndarray,
    names: np.ndarray,
    batches: np.ndarray,
    settings: SplitSettings,
    *,
    seed: int,
    where: str,
    label_key: str,
    subsample: int | None = None,
    parents: dict[str, str] | None = None,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Split the cells of labels with enough cells, and count the parts.

    Parameters
    ----------
    labels, names
        Code of each cell's label, negative without a label (rare labels become negative in place), and the
        labels by code.
    batches
        Code of each cell's batch.
    settings, seed
        Settings of the split, see `cellferry.sampling.splits.split_cells`.
    where, label_key
        Name of the cells' files, and the configuration's key of their labels, for errors.
    subsample
        Maximum of cells to use, drawn evenly over labels and, within them, batches; None for all. Other cells
        are in no part, like unlabeled ones.
    parents
        Parent by label: a label with two or more below it is a coarser one, which is split like others,
        with any number of cells, and not predictable.

    Returns
    -------
    The part of each cell, as `split_cells` gives it, with all cells of rare labels in the part `RARE`, and a
    table by label: `cells`, `train`, `validation`, `test`, and `predictable`.

    Raises
    ------
    InputError
        If fewer than two labels remain, `subsample` is too small for them, or `by` cannot be followed.
    """
    min_cells_per_label = settings.min_cells_per_label
    sizes = np.bincount(labels[labels >= 0], minlength=len(names))
    cells_of = {name: int(size) for name, size in zip(names, sizes, strict=True) if size}
    depths = depths_of(cells_of, parents or {}, min_cells=min_cells_per_label)
    coarse = np.isin(names, list(depths.below))
    rare = (sizes < min_cells_per_label) & ~coarse
    print(f"{np.count_nonzero(labels < 0)} of {len(labels)} cells have no label, and are left out")
    for name, size in zip(names[rare], sizes[rare], strict=True):
        if size:
            print(
                f"label '{name}' is seen, but not predictable: {size} cells, split.min_cells_per_label is "
                f"{min_cells_per_label}"
            )
    for line in describe_depths(cells_of, depths):
        print(line)
    n_predictable = np.count_nonzero(~rare & ~coarse)
    if n_predictable < 2:
        raise InputError(
            f"{where}: {n_predictable} label(s) of the reference have at least "
            f"{min_cells_per_label} cells, and two are needed; lower split.min_cells_per_label or name "
            f"another obs column in {label_key}"
        )
    of_rare = (labels >= 0) & rare[labels]
    labels[of_rare] = DROPPED
    n_labeled = np.count_nonzero(labels >= 0)
    if subsample is not None and subsample < min_cells_per_label * n_predictable:
        raise InputError(
            f"reference.subsample is {subsample}, and {n_predictable} labels can be predicted, which take "
            f"{min_cells_per_label} cells each (split.min_cells_per_label); raise the one or lower the other"
        )
    if subsample is not None and n_labeled > subsample:
        drawn = np.zeros(len(labels), dtype=bool)
        drawn[stratified_sketch(labels, subsample, seed=seed, within=batches)] = True
        labels[~drawn] = DROPPED
        print(f"{subsample} of {n_labeled} labeled cells are used (reference.subsample)")
    try:
        split = split_cells(
            labels, batches, by=settings.by, validation=settings.validation, test=settings.test, seed=seed
        )
    except ValueError as error:
        raise InputError(f"split.by is '{settings.by}', but {error}; set it to 'label' or 'auto'") from error
    table = count_parts(labels, split, names, sizes=sizes, predictable=~rare & ~coarse)
    split[of_rare] = RARE
    return split, table


def count_parts(
    labels: np.ndarray, split: np.ndarray, names: np.ndarray, *, sizes: np.ndarray, predictable: np.ndarray
) -> pd.DataFrame:
    """Cells of each label of the reference, by part; also printed."""
    used = split != DROPPED
    parts = np.bincount(labels[used] * len(SPLITS) + split[used], minlength=len(names) * len(SPLITS))
    table = pd.DataFrame(parts.reshape(-1, len(SPLITS)), index=names, columns=list(SPLITS))
    table.insert(0, "cells", sizes)
    table["predictable"] = predictable
    table = table[table["cells"] > 0].sort_index()
    print(table.to_string())
    return table


def hierarchy_above(
    table: pd.DataFrame, by_dataset: dict[str, LabelHierarchy], parents: dict[str, str]
) -> LabelHierarchy:
    """Labels (index of `table`) and those above, by the references' columns or by their parents."""
    predictable = table.index[table["predictable"]].to_list()
    if not parents:
        return replace(joined_hierarchy(by_dataset, table.index), leaves=predictable)
    hierarchy = hierarchy_of_parents(parents, table.index, predictable)
    if not hierarchy.levels:
        print("warning: labels.parents names no parent of a label that can be predicted")
    return hierarchy


def describe_labels(table: pd.DataFrame, hierarchy: LabelHierarchy, ids: dict[str, str]) -> ReferenceLabels:
    """Labels with their cells by part (`table`), and their Cell Ontology ids: given ones, or their names."""
    labels = {
        label: LabelCells(**{column: int(row[column]) for column in ("cells", *SPLITS)})
        for label, row in table.iterrows()
    }
    names = [*labels, *sorted(hierarchy.coarser_labels - labels.keys())]
    ids_of = {name: ids.get(name, name) for name in names}
    ontology = {name: ontology_id for name, ontology_id in ids_of.items() if ONTOLOGY_ID.match(ontology_id)}
    return ReferenceLabels(labels, hierarchy, ontology)
