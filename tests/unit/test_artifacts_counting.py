"""Cells per combination of values: the same whatever the blocks, missing values and failures among them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cellferry.artifacts.counting import count_by

KEYS = ["truth", "label"]


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    names = np.array(["B", "γδ T", "", None], dtype=object)
    frame = pd.DataFrame({key: rng.choice(names, 1000) for key in KEYS})
    # Sums of such numbers are exact, in any order.
    return frame.assign(weight=rng.integers(0, 100, 1000).astype(np.float32))


def batches(cells, rows):
    schema = pa.schema(dict.fromkeys(KEYS, pa.string()) | {"weight": pa.float32()})
    return pa.Table.from_pandas(cells, schema=schema).to_batches(max_chunksize=rows)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_counts_and_sums_are_those_of_pandas(cells, rows):
    found = count_by(iter(batches(cells, rows)), KEYS, sums=["weight"])
    counted = {(row["truth"], row["label"]): (row["cells"], row["weight"]) for row in found}
    by_values = cells.fillna("missing").groupby(KEYS)["weight"]
    missing = {"missing": None}
    expected = {
        tuple(missing.get(value, value) for value in values): (len(weights), weights.sum())
        for values, weights in by_values
    }
    assert len(found) == len(counted) == 16
    assert counted == expected


def test_one_block_is_in_memory_at_a_time():
    held, names = [], np.repeat(["B", "T"], 50_000)

    def blocks():
        for _ in range(20):
            yield pa.record_batch({"label": pa.array(names)})
            held.append(pa.total_allocated_bytes() - before)

    before = pa.total_allocated_bytes()
    assert sum(row["cells"] for row in count_by(blocks(), ["label"])) == 20 * len(names)
    # A block has 500 KB; its counts take a few hundred bytes.
    assert max(held) < min(held) + 20_000


def test_no_blocks_hold_no_cells():
    assert count_by([], KEYS) == []


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("other cells")])
def test_an_error_while_blocks_are_read_is_passed_on(cells, error):
    def broken():
        yield from batches(cells, 100)[:3]
        raise error

    with pytest.raises(type(error), match=str(error.args[-1])):
        count_by(broken(), KEYS)
