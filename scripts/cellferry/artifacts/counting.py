"""Cells per combination of values, counted in one pass over blocks of a table."""

from collections.abc import Iterable, Sequence

import pyarrow as pa


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
    names = [*columns, "cells", *sums]

    def added_up(table: pa.Table, cells: tuple) -> pa.Table:
        """One row per combination; `cells` is the aggregation that counts its cells."""
        totals = [cells, *((column, "sum") for column in sums)]
        return table.group_by(list(columns), use_threads=False).aggregate(totals).rename_columns(names)

    found = None
    for block in blocks:
        # Not one plan of acero over all blocks: it reads ahead, up to 32 blocks on a busy machine.
        counted = added_up(pa.table(block), ([], "count_all"))
        if found is not None:
            counted = added_up(pa.concat_tables([found, counted]), ("cells", "sum"))
        found = counted
    return [] if found is None else found.to_pylist()
