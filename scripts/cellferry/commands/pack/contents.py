"""Contents of a packed reference, made from the results of a run."""

import filecmp
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...artifacts.evaluation import Evaluation
from ...artifacts.features import Features
from ...artifacts.h5ad_reader import H5adReader
from ...artifacts.held_out import pack_held_out
from ...artifacts.json_files import read_artifact
from ...artifacts.labels import ClassifierLabels, ReferenceLabels
from ...artifacts.latents import blocks, chunk_files, latent_columns, read_codes, read_rows
from ...config.available_heads import ON_EXPRESSION
from ...core.digests import check_inputs
from ...features.common_genes import chosen_genes
from ...features.gene_ids import candidate_ids
from ...mapping.encoder import ENCODER, MODEL_FILES, Encoder
from ...model.packed import pack_model
from ...references.archive import (
    AS_THEY_ARE,
    CLASSIFIER,
    FEATURES,
    GENE_NAMES,
    GENES,
    HELD_OUT,
    HELD_OUT_ENCODER,
    LATENTS,
    MODEL,
    TEST_SCORES,
    VALIDATION,
    VALIDATION_MODEL,
    Manifest,
    write_archive,
)
from ...runs.methods import FORMAT_VERSION
from ...runs.versions import versions
from ...sampling.sketch import random_sketch

REQUIRED = (*AS_THEY_ARE.values(), MODEL, CLASSIFIER, LATENTS)
"""Results that are required for packing."""

OF_HELD_OUT = (VALIDATION, VALIDATION_MODEL, TEST_SCORES)
"""Results of references with counts only."""
MAX_HELD_OUT = 10_000
"""Packed held-out cells with counts, to estimate the loss by missing genes."""

MAX_SHOWN = 10_000
"""Packed training cells with latents for the report's maps, in addition to those of heads."""

PACKAGES = ["anndata", "numpy", "scikit-learn", "scipy", "scvi-tools", "torch", "xgboost"]


def pack(results: Path, path: Path, var: pd.DataFrame | None = None, **about: str) -> Manifest:
    """Write a reference's archive.

    Parameters
    ----------
    results
        Folder of the results of a run that trained the reference.
    path
        The archive.
    var
        Genes of a pre-trained model's training cells, named as in the model, if there is more information
        on them.
    about
        Fields of the manifest that the results do not contain.

    Raises
    ------
    InputError
        If a result is unsuitable or damaged.
    """
    read = [*(results / name for name in (*REQUIRED, *OF_HELD_OUT)), *_mapped(results)]
    check_inputs([str(path) for path in read if path.exists()], [results])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in AS_THEY_ARE.values():
            _copy(results / name, folder / name)
        for file in _files(results / CLASSIFIER):
            _copy(file, folder / CLASSIFIER / file.name)
        made_with = _pack_model(results, folder)
        _pack_latents(results, folder / LATENTS)
        missing, scores = _pack_held_out(results, folder)
        features = read_artifact(Features, results / FEATURES)
        has_genes = features.namespace != "marker"
        if has_genes and not _write_gene_names(results, folder / GENE_NAMES, var):
            missing.append("ids with symbols: queries need genes of the same kind of ids")
        labels = read_artifact(ReferenceLabels, results / "reference/labels.json")
        classifier = read_artifact(ClassifierLabels, results / CLASSIFIER / "labels.json")
        missing += _not_learned(made_with, classifier.heads)
        batches = _batches_of_labels(results)
        manifest = Manifest(
            **about,
            modality="rna" if has_genes else "cytometry",
            n_genes=features.n_selected,
            namespace=features.namespace,
            labels={
                name: {"cells": n_cells, "batches": len(batches[name])}
                for name, n_cells in labels.sizes.items()
            },
            n_batches=len(set().union(*batches.values())),
            scores=scores,
            settings={
                "model": {"class": made_with["class"], **made_with["arguments"]},
                "heads": classifier.heads,
                "classifier": classifier.settings,
            },
            made_with=versions(PACKAGES),
            missing=missing,
            result_format=FORMAT_VERSION,
        )
        files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
        return write_archive(path, manifest, files)


def _files(folder: Path) -> list[Path]:
    """Files of a folder, without Snakemake's hidden marks."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _pack_model(results: Path, folder: Path) -> dict[str, Any]:
    """Write the model without its pickle, and its encoder; return the model's settings."""
    target = folder / MODEL
    target.mkdir(parents=True, exist_ok=True)
    for file in _files(results / MODEL):
        if file.name not in (*MODEL_FILES, ENCODER):
            _copy(file, target / file.name)
    made_with = pack_model(results / MODEL, target)
    Encoder.load(results / MODEL, chosen_genes(str(results / GENES))).save(target)
    return made_with


