"""Reading speed of every format, in three sizes, beside the usual tool.

    python benchmarks/formats.py                    # all: generate, measure, write formats.tsv and formats.md
    python benchmarks/formats.py --only csv 10x_h5  # some formats, into the same table

The same simulated cells are written in each format. Each reading is a separate process on one core: cellferry
streams all blocks of counts, like a conversion without writing; the other tool reads the file into a CSR
matrix of cells × genes. Files are in the page cache for both.
"""

import argparse
import gzip
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import ROOT, available_mb, machine, measured_inside, run_measured

TABLE = ROOT / "benchmarks" / "formats.tsv"
PAGE = ROOT / "benchmarks" / "formats.md"
SIZES = (5_000, 20_000, 80_000)
GENES = 5_000
MARKERS = 40
HEADS = (
    "format",
    "cells",
    "file, MB",
    "cellferry, s",
    "MB/s",
    "peak, MB",
    "other tool",
    "s",
    "MB/s",
    "peak, MB",
)
HEADS += ("times as fast", "of its memory")
MEM_MB = 2000
"""The `mem_mb` of convert_to_chunks."""


READ_RDS = "library(Matrix); object <- readRDS(commandArgs(TRUE)[1])"


@dataclass(frozen=True)
class Kind:
    """A format: its writer, and the reader of another tool (None: R)."""

    name: str
    write: Callable[[Path, Path], Path]
    tool: str
    read: Callable[[Path], object] | None


def cells_of(source: Path):
    """The simulated cells, in memory, with gene ids that differ from cell names."""
    import anndata as ad

    cells = ad.read_h5ad(source)
    cells.var_names = [f"ENSG{number:011d}" for number in range(cells.n_vars)]
    return cells


def write_dense_h5ad(source: Path, folder: Path) -> Path:
    """Dense float32 in X."""
    import anndata as ad

    cells = cells_of(source)
    path = folder / "dense.h5ad"
    ad.AnnData(cells.X.toarray(), obs=cells.obs, var=cells.var).write_h5ad(path)
    return path


def write_csr_h5ad(source: Path, folder: Path) -> Path:
    """CSR, gzip."""
    path = folder / "csr.h5ad"
    cells_of(source).write_h5ad(path, compression="gzip")
    return path


def write_csc_h5ad(source: Path, folder: Path) -> Path:
    """CSC, gzip."""
    cells = cells_of(source)
    cells.X = cells.X.tocsc()
    path = folder / "csc.h5ad"
    cells.write_h5ad(path, compression="gzip")
    return path


def write_10x_h5(source: Path, folder: Path) -> Path:
    """Like Cell Ranger 3 and later: gzip, int32."""
    import h5py

    cells = cells_of(source)
    path = folder / "matrix.h5"
    options = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "chunks": True}
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group.create_dataset("data", data=cells.X.data.astype(np.int32), **options)
        group.create_dataset("indices", data=cells.X.indices.astype(np.int64), **options)
        group.create_dataset("indptr", data=cells.X.indptr.astype(np.int64), **options)
        group["shape"] = np.array([cells.n_vars, cells.n_obs], dtype=np.int32)
        group["barcodes"] = cells.obs_names.to_numpy().astype("S")
        features = group.create_group("features")
        for name in ("id", "name"):
            features[name] = cells.var_names.to_numpy().astype("S")
        features["feature_type"] = np.full(cells.n_vars, b"Gene Expression")
        features["genome"] = np.full(cells.n_vars, b"GRCh38")
    return path


def write_10x_mtx(source: Path, folder: Path) -> Path:
    """Like Cell Ranger 3 and later: gzipped, cell by cell."""
    cells = cells_of(source)
    path = folder / "mtx"
    path.mkdir()
    with gzip.open(path / "matrix.mtx.gz", "wb", compresslevel=6) as file:
        file.write(b"%%MatrixMarket matrix coordinate integer general\n%\n")
        file.write(f"{cells.n_vars} {cells.n_obs} {cells.X.nnz}\n".encode())
        for start in range(0, cells.n_obs, 1000):
            part = cells.X[start : start + 1000].tocoo()
            columns = {"gene": part.col + 1, "cell": part.row + start + 1, "count": part.data.astype(int)}
            file.write(pd.DataFrame(columns).to_csv(sep=" ", header=False, index=False).encode())
    with gzip.open(path / "barcodes.tsv.gz", "wt") as file:
        file.writelines(f"{name}\n" for name in cells.obs_names)
    with gzip.open(path / "features.tsv.gz", "wt") as file:
        file.writelines(f"{name}\t{name}\tGene Expression\n" for name in cells.var_names)
    return path


