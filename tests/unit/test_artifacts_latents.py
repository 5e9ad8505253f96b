"""Stored latents: read block by block in constant memory, with the codes of chosen labels."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.latents import blocks, codes_among, read_codes, read_values, values_by_column


def test_blocks_that_were_read_do_not_stay_in_memory(tmp_path):
    """Ten row groups of 2 MB that do not compress: never more than a few of them are held."""
    path, rng = tmp_path / "cells.parquet", np.random.default_rng(0)
    schema = pa.schema({"latent_0": pa.float32()})
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(10):
            writer.write_table(pa.table({"latent_0": rng.random(1 << 19, dtype=np.float32)}, schema=schema))
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in blocks([path], ["latent_0"], rows=1 << 16)]
    assert path.stat().st_size > 19 << 20
    assert max(held) < 8 << 20


def test_codes_of_some_labels_and_the_values_that_occur(tmp_path):
    paths = [str(tmp_path / name) for name in ("0.parquet", "1.parquet", "2.parquet")]
    for path, labels in zip(paths, (["T", None, "NK"], [], ["B", "T"]), strict=True):
        pq.write_table(pa.table({"label": pa.array(labels, pa.string())}), path)
    assert read_values(paths, "label") == {"B", "NK", "T"}
    assert values_by_column(paths, ["label", "truth"]) == {"label": {"B", "NK", "T", None}, "truth": {None}}
    codes = codes_among(["B", "T", "γδ T"], *read_codes(paths, "label"))
    assert codes.tolist() == [1, -1, -1, 0, 1]
    assert codes.dtype == np.int32
