"""Several ways to merge, subset and use the same files; called by `scale.py`.

    python benchmarks/side_by_side.py WAY FOLDER    # one way, in the work folder of a finished run

Each way is a separate process. Imports are in the functions, so that no way holds an unneeded library, and
run before the clock starts.
"""

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from measuring import available_mb, measured_inside, run_measured

MEM_MB = 2000
"""The `mem_mb` of the rules, for the ways of cellferry."""
SHARE_OF_MEMORY = 0.85
MANY_CHUNKS = 100


@dataclass(frozen=True)
class Way:
    """One way: its name in the tables, its work (None: `cat`), the files it reads, its libraries."""

    name: str
    work: Callable[[Path], None] | None
    sources: tuple[str, ...] = ("results/chunks/query/0/*.h5ad",)
    of: str = "query"
    libraries: tuple[str, ...] = ("anndata", "merge_h5ad")


def numbered(folder: Path) -> list[Path]:
    """Chunk files of a folder in the order of their numbers."""
    return sorted(folder.glob("*.h5ad"), key=lambda path: int(path.stem))


def chunk_files(folder: Path) -> list[Path]:
    """Chunks of the query, made by the workflow."""
    return numbered(folder / "results" / "chunks" / "query" / "0")


def convert(folder: Path) -> None:
    """The user's file again, in a hundred chunks."""
    from cellferry.config.schema import fill_defaults
    from cellferry.labels.names import LabelNames
    from cellferry.resources.budget import Budget
    from convert_to_chunks import convert_to_chunks
    from inspect_dataset import inspect_dataset

    config = yaml.safe_load((folder / "config.yaml").read_text())
    fill_defaults(config)
    changes = {"chunks": MANY_CHUNKS, "jobs": 1, "path": str(folder / "query.h5ad")}
    dataset = config["datasets"]["query"] | changes
    inspected = str(folder / "side" / "query.json")
    inspect_dataset(inspected, name="query", config=dataset, label_names=LabelNames({}, []))
    convert_to_chunks(
        inspected,
        str(folder / "side" / "chunks"),
        name="query",
        config=dataset,
        label_names=LabelNames({}, []),
        job=0,
        budget=Budget(MEM_MB),
        scratch=None,
    )


def view(paths: list[Path], merged: Path) -> None:
    """The view over chunks, without the workflow's comparison."""
    from cellferry.artifacts.h5ad_reader import H5adReader
    from cellferry.artifacts.h5ad_writer import H5adWriter

    with H5adReader(paths[0]) as first, H5adWriter(merged, first.var) as writer:
        for path in paths:
            with H5adReader(path) as chunk:
                writer.append_file(chunk, copy=False)


def merge(folder: Path, *, materialize: bool) -> None:
    """The rule `merge_h5ad`: the merged file, compared with the chunks; a copy is read again."""
    from cellferry.resources.budget import Budget
    from merge_h5ad import merge_h5ad

    merge_h5ad(
        [str(folder / "results" / "chunks" / "query" / "0")],
        str(folder / "side" / "out.h5ad"),
        materialize=materialize,
        budget=Budget(MEM_MB),
    )


def concat_on_disk(folder: Path) -> None:
    """Merge on disk by anndata, without reading whole files."""
    from anndata.experimental import concat_on_disk

    concat_on_disk(chunk_files(folder), folder / "side" / "out.h5ad")


def concat_in_memory(folder: Path) -> None:
    """Read all, concatenate and write, as in a notebook."""
    import anndata as ad

    ad.concat([ad.read_h5ad(path) for path in chunk_files(folder)]).write_h5ad(folder / "side" / "out.h5ad")


def chosen_genes(folder: Path) -> list[str]:
    """Genes chosen by the workflow."""
    import pandas as pd

    return pd.read_csv(folder / "results" / "genes.tsv", sep="\t", dtype={"gene": str})["gene"].to_list()


def subset(folder: Path) -> None:
    """The rule `subset_common_genes`."""
    from cellferry.features.subset import GeneFiles
    from cellferry.resources.budget import Budget
    from subset_common_genes import subset_common_genes

    results = folder / "results"
    subset_common_genes(
        str(results / "merged" / "query.h5ad"),
        GeneFiles(str(results / "genes.tsv"), str(results / "genes.json")),
        str(folder / "side" / "out.h5ad"),
        name="query",
        gene_id="auto",
        min_common=0.0,
        inspected=None,
        labeled_only=False,
        max_cells=None,
        seed=0,
        budget=Budget(MEM_MB),
    )