def write_csv(source: Path, folder: Path, *, transposed: bool = False) -> Path:
    """Cells × genes, or genes × cells, plain."""
    cells = cells_of(source)
    counts = (cells.X.T if transposed else cells.X).tocsr().astype(np.int32)
    rows, columns = (cells.var_names, cells.obs_names) if transposed else (cells.obs_names, cells.var_names)
    path = folder / "table.csv"
    digits = [str(count) for count in range(counts.max() + 1)]
    with open(path, "w", encoding="ascii") as file:
        file.write(",".join(["", *columns]) + "\n")
        for number, name in enumerate(rows):
            values = counts[number].toarray()[0].tolist()
            file.write(",".join([name, *(digits[value] for value in values)]) + "\n")
    return path


def write_csv_genes(source: Path, folder: Path) -> Path:
    """Genes × cells."""
    return write_csv(source, folder, transposed=True)


def write_zarr(source: Path, folder: Path) -> Path:
    """Like anndata."""
    path = folder / "cells.zarr"
    cells_of(source).write_zarr(path)
    return path


def write_h5mu(source: Path, folder: Path) -> Path:
    """One modality, gzip."""
    import mudata

    path = folder / "cells.h5mu"
    mudata.MuData({"rna": cells_of(source)}).write_h5mu(path, compression="gzip")
    return path


def write_loom(source: Path, folder: Path) -> Path:
    """Like loompy: genes × cells, gzip, HDF5 chunks of 64 × 64."""
    import h5py

    cells = cells_of(source)
    path = folder / "cells.loom"
    with h5py.File(path, "w") as file:
        options = {"chunks": (64, 64), "compression": "gzip", "compression_opts": 2}
        matrix = file.create_dataset("matrix", (cells.n_vars, cells.n_obs), np.float32, **options)
        for start in range(0, cells.n_obs, 640):
            matrix[:, start : start + 640] = cells.X[start : start + 640].toarray().T
        file["row_attrs/Gene"] = cells.var_names.to_numpy().astype("S")
        file["col_attrs/CellID"] = cells.obs_names.to_numpy().astype("S")
        file["attrs/LOOM_SPEC_VERSION"] = b"3.0.0"
    return path


def write_parquet(source: Path, folder: Path) -> Path:
    """Cells × genes by pandas, 5,000 cells to a group."""
    cells = cells_of(source)
    path = folder / "cells.parquet"
    frame = pd.DataFrame(cells.X.toarray().astype(np.int32), cells.obs_names, cells.var_names)
    frame.to_parquet(path, row_group_size=5000)
    return path


def write_bpcells(source: Path, folder: Path) -> Path:
    """Genes × cells by column, whole numbers, not packed."""
    cells = cells_of(source)
    path = folder / "bpcells"
    path.mkdir()
    arrays = {
        "shape": (b"UINT32v1", np.array([cells.n_vars, cells.n_obs], dtype="<u4")),
        "idxptr": (b"UINT64v1", cells.X.indptr.astype("<u8")),
        "index": (b"UINT32v1", cells.X.indices.astype("<u4")),
        "val": (b"UINT32v1", cells.X.data.astype("<u4")),
    }
    for name, (magic, values) in arrays.items():
        (path / name).write_bytes(magic + values.tobytes())
    texts = {"version": ["unpacked-uint-matrix-v2"], "storage_order": ["col"]}
    for name, lines in {**texts, "row_names": cells.var_names, "col_names": cells.obs_names}.items():
        (path / name).write_text("".join(f"{line}\n" for line in lines))
    return path


def write_seurat(source: Path, folder: Path) -> Path:
    """A Seurat object, version 4: counts, normalized values, and 500 genes scaled; gzip."""
    import r_writer as r

    cells = cells_of(source)
    genes, names = list(cells.var_names), list(cells.obs_names)
    scaled = np.zeros((cells.n_obs, 500)) + 0.25
    assay = r.assay(
        counts=r.dgc(cells.X, genes, names),
        data=r.dgc(cells.X.log1p(), genes, names),
        **{"scale.data": r.dense(scaled, genes[:500], names)},
    )
    meta = r.frame({"donor": r.factor(np.ones(cells.n_obs), ["a"])}, names)
    path = folder / "seurat.rds"
    r.write_rds(path, r.seurat({"RNA": assay}, meta, "RNA"), partial(gzip.open, compresslevel=1))
    return path


