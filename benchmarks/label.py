"""Time and memory of labeling by a packed reference; writes benchmarks/label.md.

    python benchmarks/label.py --results RUN/results --query query.h5ad --work /some/scratch

The reference of a finished run is packed. Cells are drawn from the query with replacement, and labeled on one
core by the workflow with `surgery.fit: false`, as in `make label`.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import anndata as ad
import numpy as np
import pandas as pd
from accuracy_runs import snakemake, write_if_changed
from cellferry.commands.pack.contents import pack
from cellferry.references.archive import Manifest
from measuring import ROOT, machine, on_one_core

PAGE = ROOT / "benchmarks" / "label.md"
TEXT = """# Labels by a packed reference

A reference of {reference} cells, {genes} genes and {labels} labels, packed in {megabytes:.1f} MB; cells
drawn with replacement from a query of {values:.0f} values per cell. Each row is one run, from the files to
labels and report, without torch and without fitting. Made with `python benchmarks/label.py`. {machine}

| cells | whole run, s | largest job, MB | longest job, s |
|---|---|---|---|
{rows}
"""


def label(cells: int, query: ad.AnnData, archive: Path, folder: Path) -> str:
    """Label some cells, and return a row of the table."""
    folder.mkdir()
    drawn = query[np.random.default_rng(0).integers(0, query.n_obs, cells)].copy()
    drawn.obs_names = [f"cell_{number}" for number in range(cells)]
    drawn.write_h5ad(folder / "query.h5ad", compression="gzip")
    config = {"pretrained": str(archive), "surgery": {"fit": False}}
    config["datasets"] = {"query": {"role": "query", "path": "query.h5ad"}}
    write_if_changed(folder / "config.yaml", config)
    start = time.monotonic()
    snakemake(folder, [], folder / "config.yaml", 1)
    seconds = time.monotonic() - start
    jobs = {
        path.parent.name: pd.read_csv(path, sep="\t") for path in folder.glob("results/benchmarks/*/*.tsv")
    }
    jobs |= {
        path.parent.parent.name: pd.read_csv(path, sep="\t")
        for path in folder.glob("results/benchmarks/*/*/*.tsv")
    }
    largest = max(jobs, key=lambda rule: jobs[rule]["max_rss"].max())
    longest = max(jobs, key=lambda rule: jobs[rule]["s"].max())
    return (
        f"| {cells:,} | {seconds:.0f} | {jobs[largest]['max_rss'].max():.0f}, `{largest}` "
        f"| {jobs[longest]['s'].max():.0f}, `{longest}` |"
    )


def packed(results: Path, archive: Path) -> Manifest:
    """Pack the reference of a run."""
    archive.unlink(missing_ok=True)
    return pack(results, archive, name="measured", version="1", license="none")


def main() -> None:
    """Pack, label and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="of a finished run")
    parser.add_argument("--query", type=Path, required=True, help="h5ad with counts in X")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs; must not exist")
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args()
    on_one_core()
    work = options.work.resolve()
    work.mkdir(parents=True)
    archive = work / "measured-1.cellferry.zip"
    manifest, query = packed(options.results, archive), ad.read_h5ad(options.query)
    rows = [label(cells, query, archive, work / str(cells)) for cells in options.cells]
    text = TEXT.format(
        reference=f"{sum(label['cells'] for label in manifest.labels.values()):,}",
        genes=f"{manifest.n_genes:,}",
        labels=len(manifest.labels),
        megabytes=archive.stat().st_size / 1e6,
        values=query.X.nnz / query.n_obs,
        machine=machine(),
        rows="\n".join(rows),
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