def subset_in_memory(folder: Path) -> None:
    """The same with anndata: read all, select, write."""
    import anndata as ad

    merged = ad.read_h5ad(folder / "results" / "merged" / "query.h5ad")
    merged[:, chosen_genes(folder)].copy().write_h5ad(folder / "side" / "out.h5ad")


def notebook(folder: Path) -> None:
    """Both files in memory, concatenated, subset, and scVI trained one epoch on all of it."""
    import anndata as ad
    import scvi

    cells = ad.concat(
        {name: ad.read_h5ad(folder / f"{name}.h5ad") for name in ("reference", "query")}, label="dataset"
    )
    cells.obs_names_make_unique()
    cells = cells[:, chosen_genes(folder)].copy()
    settings = yaml.safe_load((folder / "config.yaml").read_text())["model"]
    scvi.model.SCVI.setup_anndata(cells, batch_key="sample")
    model = scvi.model.SCVI(cells, n_latent=30, n_layers=2)
    model.train(max_epochs=1, batch_size=settings["batch_size"], accelerator="cpu", enable_progress_bar=False)
    cells.obsm["X_scvi"] = model.get_latent_representation()


INPUTS = ("query.h5ad", "reference.h5ad")
MANY = ("side/chunks/*.h5ad",)
WAYS = {
    "cat_away": Way("cat chunks/*.h5ad > /dev/null", None),
    "cat": Way("cat chunks/*.h5ad > copy", None),
    "view": Way("cellferry: the view alone", lambda f: view(chunk_files(f), f / "side" / "out.h5ad")),
    "merge": Way("cellferry: merge_h5ad, a view", lambda f: merge(f, materialize=False)),
    "merge_all": Way("cellferry: merge_h5ad, materialized", lambda f: merge(f, materialize=True)),
    "concat_on_disk": Way("anndata: concat_on_disk", concat_on_disk, libraries=("anndata.experimental",)),
    "concat": Way("anndata: read all chunks, concat, write", concat_in_memory),
    "subset": Way(
        "cellferry: subset_common_genes, from the view", subset, libraries=("subset_common_genes",)
    ),
    "subset_all": Way("anndata: read merged, select genes, write", subset_in_memory),
    "convert_100": Way(
        "cellferry: convert_to_chunks, 100 chunks", convert, ("query.h5ad",), libraries=("convert_to_chunks",)
    ),
    "view_100": Way(
        "cellferry: the view alone, 100 chunks",
        lambda f: view(numbered(f / "side" / "chunks"), f / "side" / "out.h5ad"),
        MANY,
    ),
    "notebook": Way(
        "notebook: read both, concat, select genes, scVI one epoch", notebook, INPUTS, "both", ("scvi",)
    ),
}


def compare(folder: Path, cells: int) -> list[dict]:
    """Rows of all ways in the work folder of a finished run."""
    rows = []
    limit_mb = int(SHARE_OF_MEMORY * available_mb())
    shutil.rmtree(folder / "side", ignore_errors=True)
    for key, way in WAYS.items():
        (folder / "side").mkdir(exist_ok=True)
        paths = [path for pattern in way.sources for path in folder.glob(pattern)]
        make_warm(paths)
        if way.work:
            found = run_measured([sys.executable, Path(__file__), key, folder], limit_mb=limit_mb)
        else:
            copy = folder / "side" / "copy" if key == "cat" else Path("/dev/null")
            found = run_measured(["cat", *paths], limit_mb=limit_mb, output=copy)
            size = sum(path.stat().st_size for path in paths) / 1e6
            found |= {"read_mb": size, "written_mb": size if key == "cat" else 0}
        worked_on = cells if way.of == "query" else cells + cells // 5
        rows.append({"section": "files", "name": way.name, "of": way.of, "cells": worked_on, **found})
        print(f"{way.name}: {found}", flush=True)
        for path in (folder / "side").iterdir():
            if path.is_file():
                path.unlink()
    shutil.rmtree(folder / "side")
    return rows


def make_warm(paths: list[Path]) -> None:
    """Read files into the page cache, and flush earlier writes."""
    os.sync()
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 22):
                pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
    for library in WAYS[options.way].libraries:
        importlib.import_module(library)
    measured_inside(lambda: WAYS[options.way].work(options.folder))
