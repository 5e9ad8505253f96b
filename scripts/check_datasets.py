"""Stop before anything long begins if a dataset cannot be used, and say everything that is wrong at once."""

import json
from pathlib import Path

import pandas as pd
from cellferry.errors import InputError
from cellferry.files import complete
from cellferry.logs import logged

COLUMNS = {
    "dataset": "dataset",
    "role": "role",
    "format": "format",
    "cells": "cells_kept",
    "cells_in_file": "cells",
    "genes": "genes",
    "nonzeros": "nonzeros",
    "counts": "counts",
    "gene_id": "gene_id",
    "labels": "n_labels",
    "batches": "n_batches",
}
"""Columns of the table, and where their values stand in a dataset's JSON."""


def check_datasets(inspected: list[str], table: str) -> None:
    """Write one row per dataset, if all of them can be used.

    Parameters
    ----------
    inspected
        JSON files as `inspect_dataset` writes them.
    table
        The table to write (tsv).

    Raises
    ------
    InputError
        If any dataset has a problem; the message lists the problems of all of them.
    """
    found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in inspected]
    for dataset in found:
        for warning in dataset["warnings"]:
            print(f"warning: {dataset['dataset']}: {warning}")
    problems = [(dataset["dataset"], problem) for dataset in found for problem in dataset["problems"]]
    if problems:
        listed = "\n".join(f"  - {name}: {problem}" for name, problem in problems)
        raise InputError(f"the datasets have {len(problems)} problem(s):\n{listed}")
    rows = [{column: dataset[key] for column, key in COLUMNS.items()} for dataset in found]
    with complete(table) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).astype({"nonzeros": "Int64"}).to_csv(
            temporary, sep="\t", index=False
        )
    print(Path(table).read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        check_datasets(list(snakemake.input), snakemake.output[0])
