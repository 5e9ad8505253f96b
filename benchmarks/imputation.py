"""Memory and time of CytoVI's imputation of labels, in blocks and by scvi-tools.

    python benchmarks/imputation.py    # all: simulate, measure, write imputation.tsv and imputation.md

Each way is a separate process on one core that reads the query's latents from disk and writes a label and its
uncertainty for every cell. Times are without the start of Python and the compilation of both searches; the
memory of the libraries is given separately.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from measuring import ROOT, machine, measured_inside, run_measured

sys.path.insert(0, str(ROOT / "scripts"))

TABLE = ROOT / "benchmarks" / "imputation.tsv"
PAGE = ROOT / "benchmarks" / "imputation.md"
SIZES = (10_000, 50_000, 200_000, 1_000_000)
REFERENCE_CELLS, LATENTS, LABELS = 20_000, 15, 20
WAYS = {"cellferry": "in blocks", "scvi-tools": "scvi-tools"}
LIMIT_MB = 4096
"""Resident memory at which a way is killed."""

COLUMNS = ["cells", "way", "seconds", "cpu_seconds", "start_mb", "peak_mb", "same_label", "outcome"]


def simulate(n_cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents of cells of overlapping labels, and the labels' codes."""
    centers = np.random.default_rng(0).normal(0, 1, (LABELS, LATENTS))
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, LABELS, n_cells)
    return (centers[codes] + rng.normal(0, 0.8, (n_cells, LATENTS))).astype(np.float32), codes


def write_reference(folder: Path) -> None:
    """The voting cells, as written by `train_classifier` and as CytoVI's input."""
    import anndata as ad
    from cellferry.heads.neighbors import NeighborsHead

    latents, codes = simulate(REFERENCE_CELLS, seed=1)
    NeighborsHead.train(latents, codes, latents[:0], n_neighbors=15, n_labels=LABELS).save(folder)
    obs = pd.DataFrame({"label": pd.Categorical.from_codes(codes, label_names())}).rename(index=str)
    empty = np.zeros((REFERENCE_CELLS, 1), dtype=np.float32)
    ad.AnnData(empty, obs=obs, obsm={"X_CytoVI": latents}).write_h5ad(folder / "reference.h5ad")


def write_query(folder: Path, n_cells: int) -> None:
    """The query, as written by `map_query` and as CytoVI's input."""
    import anndata as ad
    import pyarrow as pa
    import pyarrow.parquet as pq
    from cellferry.artifacts.latents import ROWS_PER_GROUP

    latents, _ = simulate(n_cells, seed=2)
    columns = {f"latent_{number}": latents[:, number] for number in range(LATENTS)}
    pq.write_table(pa.table(columns), folder / "query.parquet", row_group_size=ROWS_PER_GROUP)
    empty = np.zeros((n_cells, 1), dtype=np.float32)
    ad.AnnData(empty, obsm={"X_CytoVI": latents}).write_h5ad(folder / "query.h5ad")


def label_names() -> list[str]:
    """Names of the labels, in the order of their codes."""
    return [f"label {number:02}" for number in range(LABELS)]


