"""Train the classifiers on the latents of the reference's training cells."""

import json
from pathlib import Path

import numpy as np
from cellferry.boosted_trees import XGBoostHead, depth_for
from cellferry.budget import Budget
from cellferry.errors import InputError
from cellferry.files import complete
from cellferry.heads import Heads, mean_probabilities, predict
from cellferry.latents import latent_columns, read_codes, read_latents
from cellferry.linear_model import LinearHead
from cellferry.logs import logged
from cellferry.needs import MAX_VALIDATION_CELLS, NEEDS, training_cap, training_mb
from cellferry.neighbors import NeighborsHead
from cellferry.sketch import combine, stratified_sketch
from threadpoolctl import threadpool_limits


def train_classifier(
    train: list[str],
    validation: list[str],
    classifier: str,
    *,
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

    Raises
    ------
    InputError
        If the training cells have fewer than two labels, or the memory is too small for a useful sketch.
    """
    codes, labels = read_codes(train, "label")
    if len(labels) < 2:
        raise InputError(
            f"the reference's training cells have {len(labels)} label(s) ({', '.join(labels) or 'none'}); "
            "at least two are needed: check datasets.<reference>.label"
        )
    n_latent = len(latent_columns(train))
    cap = training_cap(n_labels=len(labels), max_training_cells=max_training_cells)
    reason = f"XGBoost's memory grows with cells × {len(labels)} labels"
    reason = "prediction.max_training_cells" if cap == max_training_cells else reason
    print(f"at most {cap} training cells: {reason}")
    budget.require(
        NEEDS["train_classifier"],
        cells=len(codes),
        more_mb=training_mb(
            min(cap, len(codes)), n_labels=len(labels), n_latent=n_latent, neighbors=neighbors
        ),
        remedy="lower prediction.max_training_cells",
    )
    rows = stratified_sketch(combine(codes, read_codes(train, "batch")[0]), cap, seed=seed)
    print(f"training on {len(rows)} of the reference's {len(codes)} training cells, {len(labels)} labels")
    latents, codes = read_latents(train, rows), codes[rows]
    labels, codes = _only_drawn(labels, codes)
    held_back = read_validation(validation, labels, seed=seed)

    heads: Heads = {
        "xgboost": XGBoostHead.train(
            latents,
            codes,
            held_back,
            n_labels=len(labels),
            n_trees=n_trees,
            max_depth=max_depth,
            learning_rate=learning_rate,
            threads=threads,
            seed=seed,
        ),
        "linear": LinearHead.train(latents, codes),
        "neighbors": NeighborsHead.train(
            latents, codes, held_back[0], n_neighbors=neighbors, n_labels=len(labels)
        ),
    }
    accuracy = validation_accuracy(heads, *held_back)
    print(f"accuracy on {len(held_back[1])} validation cells: {accuracy}")
    description = {
        "labels": labels,
        "training_cells": {label: int(n) for label, n in zip(labels, np.bincount(codes), strict=True)},
        "validation_cells": len(held_back[1]),
        "validation_accuracy": accuracy,
        "settings": {
            "max_training_cells": max_training_cells,
            "neighbors": neighbors,
            "n_trees": n_trees,
            "trees_kept": heads["xgboost"].booster.num_boosted_rounds(),
            "max_depth": max_depth,
            "depth": depth_for(codes, max_depth),
            "learning_rate": learning_rate,
            "seed": seed,
        },
    }
    with complete(classifier) as folder:
        folder.mkdir()
        for head in heads.values():
            head.save(folder)
        text = json.dumps(description, indent=2, ensure_ascii=False)
        (Path(folder) / "labels.json").write_text(text, encoding="utf-8")


def read_validation(paths: list[str], labels: list[str], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents (cells × L) and codes of validation cells whose label is one of `labels`, drawn at random."""
    found, names = read_codes(paths, "label")
    position = {label: code for code, label in enumerate(labels)}
    # One entry more than there are names: code -1 (null) indexes the last.
    codes = np.array([position.get(name, -1) for name in names] + [-1])[found]
    rows = stratified_sketch(np.where(codes < 0, -1, 0), MAX_VALIDATION_CELLS, seed=seed)
    missing = sorted(set(labels) - {labels[code] for code in np.unique(codes[rows])})
    if missing:
        print(f"no validation cell has the label(s): {', '.join(missing)}")
    return read_latents(paths, rows), codes[rows]


def validation_accuracy(heads: Heads, latents: np.ndarray, codes: np.ndarray) -> dict[str, float | None]:
    """Share of validation cells that each head and their mean label right; None where there are none."""
    if len(codes) == 0:
        return dict.fromkeys([*heads, "mean"])
    by_head, _ = predict(heads, latents)
    by_head["mean"] = mean_probabilities(by_head)
    return {name: float((values.argmax(axis=1) == codes).mean()) for name, values in by_head.items()}


def _only_drawn(labels: list[str], codes: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Labels of which a cell was drawn, and codes that count these only: XGBoost wants none without cells."""
    drawn, codes = np.unique(codes, return_inverse=True)
    if len(drawn) < len(labels):
        left_out = sorted(set(labels) - {labels[code] for code in drawn})
        print(f"warning: no training cell could be drawn for the label(s): {', '.join(left_out)}")
    return [labels[code] for code in drawn], codes


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        train_classifier(
            snakemake.input.train,
            snakemake.input.validation,
            snakemake.output.classifier,
            max_training_cells=snakemake.params.max_training_cells,
            neighbors=snakemake.params.neighbors,
            n_trees=snakemake.params.n_trees,
            max_depth=snakemake.params.max_depth,
            learning_rate=snakemake.params.learning_rate,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
