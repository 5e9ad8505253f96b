"""Predictions per batch of a query."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ..artifacts.counting import count_by
from ..artifacts.latents import blocks
from ..labels.vocabulary import OUT_OF_REFERENCE, UNKNOWN


def count_batches(mapped: Sequence[str], predictions: str) -> list[dict]:
    """Count cells and labels per batch of a query, the largest batch first.

    Parameters
    ----------
    mapped
        The query's mapped cells: parquet files in order, which hold the batches.
    predictions
        Its predictions, in the same order of cells.

    Returns
    -------
    One dict per batch: `batch`, `cells`, `unknown` and `out_of_reference` (shares of its cells),
    `probability` (mean of the best label's), `commonest` label and its `share`.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    out_of_reference: Counter[str] = Counter()
    probability: Counter[str] = Counter()
    keys = ["batch", "label", "reason"]
    for row in count_by(_answers(mapped, predictions), keys, sums=["probability"]):
        labels[row["batch"]][row["label"]] += row["cells"]
        probability[row["batch"]] += row["probability"]
        if row["reason"] == OUT_OF_REFERENCE:
            out_of_reference[row["batch"]] += row["cells"]
    batches = []
    for batch, counts in labels.items():
        n_cells = counts.total()
        commonest, n_commonest = max(
            ((label, n) for label, n in counts.items() if label != UNKNOWN),
            key=lambda item: item[1],
            default=(None, 0),
        )
        batches.append(
            {
                "batch": batch,
                "cells": n_cells,
                "unknown": counts[UNKNOWN] / n_cells,
                "out_of_reference": out_of_reference[batch] / n_cells,
                "probability": probability[batch] / n_cells,
                "commonest": commonest,
                "share": n_commonest / n_cells,
            }
        )
    return sorted(batches, key=lambda row: (-row["cells"], row["batch"]))


def _answers(mapped: Sequence[str], predictions: str) -> Iterator[pa.RecordBatch]:
    """Iterate over blocks of answers with the batches of their cells."""
    with pq.ParquetFile(predictions, pre_buffer=False) as file:
        rows = _Rows(file)
        for block in blocks(mapped, ["batch"]):
            yield from rows.take(block.num_rows).append_column("batch", block.column(0)).to_batches()


class _Rows:
    """The rows of a file of predictions, in pieces of any size."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._blocks = file.iter_batches(columns=["label", "reason", "probability"], use_threads=False)
        self._rest = pa.table({})

    def take(self, n_rows: int) -> pa.Table:
        pieces = [self._rest] if self._rest.num_rows else []
        missing = n_rows - self._rest.num_rows
        while missing > 0:
            pieces.append(pa.table(next(self._blocks)))
            missing -= pieces[-1].num_rows
        table = pa.concat_tables(pieces)
        self._rest = table.slice(n_rows)
        return table.slice(0, n_rows)
