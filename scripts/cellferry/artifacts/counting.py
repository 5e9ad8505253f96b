"""Cells per combination of values, counted in one pass over blocks of a table."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

MAX_ROWS = 1 << 16
"""Rows of counts of single blocks that are added up at once."""


def count_by(
    blocks: Iterable[pa.RecordBatch], columns: Sequence[str], *, sums: Sequence[str] = ()
) -> list[dict]:
    """Count cells by the values of columns.

    Parameters
    ----------
    blocks
        Record batches of one schema; one is in memory at a time.
    columns
        Columns to count by; a missing value is a value.
    sums
        Columns of numbers to add up.

    Returns
    -------
    One dict per combination that occurs: its values by column, `cells`, and the totals of `sums` under their
    names.
    """
    counted: list[pa.Table] = []
    totals = [([], "count_all"), *((column, "sum") for column in sums)]
    names = [*columns, "cells", *sums]
    for block in blocks:
        # Not one plan of acero over all blocks: it reads ahead, up to 32 blocks on a busy machine.
        groups = pa.table(block).group_by(list(columns), use_threads=False)
        counted.append(groups.aggregate(totals).rename_columns(names))
        if sum(map(len, counted)) > MAX_ROWS:
            counted = [_added_up(counted, columns)]
    return _added_up(counted, columns).to_pylist() if counted else []


def _added_up(counted: list[pa.Table], columns: Sequence[str]) -> pa.Table:
    """One table of counts from several."""
    names = counted[0].column_names
    groups = pa.concat_tables(counted).group_by(list(columns), use_threads=False)
    totals = [(name, "sum") for name in names if name not in columns]
    return groups.aggregate(totals).rename_columns(names)
