import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.latents import blocks


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
