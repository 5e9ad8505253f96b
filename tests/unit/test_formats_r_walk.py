"""The walk through an R object: memory that does not grow with the object, and long vectors."""

import gzip
import itertools
import json
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import r_writer as r
from cellferry import formats
from cellferry.errors import InputError
from reading import read_header


def write_large(path, n_cells, per_cell=300, n_genes=2000):
    """A Seurat object with scale.data, whose counts and data have `per_cell` values per cell."""
    pointers = np.arange(n_cells + 1) * per_cell
    genes = [f"Gene{i}" for i in range(n_genes)]
    n = n_cells * per_cell

    def names():
        return r.strings((f"ACGTACGTACGTACGT-{i}" for i in range(n_cells)), n_cells)

    def some(kind):
        random = np.random.default_rng(0)
        for _ in range(n_cells // 1000):
            if kind == "i":
                yield np.sort(
                    random.random((1000, n_genes), dtype=np.float32).argsort(1)[:, :per_cell], 1
                ).ravel()
            else:
                yield random.integers(1, 9, per_cell * 1000).astype(float) * (1 if kind == "counts" else 0.3)

    def matrix(kind):
        return r.s4(
            "dgCMatrix",
            "Matrix",
            i=r.numbers(some("i"), n),
            p=r.numbers(pointers),
            Dim=r.numbers(np.array([n_genes, n_cells])),
            Dimnames=r.a_list([r.strings(genes), names()]),
            x=r.numbers(some(kind), n),
        )

    scaled = r.numbers(
        (np.zeros(100 * 1000) for _ in range(n_cells // 1000)),
        100 * n_cells,
        dim=r.numbers(np.array([100, n_cells])),
    )
    assay = r.assay(counts=matrix("counts"), data=matrix("data"), **{"scale.data": scaled})
    labels = r.factor(np.arange(n_cells) % 7 + 1, [f"type{i}" for i in range(7)])
    names_of_cells = (f"ACGTACGTACGTACGT-{i}" for i in range(n_cells))
    table = r.frame({"label": labels}, names_of_cells, n_cells)
    r.write_rds(path, r.seurat({"RNA": assay}, table, "RNA"), partial(gzip.open, compresslevel=1))


MEASURE = """
import json, resource, sys, tempfile
from pathlib import Path
from cellferry import formats
header = formats.header(sys.argv[1], formats.Options(dataset="blood"))
n = sum(len(cells.names) for cells in formats.cells(header, ["label"]))
total = 0
with tempfile.TemporaryDirectory() as scratch:
    for block in formats.blocks(header, ["label"], 4 * 2**20, Path(scratch)):
        total += float(block.counts.sum())
    left = list(Path(scratch).iterdir())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"n": n, "total": total, "peak": peak, "left": len(left)}))
"""


def test_memory_does_not_grow_with_the_object(tmp_path):
    found = {}
    for n_cells in (2_000, 16_000):
        write_large(tmp_path / "a.rds", n_cells)
        environment = {"PYTHONPATH": str(Path(formats.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "a.rds")]
        run = subprocess.run(command, capture_output=True, check=True, env=environment, text=True)
        found[n_cells] = json.loads(run.stdout)
    few, many = found.values()
    assert (few["n"], many["n"]) == (2_000, 16_000)
    assert many["left"] == 0
    # With 115 MB more of matrices, only names and the columns' numbers may need more memory.
    assert many["peak"] - few["peak"] < 15


def test_reading_ends_where_it_is_given_up(tmp_path):
    write_large(tmp_path / "a.rds", 2_000)
    header = read_header(tmp_path / "a.rds")
    scratch = tmp_path / "scratch"
    assert len(list(itertools.islice(formats.blocks(header, [], 10**5, scratch), 2))) == 2
    assert not list(scratch.glob("*"))


def test_long_vectors_have_a_length_of_their_own(tmp_path):
    """A vector of 2³¹ values or more: its missing values are reported, and nothing else."""
    head = b"X\n" + struct.pack(">6i", 2, 0x040202, 0x020300, 14, -1, 1) + struct.pack(">i", 5)
    (tmp_path / "a.rds").write_bytes(head + bytes(1000))
    with pytest.raises(InputError, match="it ends in the middle of an object"):
        read_header(tmp_path / "a.rds")
