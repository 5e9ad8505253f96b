"""Predict the labels of a chunk of mapped cells: the mean of the classifiers' probabilities."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.budget import Budget
from cellferry.cells import UNKNOWN
from cellferry.files import complete
from cellferry.heads import load_heads, mean_probabilities, predict
from cellferry.latents import ROWS_PER_GROUP, blocks, latent_columns, matrix
from cellferry.logs import logged
from cellferry.needs import MB, NEEDS
from threadpoolctl import threadpool_limits


def predict_labels(
    mapped: str,
    classifier: str,
    predictions: str,
    *,
    min_probability: float,
    max_distance: float | None,
    budget: Budget,
    threads: int,
) -> None:
    """Write one row per cell of `mapped`, in its order, to the parquet file `predictions`.

    A cell gets the label `unknown` where its best label has a probability below `min_probability`, or
    where it is farther from the reference than `max_distance` (1: as the farthest 1 % of held-back cells).
    """
    heads = load_heads(classifier, threads=threads)
    labels = json.loads((Path(classifier) / "labels.json").read_text(encoding="utf-8"))["labels"]
    columns = latent_columns([mapped])
    # Per cell: probabilities of three heads and their mean, the linear model's in float64 while it
    # works; neighbours with indices, distances and weights; latents in three versions.
    cell = 48 * len(labels) + 32 * heads["neighbors"].n_neighbors + 24 * len(columns)
    held_mb = 3 * heads["neighbors"].latents.nbytes // MB
    max_bytes = budget.block_bytes(NEEDS["predict_labels"], more_mb=held_mb)
    rows = int(np.clip(max_bytes // cell, 256, ROWS_PER_GROUP))

    has_truth = any(block.column(0).null_count < len(block) for block in blocks([mapped], ["label"]))
    n_cells = n_unknown = 0
    with (
        complete(predictions) as path,
        pq.ParquetWriter(path, prediction_schema(list(heads), with_truth=has_truth)) as writer,
    ):
        for block in blocks([mapped], ["cell", "label", *columns], rows=rows):
            by_head, distance = predict(heads, matrix(block, columns))
            answers = answer(
                by_head, distance, labels, min_probability=min_probability, max_distance=max_distance
            )
            if has_truth:
                answers["truth"] = block.column("label").cast(pa.string())
            table = pa.table(
                {"cell": block.column("cell").cast(pa.string()), **answers}, schema=writer.schema
            )
            writer.write_table(table)
            n_cells += len(block)
            n_unknown += int((answers["label"] == UNKNOWN).sum())
    limits = f"probability below {min_probability}"
    limits += "" if max_distance is None else f" or distance above {max_distance}"
    print(f"{n_cells} cells, {n_unknown} of them unknown ({limits})")


def prediction_schema(heads: list[str], *, with_truth: bool) -> pa.Schema:
    """Columns of a file of predictions."""
    fields = {"cell": pa.string(), "label": pa.string(), "best_label": pa.string()}
    fields |= {"probability": pa.float32(), "runner_up": pa.string(), "runner_up_probability": pa.float32()}
    fields["distance"] = pa.float32()
    for head in heads:
        fields |= {f"{head}_label": pa.string(), f"{head}_probability": pa.float32()}
    if with_truth:
        fields["truth"] = pa.string()
    return pa.schema(fields)


def answer(
    by_head: dict[str, np.ndarray],
    distance: np.ndarray,
    labels: list[str],
    *,
    min_probability: float,
    max_distance: float | None,
) -> dict[str, np.ndarray]:
    """Columns of the answer.

    Parameters
    ----------
    by_head
        Probabilities by head, each cells × labels; at least two labels.
    distance
        Distance of each cell from the reference.
    labels
        What the columns of the probabilities stand for.
    min_probability
        Least mean probability of a label that is given out.
    max_distance
        Greatest distance of a cell that is given one; None for any.
    """
    names = np.array(labels, dtype=object)
    mean = mean_probabilities(by_head)
    cells = np.arange(len(mean))
    best = mean.argmax(axis=1)
    probability = mean[cells, best]
    mean[cells, best] = -1
    runner_up = mean.argmax(axis=1)
    best_label = names[best]
    rejected = probability < min_probability
    if max_distance is not None:
        rejected |= distance > max_distance
    columns = {
        "label": np.where(rejected, UNKNOWN, best_label),
        "best_label": best_label,
        "probability": probability,
        "runner_up": names[runner_up],
        "runner_up_probability": mean[cells, runner_up],
        "distance": distance,
    }
    for head, probabilities in by_head.items():
        head_best = probabilities.argmax(axis=1)
        columns |= {
            f"{head}_label": names[head_best],
            f"{head}_probability": probabilities[cells, head_best],
        }
    return columns


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        predict_labels(
            snakemake.input.mapped,
            snakemake.input.classifier,
            snakemake.output.predictions,
            min_probability=snakemake.params.min_probability,
            max_distance=snakemake.params.max_distance,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
