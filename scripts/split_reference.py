"""Hold back a validation and a test part of the references, which are split as one."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.budget import Budget
from cellferry.cells import UNKNOWN
from cellferry.errors import InputError
from cellferry.files import complete
from cellferry.logs import logged
from cellferry.needs import NEEDS
from cellferry.references import cell_bounds, joint_codes
from cellferry.splits import DROPPED, SPLITS, split_cells


def split_reference(
    merged: list[str],
    splits: str,
    *,
    by: str,
    validation: float,
    test: float,
    min_cells_per_label: int,
    seed: int,
    budget: Budget,
) -> None:
    """Write which part each reference cell belongs to.

    Parameters
    ----------
    merged
        The merged references; their obs holds `label` and `batch`.
    splits
        Parquet file to write: one row per cell, file after file in their order, column `split` with
        `train`, `validation`, `test`, or null for a cell without a usable label.
    by, validation, test, seed
        See `cellferry.splits.split_cells`.
    min_cells_per_label
        Labels with fewer cells are dropped.
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
    labels[(labels >= 0) & (names == UNKNOWN)[labels]] = DROPPED
    sizes = np.bincount(labels[labels >= 0], minlength=len(names))
    rare = sizes < min_cells_per_label
    left_out = np.count_nonzero(labels < 0)
    print(f"{left_out} of {len(labels)} cells have no label, or are '{UNKNOWN}', and are left out")
    for name, size in zip(names[rare & (sizes > 0)], sizes[rare & (sizes > 0)], strict=True):
        print(f"label '{name}' is dropped: {size} cells, split.min_cells_per_label is {min_cells_per_label}")
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
    cells = np.bincount(labels[used] * len(SPLITS) + split[used], minlength=len(names) * len(SPLITS))
    print(pd.DataFrame(cells.reshape(-1, len(SPLITS))[~rare], index=names[~rare], columns=SPLITS))
    dictionary = pa.DictionaryArray.from_arrays(pa.array(split, mask=~used), pa.array(SPLITS))
    with complete(splits) as path:
        pq.write_table(pa.table({"split": dictionary}), path)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        split_reference(
            list(snakemake.input.merged),
            snakemake.output.splits,
            by=snakemake.params.by,
            validation=snakemake.params.validation,
            test=snakemake.params.test,
            min_cells_per_label=snakemake.params.min_cells_per_label,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
