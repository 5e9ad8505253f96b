"""Predict the labels of a chunk of mapped cells; a cell without a label gets a reason."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.expression_sums import REFERENCE_SUMS, ExpressionSums
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.latents import blocks, mapping_columns, matrix
from cellferry.calibration.decision import calibrated_probabilities, decide, on_latents
from cellferry.calibration.novelty import ood_pvalues
from cellferry.calibration.quality import quality_limits
from cellferry.config.settings import LimitSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.heads.classifier import Classifier
from cellferry.heads.reference_datasets import NearestReferences
from cellferry.labels.vocabulary import MAPPINGS
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS, sums_mb
from cellferry.runs.hashes import MADE_FROM, of_files, of_settings
from threadpoolctl import threadpool_limits


def predict_labels(
    mapped: str,
    common: str,
    classifier: str,
    decision: str,
    predictions: str,
    sums: str | None = None,
    *,
    chunk: int,
    chunks: int,
    limits: LimitSettings,
    budget: Budget,
    threads: int,
) -> None:
    """Write one row per cell of `mapped`, in its order, to the parquet file `predictions`.

    Parameters
    ----------
    mapped
        The chunk's latents.
    common
        Counts of the whole part that contains the chunk.
    classifier, decision
        What train_classifier and calibrate_classifier wrote.
    predictions
        File to write; docs/outputs.md lists its columns.
    sums
        File to write with sums of expression by best label, without cells of low quality; it has no
        labels if the classifiers have no such sums of the reference.
    chunk, chunks
        Number of the chunk, and of chunks of equal size in `common`.
    limits
        Limits of quality; cells below them get no label.
    budget, threads
        Memory and cores of the job.
    """
    heads = Classifier(classifier, threads=threads)
    learned = read_artifact(DecisionModel, decision)
    quality = quality_limits(limits, learned)
    mappings = mapping_columns([mapped])
    two_mappings = heads.looks_at_latents and len(mappings) > 1
    has_truth = any(block.column(0).null_count < len(block) for block in blocks([mapped], ["label"]))
    reasons: Counter[str | None] = Counter()
    summed = heads.labels if sums and (Path(classifier) / REFERENCE_SUMS).exists() else []
    with H5adReader(common) as cells, complete(predictions) as path:
        expression = ExpressionSums(summed, cells.n_genes)
        more_mb = heads.held_mb + sums_mb(n_labels=len(summed), n_genes=cells.n_genes)
        rows = heads.rows_in(budget.block_bytes(MEMORY_MODELS["predict_labels"], more_mb=more_mb), cells)
        schema = prediction_schema(heads, two_mappings=two_mappings, with_truth=has_truth)
        hashes = {"decision": of_files(decision), "settings": of_settings(asdict(limits))}
        made_from = learned.made_from | hashes
        schema = schema.with_metadata({MADE_FROM: json.dumps(made_from)})
        first = chunk * cells.n_cells // chunks
        with pq.ParquetWriter(path, schema) as writer:
            for block, outputs in heads.iter_predictions(
                [mapped], cells, ["cell", "label"], first=first, rows=rows, keep_expression=bool(summed)
            ):
                too_few = outputs.too_few(quality)
                probabilities = calibrated_probabilities(learned, outputs.by_head)
                ood_pvalue = ood_pvalues(learned.novelty, probabilities, outputs)
                columns = decide(
                    probabilities,
                    ood_pvalue,
                    too_few,
                    heads.hierarchy,
                    learned,
                    min_p=limits.min_p,
                    rare=outputs.rare,
                )
                columns |= {"ood_pvalue": ood_pvalue, "distance": outputs.distance}
                answers = dict(outputs.by_head)
                if two_mappings:
                    answers |= zip(MAPPINGS, on_latents(learned, outputs.by_mapping), strict=True)
                columns |= head_columns(answers, heads.labels)
                if heads.reference_datasets:
                    latents = [matrix(block, names) for names in mappings]
                    columns |= nearest_columns(heads.reference_datasets.nearest(latents))
                columns["ontology"] = [heads.ontology.get(label) for label in columns["label"]]
                columns |= {"cell": block.column("cell"), "truth": block.column("label")}
                arrays = [
                    # NaN becomes null.
                    pa.array(columns[name], from_pandas=True).cast(schema.field(name).type)
                    for name in schema.names
                ]
                writer.write_table(pa.table(arrays, schema=schema))
                reasons.update(columns["reason"].tolist())
                if summed:
                    expression.add(outputs.expression, codes_without(columns["best_label"], too_few, summed))
    if sums:
        expression.save(sums)
    labeled = reasons.pop(None, 0)
    print(f"{labeled + reasons.total()} cells, {labeled} of them with a label; others: {dict(reasons)}")


def prediction_schema(classifier: Classifier, *, two_mappings: bool, with_truth: bool) -> pa.Schema:
    """Columns of a file of predictions."""
    text, number = pa.string(), pa.float32()
    fields = {"cell": text, "label": text, "level": text, "reason": text}
    fields |= {"best_label": text, "probability": number, "runner_up": text, "runner_up_probability": number}
    fields |= {"prediction_set": text, "ood_pvalue": number, "distance": number}
    if classifier.reference_datasets:
        fields |= {"nearest_reference": text, "nearest_reference_distance": number}
        fields["next_reference_distance"] = number
    if classifier.ontology:
        fields["ontology"] = text
    if classifier.rare_labels:
        fields["rare_label"] = text
    for level in classifier.hierarchy.levels:
        fields |= {f"level_{level}": text, f"level_{level}_probability": number}
    for head in (*classifier.head_names, *(MAPPINGS if two_mappings else ())):
        fields |= {f"{head}_label": text, f"{head}_probability": number}
    if with_truth:
        fields["truth"] = text
    return pa.schema(fields)


def codes_without(names: np.ndarray, left_out: np.ndarray, labels: list[str]) -> np.ndarray:
    """Codes of the cells' labels (`names`), -1 for cells that are left out (mask)."""
    place = {label: code for code, label in enumerate(labels)}
    codes = np.fromiter(map(place.__getitem__, names), dtype=np.int64, count=len(names))
    codes[left_out] = -1
    return codes


def head_columns(by_head: dict[str, np.ndarray], labels: list[str]) -> dict[str, np.ndarray]:
    """Each head's label and its probability."""
    names = np.array(labels, dtype=object)
    columns = {}
    for head, probabilities in by_head.items():
        best = probabilities.argmax(axis=1)
        columns[f"{head}_label"] = names[best]
        columns[f"{head}_probability"] = probabilities[np.arange(len(best)), best]
    return columns


def nearest_columns(nearest: NearestReferences) -> dict[str, np.ndarray]:
    """The nearest reference dataset of each cell."""
    return {
        "nearest_reference": nearest.names,
        "nearest_reference_distance": nearest.distance,
        "next_reference_distance": nearest.next_distance,
    }


if __name__ == "__main__":
    with job(snakemake), threadpool_limits(snakemake.threads):
        predict_labels(
            snakemake.input.mapped,
            snakemake.input.common,
            snakemake.input.classifier,
            snakemake.input.decision,
            snakemake.output.predictions,
            snakemake.output.sums,
            chunk=int(snakemake.wildcards.chunk),
            chunks=snakemake.params.chunks,
            limits=LimitSettings(**snakemake.params.prediction),
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