def impute_in_blocks(folder: Path, query: Path, answer: Path) -> None:
    """Impute with cellferry's head, as in `predict_labels`."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from cellferry.artifacts.latents import ROWS_PER_GROUP, blocks, latent_columns, matrix
    from cellferry.heads.cytovi import CytoviHead
    from cellferry.resources.memory import BLOCK_BYTES, CYTOVI_NEIGHBORS, head_output_bytes

    head, names = CytoviHead.load(folder), np.array(label_names(), dtype=object)
    cell = head_output_bytes(
        n_labels=LABELS, n_heads=1, neighbors=CYTOVI_NEIGHBORS, n_latent=LATENTS, values=0
    )
    columns, rows = latent_columns([query]), min(BLOCK_BYTES // cell, ROWS_PER_GROUP)
    schema = pa.schema({"label": pa.string(), "uncertainty": pa.float32()})
    with pq.ParquetWriter(answer, schema) as writer:
        for block in blocks([query], columns, rows=rows):
            shares = head.probabilities(matrix(block, columns))
            labels, uncertainty = names[shares.argmax(axis=1)], 1 - shares.max(axis=1)
            writer.write_table(pa.table([labels, uncertainty], schema=schema))


def impute_whole(folder: Path, query: Path, answer: Path) -> None:
    """Impute with scvi-tools, which only needs the query from a model."""
    import anndata as ad
    from scvi.external import CYTOVI

    cells = SimpleNamespace(adata=ad.read_h5ad(query.with_suffix(".h5ad")))
    reference = ad.read_h5ad(folder / "reference.h5ad")
    labels, uncertainty = CYTOVI.impute_categories_from_reference(
        cells, reference, "label", return_uncertainty=True
    )
    pd.DataFrame({"label": labels, "uncertainty": uncertainty}).to_parquet(answer)


def one_way(way: str, folder: Path) -> None:
    """Run as the measured process."""
    impute = {"cellferry": impute_in_blocks, "scvi-tools": impute_whole}[way]
    impute(folder, folder / "few" / "query.parquet", folder / "few.parquet")
    measured_inside(lambda: impute(folder, folder / "query.parquet", folder / f"{way}.parquet"))


def measure(folder: Path, n_cells: int) -> list[dict]:
    """Both ways on some query cells, and the share of equal labels."""
    write_query(folder, n_cells)
    rows = []
    for way in WAYS:
        found = run_measured([sys.executable, __file__, "--way", way, folder], limit_mb=LIMIT_MB)
        rows.append({"cells": n_cells, "way": way, **found})
        print(rows[-1], flush=True)
    if all(row["outcome"] == "ok" for row in rows):
        labels = [pd.read_parquet(folder / f"{way}.parquet")["label"] for way in WAYS]
        rows[1]["same_label"] = float((labels[0] == labels[1]).mean())
    return rows


def page(table: pd.DataFrame) -> str:
    """The table, both ways in one line."""
    heads = ("query cells", "in blocks, s", "peak, MB", "scvi-tools, s", "peak, MB", "same label")
    started = " and ".join(
        f"{rows['start_mb'].min():.0f} MB ({WAYS[way]})" for way, rows in table.groupby("way", sort=False)
    )
    lines = [
        "# CytoVI's imputation of labels",
        "",
        f"{machine()}. `python benchmarks/imputation.py`. {REFERENCE_CELLS:,} reference cells of {LABELS} "
        f"overlapping labels, {LATENTS} latents. In blocks: the head `cytovi`. scvi-tools: "
        "`CYTOVI.impute_categories_from_reference` of the same latents, killed at "
        f"{LIMIT_MB:,} MB. Seconds are CPU seconds. Peaks are of the whole process; libraries "
        f"and a first small query take {started}. The labels are the same if both searches return the same "
        "neighbors (`tests/unit/test_heads_cytovi.py`); both miss a few.",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    for cells, both in table.groupby("cells"):
        line = [f"{cells:,}"]
        for way in WAYS:
            row = both[both["way"] == way].iloc[0]
            ok = row["outcome"] == "ok"
            line += [f"{row['cpu_seconds']:.1f}", f"{row['peak_mb']:.0f}"] if ok else [row["outcome"], ""]
        line.append(f"{row['same_label']:.3f}" if ok else "")
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, or run one way as the measured process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="query cells")
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        one_way(options.way[0], Path(options.way[1]))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "few").mkdir()
        write_reference(folder)
        write_query(folder / "few", 1000)
        for n_cells in options.sizes:
            rows += measure(folder, n_cells)
    table = pd.DataFrame(rows, columns=COLUMNS)
    for column in ("seconds", "cpu_seconds", "same_label"):
        table[column] = table[column].astype(float).round(4)
    table.to_csv(TABLE, sep="\t", index=False)
    PAGE.write_text(page(table), encoding="utf-8")


if __name__ == "__main__":
    main()
