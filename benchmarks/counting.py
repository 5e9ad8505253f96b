"""Time and memory of counting cells per combination of labels in one pass.

    python benchmarks/counting.py    # all: simulate, measure, write counting.md

The input is a table of predictions. Each way is a separate process on one core. All ways give the same
counts.
"""

import argparse
import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from measuring import ROOT, machine, measured_inside, run_measured
from pyarrow import acero

sys.path.insert(0, str(ROOT / "scripts"))

PAGE = ROOT / "benchmarks" / "counting.md"
SIZES = (1_000_000, 3_000_000, 10_000_000)
LABELS, RUNS = 20, 3
COLUMNS = ["truth", "label", "level", "reason", "best_label"]
LIMIT_MB = 4096
"""Resident memory at which a way is killed."""

Counts = Counter[tuple[str | None, ...]]


def write_predictions(path: Path, n_cells: int) -> None:
    """Columns of predictions: a tenth of the cells are wrong, a twentieth unknown."""
    from cellferry.artifacts.latents import ROWS_PER_GROUP

    rng = np.random.default_rng(0)
    names = np.array([f"cell type number {number:02}" for number in range(LABELS)], dtype=object)
    schema = pa.schema(dict.fromkeys(COLUMNS, pa.string()))
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n_cells, ROWS_PER_GROUP):
            n = min(ROWS_PER_GROUP, n_cells - start)
            truth = rng.integers(0, LABELS, n)
            best = np.where(rng.random(n) < 0.1, rng.integers(0, LABELS, n), truth)
            is_unknown = rng.random(n) < 0.05
            reason = np.where(is_unknown, rng.choice(["ambiguous", "out of reference"], n), None)
            level = np.where(is_unknown, None, "label")
            columns = names[truth], np.where(is_unknown, "unknown", names[best]), level, reason, names[best]
            writer.write_table(pa.table([pa.array(column, pa.string()) for column in columns], schema=schema))


def blocks_of(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Blocks of the table, read as in the workflow."""
    from cellferry.artifacts.latents import blocks

    return blocks([path], COLUMNS, rows=rows)


def as_counter(table: pa.Table, count: str) -> Counts:
    """A small table of counts as a dict."""
    keys = zip(*(table[column].to_pylist() for column in COLUMNS), strict=True)
    return Counter(dict(zip(keys, table[count].to_pylist(), strict=True)))


def dict_by_block(path: Path, rows: int) -> Counts:
    """Group each block, and add its counts to a dict."""
    found: Counts = Counter()
    for block in blocks_of(path, rows):
        counted = pa.table(block).group_by(COLUMNS, use_threads=False).aggregate([([], "count_all")])
        found.update(as_counter(counted, "count_all"))
    return found


def in_workflow(path: Path, rows: int) -> Counts:
    """Group each block, then the small tables of counts, as in the workflow."""
    from cellferry.artifacts.counting import count_by

    found = count_by(blocks_of(path, rows), COLUMNS)
    return Counter({tuple(row[column] for column in COLUMNS): row["cells"] for row in found})


def one_stream(path: Path, rows: int) -> Counts:
    """One aggregation by acero over the same blocks, which it reads ahead."""
    first = next(blocks_of(path, 1))
    reader = pa.RecordBatchReader.from_batches(first.schema, blocks_of(path, rows))
    counts = acero.AggregateNodeOptions([([], "hash_count_all", None, "cells")], keys=COLUMNS)
    source = acero.Declaration("record_batch_reader_source", acero.RecordBatchReaderSourceNodeOptions(reader))
    plan = acero.Declaration.from_sequence([source, acero.Declaration("aggregate", counts)])
    return as_counter(plan.to_table(use_threads=False), "cells")


def scan(path: Path, rows: int) -> Counts:
    """One aggregation by acero that reads the file itself."""
    columns = {column: pyarrow.dataset.field(column) for column in COLUMNS}
    options = acero.ScanNodeOptions(pyarrow.dataset.dataset(path), columns=columns, batch_size=rows)
    counts = acero.AggregateNodeOptions([([], "hash_count_all", None, "cells")], keys=COLUMNS)
    source, aggregate = acero.Declaration("scan", options), acero.Declaration("aggregate", counts)
    plan = acero.Declaration.from_sequence([source, aggregate])
    return as_counter(plan.to_table(use_threads=False), "cells")


def whole(path: Path, rows: int) -> Counts:
    """Group the table as a whole."""
    table = pq.read_table(path, columns=COLUMNS, use_threads=False)
    return as_counter(table.group_by(COLUMNS, use_threads=False).aggregate([([], "count_all")]), "count_all")


WAYS = {
    "each block into a dict, 8,192 cells": (dict_by_block, 1 << 13),
    "each block into a dict, 65,536 cells": (dict_by_block, 1 << 16),
    "`count_by`, 8,192 cells": (in_workflow, 1 << 13),
    "`count_by`, 65,536 cells": (in_workflow, 1 << 16),
    "acero over all blocks, 8,192 cells": (one_stream, 1 << 13),
    "acero over all blocks, 65,536 cells": (one_stream, 1 << 16),
    "acero reads the file": (scan, 1 << 16),
    "the whole table": (whole, 1 << 16),
}


def one_way(way: str, path: Path, answer: Path) -> None:
    """Run as the measured process."""
    count, rows = WAYS[way]
    count(path.with_name("few.parquet"), rows)
    found = {}
    measured_inside(lambda: found.update(count(path, rows)))
    text = repr(sorted(found.items(), key=repr))
    answer.write_text(hashlib.sha256(text.encode()).hexdigest(), encoding="utf-8")


def measure(folder: Path, n_cells: int) -> list[dict]:
    """All ways on a table, each the best of three runs."""
    path, answer = folder / "predictions.parquet", folder / "answer"
    write_predictions(path, n_cells)
    rows, answers = [], set()
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way, path, answer]
        runs = [run_measured(command, limit_mb=LIMIT_MB) for _ in range(RUNS)]
        rows.append({"cells": n_cells, "way": way, **min(runs, key=lambda run: run["cpu_seconds"])})
        print(rows[-1], flush=True)
        answers.add(answer.read_text(encoding="utf-8"))
    assert len(answers) == 1, "the ways count differently"
    return rows


def page(table: pd.DataFrame) -> str:
    """The table, one line per way."""
    sizes = sorted(table["cells"].unique())
    lines = [
        "# Counting cells",
        "",
        f"{machine()}, pyarrow {pa.__version__}. `python benchmarks/counting.py`. Cells per combination of "
        f"{len(COLUMNS)} columns of predictions with {LABELS} labels, from a parquet file. Seconds are the "
        f"processor's, best of {RUNS} runs. Peaks are of the whole process; the libraries and a first "
        f"small file take {table['start_mb'].max():.0f} MB. All ways give the same counts.",
        "",
        "| way, cells in a block | " + " | ".join(f"{cells:,} cells, s | peak, MB" for cells in sizes) + " |",
        "|---" * (1 + 2 * len(sizes)) + "|",
    ]
    for way, found in table.groupby("way", sort=False):
        numbers = [
            f"{row.cpu_seconds:.2f} | {row.peak_mb:.0f}" for row in found.sort_values("cells").itertuples()
        ]
        lines.append(f"| {way} | " + " | ".join(numbers) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, or run one way as the measured process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="cells")
    parser.add_argument("--way", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        way, path, answer = options.way
        one_way(way, Path(path), Path(answer))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        write_predictions(Path(name) / "few.parquet", 1000)
        for n_cells in options.sizes:
            rows += measure(Path(name), n_cells)
    PAGE.write_text(page(pd.DataFrame(rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