def write_fcs(source: Path, folder: Path) -> Path:
    """Float32, 20 events per cell."""
    from flowio import create_fcs

    n_events = 20 * cells_of(source).n_obs
    events = np.random.default_rng(0).gamma(2, 50, (n_events, MARKERS)).astype(np.float32)
    path = folder / "events.fcs"
    with open(path, "wb") as file:
        create_fcs(file, events.ravel(), [f"D{number}" for number in range(MARKERS)])
    return path


def read_h5ad(path: Path) -> object:
    """As CSR."""
    import anndata as ad
    from scipy import sparse

    return sparse.csr_matrix(ad.read_h5ad(path).X)


def read_10x_h5(path: Path) -> object:
    """With scanpy."""
    import scanpy as sc

    return sc.read_10x_h5(path).X.tocsr()


def read_10x_mtx(path: Path) -> object:
    """With scanpy."""
    import scanpy as sc

    return sc.read_10x_mtx(path).X.tocsr()


def read_csv(path: Path) -> object:
    """With pandas."""
    from scipy import sparse

    return sparse.csr_matrix(pd.read_csv(path, index_col=0).to_numpy(np.float32))


def read_csv_genes(path: Path) -> object:
    """With pandas, transposed."""
    from scipy import sparse

    return sparse.csr_matrix(pd.read_csv(path, index_col=0).to_numpy(np.float32).T)


def read_zarr(path: Path) -> object:
    """As CSR."""
    import anndata as ad

    return ad.read_zarr(path).X.tocsr()


def read_h5mu(path: Path) -> object:
    """As CSR."""
    import mudata

    return mudata.read_h5mu(path)["rna"].X.tocsr()


def read_loom(path: Path) -> object:
    """As a whole, like loompy and anndata."""
    import h5py
    from scipy import sparse

    with h5py.File(path) as file:
        return sparse.csr_matrix(file["matrix"][:].T)


def read_parquet(path: Path) -> object:
    """With pandas."""
    from scipy import sparse

    return sparse.csr_matrix(pd.read_parquet(path).to_numpy(np.float32))


def read_bpcells(path: Path) -> object:
    """Array by array; BPCells itself is an R package."""
    from scipy import sparse

    pointers, indices = (
        np.fromfile(path / name, kind, offset=8) for name, kind in (("idxptr", "<u8"), ("index", "<u4"))
    )
    values = np.fromfile(path / "val", "<u4", offset=8)
    return sparse.csr_matrix((values.astype(np.float32), indices, pointers))


def read_fcs(path: Path) -> object:
    """With flowio."""
    from flowio import FlowData

    return FlowData(path).as_array(preprocess=True)


KINDS = [
    Kind("h5ad, CSR", write_csr_h5ad, "anndata", read_h5ad),
    Kind("h5ad, CSC", write_csc_h5ad, "anndata", read_h5ad),
    Kind("h5ad, dense", write_dense_h5ad, "anndata", read_h5ad),
    Kind("10x_h5", write_10x_h5, "scanpy", read_10x_h5),
    Kind("10x_mtx, gzip", write_10x_mtx, "scanpy", read_10x_mtx),
    Kind("csv, cells × genes", write_csv, "pandas", read_csv),
    Kind("csv, genes × cells", write_csv_genes, "pandas", read_csv_genes),
    Kind("parquet, cells × genes", write_parquet, "pandas", read_parquet),
    Kind("zarr, CSR", write_zarr, "anndata", read_zarr),
    Kind("h5mu, CSR", write_h5mu, "mudata", read_h5mu),
    Kind("loom", write_loom, "h5py, whole", read_loom),
    Kind("bpcells", write_bpcells, "numpy, whole", read_bpcells),
    Kind("r, Seurat", write_seurat, "R", None),
    Kind("fcs", write_fcs, "flowio", read_fcs),
]


