"""Cells per combination of values, counted in one pass over blocks of a table.

One aggregation over all blocks takes half the time of one per small block, and no more memory
(benchmarks/counting.md).
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import pyarrow as pa
from pyarrow import acero


def count_by(
    blocks: Iterable[pa.RecordBatch], columns: Sequence[str], *, sums: Sequence[str] = ()
) -> list[dict]:
    """Count cells by the values of columns.

    Parameters
    ----------
    blocks
        Record batches of one schema, read one at a time; a few are in memory.
    columns
        Columns to count by; a missing value is a value.
    sums
        Columns of numbers to add up.

    Returns
    -------
    One dict per combination that occurs: its values by column, `cells`, and the totals of `sums` under their
    names.
    """
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        return []
    reader = pa.RecordBatchReader.from_batches(first.schema, chain([first], blocks))
    totals = [([], "hash_count_all", None, "cells")]
    totals += [(column, "hash_sum", None, column) for column in sums]
    plan = acero.Declaration.from_sequence(
        [
            acero.Declaration("record_batch_reader_source", acero.RecordBatchReaderSourceNodeOptions(reader)),
            acero.Declaration("aggregate", acero.AggregateNodeOptions(totals, keys=list(columns))),
        ]
    )
    return plan.to_table(use_threads=False).to_pylist()
