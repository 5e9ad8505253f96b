"""Train the classifiers on the latents and the expression of the reference's training cells."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from cellferry.boosted_trees import XGBoostHead, depth_for
from cellferry.budget import Budget
from cellferry.errors import InputError
from cellferry.expression import ExpressionHead
from cellferry.files import complete
from cellferry.h5ad import H5adReader
from cellferry.heads import HEADS, Heads
from cellferry.latents import codes_among, latent_columns, read_codes, read_latents
from cellferry.linear_model import LinearHead
from cellferry.logs import logged
from cellferry.needs import (
    MAX_EXPRESSION_CELLS,
    MAX_VALIDATION_CELLS,
    NEEDS,
    training_cap,
    training_mb,
)
from cellferry.neighbors import NeighborsHead
from cellferry.outside import LabelDistances
from cellferry.scanvi_classifier import ScanviHead
from cellferry.sketch import random_sketch, sketch_values, stratified_sketch
from threadpoolctl import threadpool_limits


def train_classifier(
    train: list[str],
    validation: list[str],
    common: str | None,
    model: str,
    reference_labels: str,
    classifier: str,
    *,
    heads: list[str],
    max_training_cells: int,
    neighbors: int,
    n_trees: int,
    max_depth: int,
    learning_rate: float,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Train the heads on a sketch of the training cells and write them to the folder `classifier`.

    Parameters
    ----------
    train, validation
        Mapped chunks of the reference's training and validation cells.
    common
        Counts of the training cells, in the order of `train`; None where there are none, and so no head that
        learns from them.
    model
        Folder of the reference model; a scANVI model has a classifier of its own.
    reference_labels
        Labels and levels, as `split_reference` wrote them.
    classifier
        Folder to write.
    heads
        Names of the heads to train.
    max_training_cells, neighbors, n_trees, max_depth, learning_rate
        As in the configuration's section `prediction`.
    seed, threads, budget
        Seed of what is random, cores and memory of the job.

    Raises
    ------
    InputError
        If the training cells have fewer than two labels, the memory is too small for a useful sketch, or none
        of the heads can be trained.
    RuntimeError
        If `common` and the mapped cells are not of one number.
    """
    codes, labels = read_codes(train, "label")
    if len(labels) < 2:
        raise InputError(
            f"the reference's training cells have {len(labels)} label(s) ({', '.join(labels) or 'none'}); "
            "at least two are needed: check datasets.<reference>.label"
        )
    cap = training_cap(n_labels=len(labels), max_training_cells=max_training_cells)
    reason = f"XGBoost's memory grows with cells × {len(labels)} labels"
    reason = "prediction.max_training_cells" if cap == max_training_cells else reason
    print(f"at most {cap} training cells: {reason}")
    batches = read_codes(train, "batch")[0]
    rows = stratified_sketch(codes, cap, seed=seed, within=batches)
    drawn = stratified_sketch(codes[rows], MAX_EXPRESSION_CELLS, seed=seed, within=batches[rows])
    on_expression = rows[drawn]
    print(f"training on {len(rows)} of the reference's {len(codes)} training cells, {len(labels)} labels")
    if common is None:
        heads = [head for head in heads if head != "expression"]
        print("there are no counts of the reference's cells: no classifier learns from expression")
    with H5adReader(common) if common else nullcontext() as cells:
        if cells and len(codes) != cells.n_cells:
            raise RuntimeError(
                f"{common}: has {cells.n_cells} cells, but {len(codes)} were mapped; delete the folder "
                f"{Path(train[0]).parent} and run snakemake again"
            )
        n_latent = len(latent_columns(train))
        budget.require(
            NEEDS["train_classifier"],
            cells=len(codes),
            values=sketch_values(cells, len(on_expression)) if "expression" in heads else 0,
            more_mb=training_mb(len(rows), n_labels=len(labels), n_latent=n_latent, neighbors=neighbors),
            remedy="lower prediction.max_training_cells",
        )
        labels, codes = _only_drawn(labels, codes, rows)
        trained: Heads = {}
        if "expression" in heads:
            trained["expression"] = ExpressionHead.train(
                cells.rows(on_expression), codes[on_expression], n_labels=len(labels)
            )
    latents, codes = read_latents(train, rows), codes[rows]
    held_back = read_validation(validation, labels, seed=seed)
    if "xgboost" in heads:
        trained["xgboost"] = XGBoostHead.train(
            latents,
            codes,
            held_back,
            n_labels=len(labels),
            n_trees=n_trees,
            max_depth=max_depth,
            learning_rate=learning_rate,
            threads=threads,
            seed=seed,
        )
    if "linear" in heads:
        trained["linear"] = LinearHead.train(latents, codes)
    if "scanvi" in heads and (Path(model) / ScanviHead.file_name).exists():
        trained["scanvi"] = ScanviHead.load(Path(model)).among(labels)
    nearest = NeighborsHead.train(latents, codes, held_back[0], n_neighbors=neighbors, n_labels=len(labels))
    distances = LabelDistances.train(latents, codes, n_labels=len(labels))
    if "neighbors" in heads:
        trained["neighbors"] = nearest
    if not trained:
        raise InputError(
            f"prediction.heads: none of {heads} can be trained here; scanvi takes a model of type scanvi"
        )
    known = json.loads(Path(reference_labels).read_text(encoding="utf-8"))
    description = {
        "labels": labels,
        "heads": [name for name in HEADS if name in trained],
        "levels": known["levels"],
        "ontology": ontology_ids(known),
        "training_cells": {label: int(n) for label, n in zip(labels, np.bincount(codes), strict=True)},
        "validation_cells": len(held_back[1]),
        "settings": {
            "max_training_cells": max_training_cells,
            "neighbors": neighbors,
            "n_trees": n_trees,
            "trees_kept": trained["xgboost"].booster.num_boosted_rounds() if "xgboost" in trained else 0,
            "max_depth": max_depth,
            "depth": depth_for(codes, max_depth),
            "learning_rate": learning_rate,
            "seed": seed,
        },
    }
    with complete(classifier) as folder:
        folder.mkdir()
        # Neighbours are kept whether they vote or not: the distance to the reference is by them.
        for part in {**trained, "neighbors": nearest, "distances": distances}.values():
            part.save(folder)
        text = json.dumps(description, indent=2, ensure_ascii=False)
        (Path(folder) / "labels.json").write_text(text, encoding="utf-8")