def _pack_latents(results: Path, target: Path) -> None:
    """Write latents of some training cells, named by number."""
    paths = _mapped(results)
    codes, _ = read_codes(paths, "label")
    rows = random_sketch(codes >= 0, MAX_SHOWN, seed=0)
    table = read_rows(paths, ["batch", "label", *latent_columns(paths)], rows)
    names = pa.array([f"cell_{number}" for number in range(len(rows))])
    target.parent.mkdir(parents=True)
    pq.write_table(table.add_column(0, "cell", names), target)


def _mapped(results: Path) -> list[Path]:
    """Files of the training cells' latents, in order."""
    return chunk_files((results / LATENTS).parent)


def _batches_of_labels(results: Path) -> dict[str, set[str]]:
    """Batches of the training cells by label."""
    found: dict[str, set[str]] = defaultdict(set)
    for block in blocks(_mapped(results), ["label", "batch"]):
        pairs = pa.table(block).group_by(["label", "batch"]).aggregate([])
        for label, batch in zip(
            *(pairs.column(name).to_pylist() for name in ("label", "batch")), strict=True
        ):
            if label is not None:
                found[label].add(batch)
    return found


def _pack_held_out(results: Path, folder: Path) -> tuple[list[str], dict[str, float]]:
    """Write counts of held-out cells, and scores; return missing parts, and the scores."""
    if not all((results / name).exists() for name in OF_HELD_OUT):
        counts = "counts of held-out cells: the accuracy lost to missing genes cannot be estimated"
        return [counts, "scores of held-out cells"], {}
    with H5adReader(results / VALIDATION) as reader:
        rows = random_sketch(reader.codes("label") >= 0, MAX_HELD_OUT, seed=0)
        pack_held_out(reader, rows, folder / HELD_OUT)
        encoder = Encoder.load(results / VALIDATION_MODEL, reader.var.index)
    encoder.save(folder / MODEL, HELD_OUT_ENCODER)
    if filecmp.cmp(folder / MODEL / ENCODER, folder / MODEL / HELD_OUT_ENCODER, shallow=False):
        (folder / MODEL / HELD_OUT_ENCODER).unlink()
    _copy(results / TEST_SCORES, folder / TEST_SCORES)
    found = read_artifact(Evaluation, results / TEST_SCORES)
    return [], {
        "cells": found.truth_in_reference,
        "accuracy": found.forced.accuracy,
        "macro_f1": found.forced.macro_f1,
    }


def _not_learned(made_with: dict[str, Any], heads: list[str]) -> list[str]:
    """Features that an imported model, or one with fewer classifiers, lacks."""
    missing = []
    if not set(heads).intersection(ON_EXPRESSION):
        missing.append("classifiers on expression: labels rest on the model's latents alone")
    if made_with["class"] == "SCANVI" and "scanvi" not in heads:
        missing.append("the vote of scANVI's own classifier")
    if not made_with["arguments"].get("encode_covariates"):
        missing.append("a fit to the batches of queries: the model's encoder does not use batches")
    return missing


def _write_gene_names(results: Path, target: Path, var: pd.DataFrame | None) -> bool:
    """Write a table of Ensembl ids and symbols of the model's genes, if datasets have both."""
    features = read_artifact(Features, results / FEATURES)
    other = {"ensembl": "symbol", "symbol": "ensembl"}.get(features.namespace)
    known: dict[str, str] = {}
    for genes, column in _gene_tables(results, features, var) if other else ():
        offered = candidate_ids(genes, gene_id="auto", table=None)
        ids = offered[features.namespace].get(column)
        if ids is not None and offered[other]:
            beside = next(iter(offered[other].values()))
            known |= {gene: its for gene, its in zip(ids, beside, strict=True) if gene and its} | known
    genes = [gene for gene in chosen_genes(str(results / GENES)) if gene in known]
    if genes:
        table = pd.DataFrame({features.namespace: genes, other: [known[gene] for gene in genes]})
        table[["ensembl", "symbol"]].to_csv(target, sep="\t", index=False)
    return bool(genes)


def _gene_tables(
    results: Path, features: Features, var: pd.DataFrame | None
) -> Iterator[tuple[pd.DataFrame, str]]:
    """Genes of cells and datasets, each with the column of the model's ids."""
    if var is not None:
        yield var, "index"
    for name, chosen in features.datasets.items():
        merged = results / f"merged/{name}.h5ad"
        if merged.exists():
            with H5adReader(merged) as reader:
                yield reader.var, chosen.column