def read_with_cellferry(path: Path) -> int:
    """Read all blocks, as in `convert_to_chunks`; return the number of stored values."""
    from cellferry.config.schema import fill_defaults
    from cellferry.datasets.dataset import Dataset
    from cellferry.resources.budget import Budget
    from cellferry.resources.memory import BLOCK_BYTES, MEMORY_MODELS, SORTED_BYTES

    own = {"role": "query", "path": str(path)}
    fill_defaults({"datasets": {"cells": own}})
    dataset = Dataset("cells", own)
    most = BLOCK_BYTES if dataset.in_order else SORTED_BYTES
    max_bytes = Budget(MEM_MB).block_bytes(
        MEMORY_MODELS["convert_to_chunks"], more_mb=dataset.held_mb([]), most=most
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        return sum(block.counts.nnz for _, block in dataset.blocks([], max_bytes, Path(scratch)))


def measure(kind: Kind, cells: int, source: Path, folder: Path, *, runs: int) -> list[dict]:
    """Write a file, read it in both ways, and remove it."""
    folder.mkdir()
    path = kind.write(source, folder)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files) / 1e6
    rows = []
    for way in ("cellferry", kind.tool):
        command = [sys.executable, __file__, "--way", kind.name, way, path]
        if way == "R":
            command = ["Rscript", "-e", READ_RDS, path]
        found = [run_measured(command, limit_mb=int(0.85 * available_mb())) for _ in range(runs)]
        best = min(found, key=lambda one: one.get("cpu_seconds", np.inf))
        rows.append({"format": kind.name, "cells": cells, "file_mb": size, "way": way, **best})
        print(rows[-1], flush=True)
    shutil.rmtree(folder)
    return rows


def save(rows: list[dict]) -> None:
    """Put rows into the table, replacing those of the same format and size; write the page."""
    columns = ["format", "cells", "file_mb", "way", "seconds", "cpu_seconds", "peak_mb", "outcome"]
    table = pd.DataFrame(rows, columns=columns)
    if TABLE.exists():
        old = pd.read_csv(TABLE, sep="\t", comment="#")
        again = old.set_index(["format", "cells"]).index.isin(table.set_index(["format", "cells"]).index)
        table = pd.concat([old[~again], table])
    order = [kind.name for kind in KINDS]
    table = table.sort_values(
        ["format", "cells"],
        key=lambda values: values.map(lambda value: order.index(value) if value in order else value),
        kind="stable",
    )
    for column in ("file_mb", "seconds", "cpu_seconds"):
        table[column] = table[column].astype(float).round(2)
    table.to_csv(TABLE, sep="\t", index=False)
    PAGE.write_text(page(table), encoding="utf-8")


def page(table: pd.DataFrame) -> str:
    """The table, both ways in one line."""
    lines = [
        "# Reading files",
        "",
        f"{machine()}. `python benchmarks/formats.py`. {GENES:,} genes (FCS: {MARKERS} markers, 20 events "
        "per cell), a tenth of "
        f"them in each cell. Memory of cellferry: {MEM_MB:,} MB. Seconds are CPU seconds, the best of one "
        "to three runs; MB/s refer to the size of the file on disk.",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|---" * len(HEADS) + "|",
    ]
    for (name, cells), both in table.groupby(["format", "cells"], sort=False):
        own = both[both["way"] == "cellferry"].iloc[0]
        other = both[both["way"] != "cellferry"].iloc[0]
        size = own["file_mb"]
        line = [
            name,
            f"{cells:,}",
            f"{size:.0f}",
            f"{own['cpu_seconds']:.2f}",
            f"{size / own['cpu_seconds']:.0f}",
        ]
        line += [f"{own['peak_mb']:.0f}", other["way"]]
        if other["outcome"] == "ok":
            line += [
                f"{other['cpu_seconds']:.2f}",
                f"{size / other['cpu_seconds']:.0f}",
                f"{other['peak_mb']:.0f}",
            ]
            line += [
                f"{other['cpu_seconds'] / own['cpu_seconds']:.1f}",
                f"{own['peak_mb'] / other['peak_mb']:.2f}",
            ]
        else:
            line += [other["outcome"], "", "", "", ""]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, or run one way as the measured process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="formats by the start of their names")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="cells")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        name, way, path = options.way
        kind = next(kind for kind in KINDS if kind.name == name)
        sys.path[:0] = [str(ROOT / "scripts")]
        if way == "cellferry":
            import cellferry.dataset  # noqa: F401

            measured_inside(lambda: read_with_cellferry(Path(path)))
        else:
            import anndata  # noqa: F401
            import flowio  # noqa: F401

            measured_inside(lambda: kind.read(Path(path)))
        return
    from simulated_counts import simulate_counts

    sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for cells in options.sizes:
            source = Path(folder) / "cells.h5ad"
            simulate_counts(source, n_cells=cells, n_genes=GENES)
            for kind in KINDS:
                if not options.only or kind.name.startswith(tuple(options.only)):
                    rows += measure(kind, cells, source, Path(folder) / "files", runs=options.runs)
                    save(rows)


if __name__ == "__main__":
    main()