def read_validation(paths: list[str], labels: list[str], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents (cells × L) and codes of validation cells whose label is one of `labels`, drawn at random."""
    codes = codes_among(labels, *read_codes(paths, "label"))
    rows = random_sketch(codes >= 0, MAX_VALIDATION_CELLS, seed=seed)
    missing = sorted(set(labels) - {labels[code] for code in np.unique(codes[rows])})
    if missing:
        print(f"no validation cell has the label(s): {', '.join(missing)}")
    return read_latents(paths, rows), codes[rows]


def ontology_ids(known: dict) -> dict[str, str]:
    """Ontology ids by label, coarser ones included, of those that have one."""
    ids = {label: found["ontology"] for label, found in known["labels"].items()} | known.get("ontology", {})
    return {label: found for label, found in ids.items() if found}


def _only_drawn(labels: list[str], codes: np.ndarray, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Labels of which a cell was drawn, and codes that count these only: XGBoost wants none without cells."""
    drawn = np.unique(codes[rows])
    if len(drawn) < len(labels):
        left_out = sorted(set(labels) - {labels[code] for code in drawn})
        print(f"warning: no training cell could be drawn for the label(s): {', '.join(left_out)}")
    # One entry more than there are labels: code -1 (no label) indexes the last.
    place = np.full(len(labels) + 1, -1, dtype=np.int32)
    place[drawn] = np.arange(len(drawn))
    return [labels[code] for code in drawn], place[codes]


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        train_classifier(
            snakemake.input.train,
            snakemake.input.validation,
            snakemake.input.common or None,
            snakemake.input.model,
            snakemake.input.labels,
            snakemake.output.classifier,
            heads=snakemake.params.heads,
            max_training_cells=snakemake.params.max_training_cells,
            neighbors=snakemake.params.neighbors,
            n_trees=snakemake.params.n_trees,
            max_depth=snakemake.params.max_depth,
            learning_rate=snakemake.params.learning_rate,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
