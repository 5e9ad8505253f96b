"""Train the classifiers on the latents and the expression of the reference's training cells."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.latents import codes_among, count_cells, latent_columns, read_codes, read_latents
from cellferry.core.atomic import complete
from cellferry.core.logs import logged
from cellferry.core.progress import timed
from cellferry.errors import InputError
from cellferry.features.marker_values import holds_intensities, marker_values
from cellferry.heads.boosted_trees import ExpressionXGBoostHead, XGBoostHead, depth_for
from cellferry.heads.cytovi import CytoviHead
from cellferry.heads.expression import ExpressionHead
from cellferry.heads.label_distances import LabelDistances
from cellferry.heads.linear import LinearHead
from cellferry.heads.neighbors import NeighborsHead
from cellferry.heads.registry import HEADS, ON_EXPRESSION, Heads
from cellferry.heads.scanvi import ScanviHead
from cellferry.resources.budget import Budget
from cellferry.resources.memory import (
    MAX_EXPRESSION_CELLS,
    MAX_VALIDATION_CELLS,
    NEEDS,
    training_cap,
    training_mb,
)
from cellferry.sampling.sketch import random_sketch, sketch_values, stratified_sketch
from scipy import sparse
from threadpoolctl import threadpool_limits


def train_classifier(
    train: list[str],
    validation: list[str],
    common: str | None,
    model: str,
    reference_labels: str,
    classifier: str,
    *,
    validation_common: str | None,
    modality: str,
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
        Expression of the training cells, in the order of `train`: counts, or marker values; None where there
        is none, and so no head that learns from it.
    model
        Folder of the reference model; a scANVI model has a classifier of its own.
    reference_labels
        Labels and levels, as `split_reference` wrote them.
    classifier
        Folder to write.
    validation_common
        Marker values of the validation cells, in the order of `validation`; None where `common` holds none.
    modality
        `rna` or `cytometry`.
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
        If the cells of a part and those of it that were mapped are not of one number.
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
    print(f"training on {len(rows)} of the reference's {len(codes)} training cells, {len(labels)} labels")
    if common is None:
        print("there are no counts of the reference's cells: no classifier learns from expression")
    with H5adReader(common) if common else nullcontext() as cells:
        if cells:
            _check_number(cells, len(codes), train)
        heads = trainable(heads, model, cells, modality=modality)
        intensities = cells is not None and holds_intensities(cells)
        on_markers = intensities and not set(ON_EXPRESSION).isdisjoint(heads)
        budget.require(
            NEEDS["train_classifier"],
            cells=len(codes),
            values=sketch_values(cells, len(drawn)) if "expression" in heads else 0,
            more_mb=training_mb(
                len(rows),
                n_labels=len(labels),
                n_latent=len(latent_columns(train)),
                neighbors=neighbors,
                n_markers=cells.n_genes if on_markers else 0,
            ),
            remedy="lower prediction.max_training_cells",
        )
        labels, codes = _only_drawn(labels, codes, rows)
        learned, held_back = Drawn(rows, codes[rows]), draw_validation(validation, labels, seed=seed)
        trees = {
            "n_labels": len(labels),
            "n_trees": n_trees,
            "max_depth": max_depth,
            "learning_rate": learning_rate,
            "threads": threads,
            "seed": seed,
        }
        trained: Heads = {}
        if on_markers:
            with H5adReader(validation_common) as others:
                _check_number(others, count_cells(validation), validation)
                trained = train_on_markers(heads, cells, learned, drawn, others, held_back, trees)
        elif "expression" in heads:
            with timed(f"linear model on the expression of {len(drawn):,} cells"):
                trained["expression"] = ExpressionHead.train(
                    cells.rows(rows[drawn]), learned.codes[drawn], n_labels=len(labels), normalise=True
                )
    latents, codes = read_latents(train, rows), learned.codes
    held_back_latents = read_latents(validation, held_back.rows)
    if "xgboost" in heads:
        trained["xgboost"] = XGBoostHead.train(latents, codes, (held_back_latents, held_back.codes), **trees)
    if "linear" in heads:
        with timed(f"linear model on the latents of {len(codes):,} cells"):
            trained["linear"] = LinearHead.train(latents, codes)
    if "scanvi" in heads:
        trained["scanvi"] = ScanviHead.load(Path(model)).among(labels)
    with timed(f"nearest neighbours of {len(codes):,} cells"):
        nearest = NeighborsHead.train(
            latents, codes, held_back_latents, n_neighbors=neighbors, n_labels=len(labels)
        )
        distances = LabelDistances.train(latents, codes, n_labels=len(labels))
    if "neighbors" in heads:
        trained["neighbors"] = nearest
    if "cytovi" in heads:
        trained["cytovi"] = CytoviHead(nearest)
    known = json.loads(Path(reference_labels).read_text(encoding="utf-8"))
    description = {
        "labels": labels,
        "heads": [name for name in HEADS if name in trained],
        "levels": known["levels"],
        "ontology": ontology_ids(known),
        "training_cells": {label: int(n) for label, n in zip(labels, np.bincount(codes), strict=True)},
        "validation_cells": len(held_back.codes),
        "settings": {
            "max_training_cells": max_training_cells,
            "neighbors": neighbors,
            "n_trees": n_trees,
            "trees_kept": _rounds(trained, "xgboost"),
            "expression_trees_kept": _rounds(trained, "expression_xgboost"),
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


class Drawn(NamedTuple):
    """Cells that were drawn: their rows in the part, ascending, and codes of their labels."""

    rows: np.ndarray
    codes: np.ndarray


def trainable(heads: list[str], model: str, cells: H5adReader | None, *, modality: str) -> list[str]:
    """Those of the heads that can be trained on these cells.

    Raises
    ------
    InputError
        If none can.
    """
    can = {
        "scanvi": (Path(model) / ScanviHead.file_name).exists(),
        "cytovi": modality == "cytometry",
        "expression": cells is not None,
        "expression_xgboost": cells is not None and holds_intensities(cells),
    }
    found = [head for head in heads if can.get(head, True)]
    if not found:
        raise InputError(
            f"prediction.heads: none of {heads} can be trained here; scanvi takes a model of type scanvi, "
            "cytovi and expression_xgboost take cytometry, and expression takes counts of the reference"
        )
    return found


def train_on_markers(
    heads: list[str],
    cells: H5adReader,
    learned: Drawn,
    part: np.ndarray,
    validation: H5adReader,
    held_back: Drawn,
    trees: dict[str, Any],
) -> Heads:
    """Those of the heads that look at marker values.

    Parameters
    ----------
    heads
        Names of all heads to train.
    cells, learned
        The training cells' values, and the cells to learn from.
    part
        Which of these the linear model learns from, as positions among them.
    validation, held_back
        The same of validation cells, which may stop the trees early.
    trees
        Further arguments of `XGBoostHead.train`.
    """
    values = marker_values(cells, learned.rows)
    trained: Heads = {}
    if "expression" in heads:
        chosen = sparse.csr_matrix(values[part])
        with timed(f"linear model on the marker values of {len(part):,} cells"):
            trained["expression"] = ExpressionHead.train(
                chosen, learned.codes[part], n_labels=trees["n_labels"], normalise=False
            )
    if "expression_xgboost" in heads:
        checked = (marker_values(validation, held_back.rows), held_back.codes)
        trained["expression_xgboost"] = ExpressionXGBoostHead.train(values, learned.codes, checked, **trees)
    return trained


def draw_validation(paths: list[str], labels: list[str], *, seed: int) -> Drawn:
    """Validation cells whose label is one of `labels`, drawn at random."""
    codes = codes_among(labels, *read_codes(paths, "label"))
    rows = random_sketch(codes >= 0, MAX_VALIDATION_CELLS, seed=seed)
    missing = sorted(set(labels) - {labels[code] for code in np.unique(codes[rows])})
    if missing:
        print(f"no validation cell has the label(s): {', '.join(missing)}")
    return Drawn(rows, codes[rows])


def ontology_ids(known: dict) -> dict[str, str]:
    """Ontology ids by label, coarser ones included, of those that have one."""
    ids = {label: found["ontology"] for label, found in known["labels"].items()} | known.get("ontology", {})
    return {label: found for label, found in ids.items() if found}


def _check_number(cells: H5adReader, n_mapped: int, mapped: list[str]) -> None:
    if cells.n_cells != n_mapped:
        raise RuntimeError(
            f"{cells.path}: has {cells.n_cells} cells, but {n_mapped} were mapped; delete the folder "
            f"{Path(mapped[0]).parent} and run snakemake again"
        )


def _rounds(trained: Heads, name: str) -> int:
    return trained[name].booster.num_boosted_rounds() if name in trained else 0


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
            validation_common=snakemake.input.validation_common or None,
            modality=snakemake.params.modality,
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
