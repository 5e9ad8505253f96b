"""Hold back a validation and a test part of the references, which are split as one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.budget import Budget
from cellferry.errors import InputError
from cellferry.files import complete
from cellferry.label_tables import ONTOLOGY_ID, read_ontology, read_parents
from cellferry.levels import Level, joined_levels, levels_of_parents
from cellferry.logs import logged
from cellferry.needs import NEEDS
from cellferry.references import cell_bounds, joint_codes
from cellferry.splits import DROPPED, SPLITS, split_cells


def split_reference(
    merged: list[str],
    inspected: list[str],
    splits: str,
    about_labels: str,
    *,
    by: str,
    validation: float,
    test: float,
    min_cells_per_label: int,
    parents: dict | str,
    ontology: dict | str,
    seed: int,
    budget: Budget,
) -> None:
    """Write which part each reference cell belongs to, and what is known of the labels.

    Parameters
    ----------
    merged
        The merged references; their obs holds `label` and `batch`.
    inspected
        What `inspect_dataset` wrote for each of them.
    splits
        Parquet file to write: one row per cell, file after file in their order, column `split` with
        `train`, `validation`, `test`, or null for a cell without a usable label.
    about_labels
        JSON file to write: cells per label and part, whether it can be predicted, its Cell Ontology id; and
        the levels above the labels, see `cellferry.levels`.
    by, validation, test, seed
        See `cellferry.splits.split_cells`.
    min_cells_per_label
        Labels with fewer cells are seen, and not predicted.
    parents, ontology
        As in the configuration's section `labels`.
    budget
        Memory of the job.

    Raises
    ------
    InputError
        If fewer than two labels remain, or `by` cannot be obeyed.
    """
    budget.require(NEEDS["split_reference"], cells=int(cell_bounds(merged)[-1]))
    labels, names = joint_codes(merged, "label")
    batches, _ = joint_codes(merged, "batch")
    sizes = np.bincount(labels[labels >= 0], minlength=len(names))
    rare = sizes < min_cells_per_label
    print(f"{np.count_nonzero(labels < 0)} of {len(labels)} cells have no label, and are left out")
    for name, size in zip(names[rare], sizes[rare], strict=True):
        if size:
            print(
                f"label '{name}' is seen, but not predictable: {size} cells, split.min_cells_per_label is "
                f"{min_cells_per_label}"
            )
    if np.count_nonzero(~rare) < 2:
        raise InputError(
            f"{', '.join(merged)}: {np.count_nonzero(~rare)} label(s) of the reference have at least "
            f"{min_cells_per_label} cells, and two are needed; lower split.min_cells_per_label or name "
            "another obs column in datasets.NAME.label"
        )
    labels[(labels >= 0) & rare[labels]] = DROPPED
    try:
        split = split_cells(labels, batches, by=by, validation=validation, test=test, seed=seed)
    except ValueError as error:
        raise InputError(f"split.by is '{by}', but {error}; set it to 'label' or 'auto'") from error
    used = split != DROPPED
    parts = np.bincount(labels[used] * len(SPLITS) + split[used], minlength=len(names) * len(SPLITS))
    table = pd.DataFrame(parts.reshape(-1, len(SPLITS)), index=names, columns=list(SPLITS))
    table.insert(0, "cells", sizes)
    table["predictable"] = ~rare
    table = table[table["cells"] > 0].sort_index()
    print(table.to_string())
    levels = levels_above(table, inspected, parents)
    described = describe_labels(table, levels, read_ontology(ontology))
    with complete(about_labels) as path:
        path.write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")
    dictionary = pa.DictionaryArray.from_arrays(pa.array(split, mask=~used), pa.array(SPLITS))
    with complete(splits) as path:
        pq.write_table(pa.table({"split": dictionary}), path)


def levels_above(table: pd.DataFrame, inspected: list[str], parents: dict | str) -> list[Level]:
    """Levels above the labels (index of `table`), of the references' columns or of the table of parents."""
    predictable = table.index[table["predictable"]]
    named = read_parents(parents)
    if named:
        levels = levels_of_parents(named, table.index, predictable)
        if not levels:
            print("warning: labels.parents names no parent of a label that can be predicted")
        return levels
    found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in inspected]
    return joined_levels({dataset["dataset"]: dataset["levels"] for dataset in found}, table.index)


def describe_labels(table: pd.DataFrame, levels: list[Level], ids: dict[str, str]) -> dict:
    """What labels.json holds: labels, levels, and the Cell Ontology ids of the nodes on these."""

    def own_id(name: str) -> str | None:
        return ids.get(name, name if ONTOLOGY_ID.match(name) else None)

    labels = {
        label: {
            **{column: int(row[column]) for column in ("cells", *SPLITS)},
            "predictable": bool(row["predictable"]),
            "ontology": own_id(label),
        }
        for label, row in table.iterrows()
    }
    nodes = sorted({node for level in levels for node in level["of"].values()} - labels.keys())
    return {"labels": labels, "levels": levels, "ontology": {node: own_id(node) for node in nodes}}


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        split_reference(
            list(snakemake.input.merged),
            list(snakemake.input.inspected),
            snakemake.output.splits,
            snakemake.output.labels,
            by=snakemake.params.by,
            validation=snakemake.params.validation,
            test=snakemake.params.test,
            min_cells_per_label=snakemake.params.min_cells_per_label,
            parents=snakemake.params.parents,
            ontology=snakemake.params.ontology,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
