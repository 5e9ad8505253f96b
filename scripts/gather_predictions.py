"""Write a query's predictions as parquet, csv, h5ad (latents, optional counts) and CAS JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from cellferry.artifacts.aligned import check_names, check_number
from cellferry.artifacts.cell_annotations import write_cell_annotations
from cellferry.artifacts.h5ad_layout import AXES
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import MAX_CATEGORIES, H5adWriter
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from cellferry.artifacts.latents import (
    REFERENCE_CELLS,
    ROWS_PER_GROUP,
    blocks,
    latent_columns,
    matrix,
    strings,
    values_by_column,
)
from cellferry.artifacts.places import axes_of, read_places
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.evaluation.gene_tables import GeneTables
from cellferry.features.subset import TOTALS
from cellferry.labels.colors import REFERENCE_COLOR, colors_of
from cellferry.references.archive import identity_of
from cellferry.report.label_counts import LabelCounts, count_labels
from cellferry.report.principal_axes import N_AXES, PrincipalAxes
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.runs.hashes import REFERENCE, of_predictions
from cellferry.runs.versions import versions
from isal import igzip

LATENT_KEY = "X_cellferry"
SPATIAL_KEY = "spatial"
"""Key of cell coordinates in squidpy and scanpy."""

PLACE_KEY = "X_cellferry_pca"
"""Two dimensions of the latents, since viewers such as CELLxGENE draw the first two."""

EXPECTED_ERROR = "expected_error"
"""Key of the parquet's metadata."""

MISSING = "none"
"""Category of missing values in the h5ad: viewers do not support missing categories."""

NO_LABELS = ("cell", "level", "reason", "prediction_set", "ontology", "nearest_reference")
"""Columns of strings other than labels."""


def gather_predictions(
    predictions: list[str],
    mapped: list[str],
    common: str,
    classifier: str,
    labels: str,
    packed: str | None = None,
    gene_tables: GeneTables | None = None,
    *,
    parquet: str,
    csv: str,
    labeled: str,
    annotations: str,
    counts: bool,
    budget: Budget,
) -> None:
    """Concatenate the chunks' predictions and write them in four formats, block by block.

    Parameters
    ----------
    predictions, mapped, common
        The chunks' predictions and latents, and the counts of all cells.
    classifier, labels
        Folder of the classifiers, and the reference's labels of split_reference, for their colors.
    packed
        Name, version and hash of a packed reference; None for other references.
    gene_tables
        Tables of genes to write, and their inputs; None writes no table.
    parquet, csv, labeled, annotations
        Files to write. `labeled` has the query's name; `annotations` is its content as JSON.
    counts
        Whether the labeled file contains the counts.
    budget
        Memory of the job.

    Raises
    ------
    RuntimeError
        If the cells of the chunks are not those of `common`, in its order.
    """
    answers = count_labels(predictions)
    schema = with_expected_error(widest_schema(predictions), answers)
    reference = {REFERENCE: identity_of(packed)} if packed else {}
    schema = schema.with_metadata(schema.metadata | {key: json.dumps(reference[key]) for key in reference})
    with H5adReader(common) as reader:
        max_bytes = budget.block_bytes(MEMORY_MODELS["gather_predictions"], cells=reader.n_cells)
        # A block's counts three times (read, converted, written), strings, compressor.
        values_per_cell = max(1, reader.nonzeros // max(1, reader.n_cells)) if counts else 0
        cell = 24 * values_per_cell + 100 * len(schema) + 1000
        rows = int(np.clip(max_bytes // cell, 256, ROWS_PER_GROUP))
        obs = carried_columns(reader, schema)
        predicted = [name for name in schema.names if name != "cell"]
        known = values_by_column(predictions, [*label_columns(schema), "prediction_set"])
        if len(known.pop("prediction_set")) > MAX_CATEGORIES:
            predicted.remove("prediction_set")
            print(f"prediction_set has more than {MAX_CATEGORIES} values: {labeled} is without it")
        with (
            complete(parquet) as parquet_path,
            complete(csv) as csv_path,
            pq.ParquetWriter(parquet_path, schema) as parquet_writer,
            igzip.open(csv_path, "wb") as csv_stream,  # several times as fast as zlib
            pa.csv.CSVWriter(csv_stream, schema) as csv_writer,
            H5adWriter(labeled, reader.var, portable=True, counts=counts) as labeled_writer,
        ):
            order_labels(labeled_writer, known, labels)
            progress = Progress("gathered", reader.n_cells)
            for start, table in checked(prediction_blocks(predictions, schema, rows), reader):
                parquet_writer.write_table(table)
                csv_writer.write_table(table)
                stop = start + len(table)
                columns = {new: reader.obs(old, start, stop) for old, new in obs.items()}
                columns |= {name: values(table.column(name)) for name in predicted}
                block = reader.counts(start, stop) if counts else None
                labeled_writer.append(block, strings(table.column("cell")), columns)
                progress.add(len(table))
            if columns := latent_columns(mapped):  # empty for a reference without latents
                axes = PrincipalAxes(Path(classifier) / REFERENCE_CELLS)
                latents = checked(blocks(mapped, ["cell", *columns], rows=rows), reader)
                arrays = (matrix(table, columns) for _, table in latents)
                labeled_writer.write_obsm(
                    {LATENT_KEY: len(columns), PLACE_KEY: N_AXES},
                    ({LATENT_KEY: cells, PLACE_KEY: axes(cells)} for cells in arrays),
                )
            write_places(labeled_writer, reader)
            labeled_writer.write_uns(
                made_from=of_predictions(predictions),
                **reference,
                expected_error=answers.expected_error if answers.labels else np.nan,
                versions=versions(["h5py", "xgboost", "scikit-learn"]),
            )
        if gene_tables:
            gene_tables.write(predictions, reader, classifier, budget=budget)
    write_cell_annotations(parquet, labels, annotations, query=Path(labeled).stem)


def widest_schema(predictions: list[str]) -> pa.Schema:
    """The chunks' columns; `truth` is there if any chunk has it."""
    return pa.unify_schemas([pq.read_schema(path) for path in predictions])


def with_expected_error(schema: pa.Schema, counts: LabelCounts) -> pa.Schema:
    """The schema with the expected error of assigned labels in its metadata, in total and by label."""
    expected = {"of_all": counts.expected_error, "by_label": counts.expected_errors}
    return schema.with_metadata({**(schema.metadata or {}), EXPECTED_ERROR: json.dumps(expected)})


def carried_columns(reader: H5adReader, schema: pa.Schema) -> dict[str, str]:
    """Obs columns of the query to copy, and their names in the labeled file.

    The query's own labels are in the predictions' column `truth`, and coordinates are in obsm. A column with
    the name of a predictions' column gets the suffix `_input`.
    """
    kept = [column for column in reader.obs_columns if column not in ("label", TOTALS, *AXES)]
    return {column: f"{column}_input" if column in schema.names else column for column in kept}


def write_places(writer: H5adWriter, reader: H5adReader) -> None:
    """Write coordinates into obsm, block by block, if the query has any."""
    if axes := axes_of(reader):
        blocks = ({SPATIAL_KEY: read_places(reader, axes, *rows)} for rows in reader.cell_ranges())
        writer.write_obsm({SPATIAL_KEY: len(axes)}, blocks, dtype=np.float64)


def label_columns(schema: pa.Schema) -> list[str]:
    """Columns that hold labels."""
    return [field.name for field in schema if pa.types.is_string(field.type) and field.name not in NO_LABELS]


def order_labels(writer: H5adWriter, by_column: dict[str, set[str | None]], labels: str) -> None:
    """Set the labels' order and colors, the same in every file and figure of the reference."""
    known = read_artifact(ReferenceLabels, labels)
    colors = colors_of(known.sizes, known.hierarchy)
    for column, found in by_column.items():
        names = in_order({MISSING if name is None else name for name in found}, list(colors))
        # A true label that the reference lacks is gray.
        writer.order_categories(column, names, {name: colors.get(name, REFERENCE_COLOR) for name in names})


def in_order(names: set[str], known: list[str]) -> list[str]:
    """Names in the order of `known`, then the others by name, `none` last."""
    others = sorted(names.difference(known, [MISSING]))
    return [name for name in [*known, *others, MISSING] if name in names]


def prediction_blocks(paths: list[str], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """The chunks' predictions, in blocks; a chunk's missing columns are null."""
    for path in paths:
        present = pq.read_schema(path).names
        for block in blocks([path], present, rows=rows):
            columns = {
                name: block.column(name) if name in present else pa.nulls(len(block), schema.field(name).type)
                for name in schema.names
            }
            yield pa.table(columns, schema=schema)


def checked(
    tables: Iterator[pa.Table | pa.RecordBatch], reader: H5adReader
) -> Iterator[tuple[int, pa.Table | pa.RecordBatch]]:
    """Yield blocks with their first row; their cells must be those of `reader`, in its order."""
    start = 0
    for table in tables:
        check_names(reader, start, table.column("cell"))
        yield start, table
        start += len(table)
    check_number(reader, start)


def values(column: pa.ChunkedArray) -> np.ndarray | pd.Categorical:
    """A column for `H5adWriter`: strings as categories (`none` for null), or numbers."""
    if not pa.types.is_string(column.type):
        return column.to_numpy()
    return column.fill_null(MISSING).dictionary_encode().to_pandas().array


if __name__ == "__main__":
    with job(snakemake):
        gather_predictions(
            snakemake.input.predictions,
            snakemake.input.mapped,
            snakemake.input.common,
            snakemake.input.classifier,
            snakemake.input.labels,
            snakemake.input.packed or None,
            GeneTables(
                snakemake.input.sums,
                snakemake.params.names,
                snakemake.input.gene_map or None,
                snakemake.output.label_genes,
                snakemake.output.shifted_genes,
            ),
            parquet=snakemake.output.parquet,
            csv=snakemake.output.csv,
            labeled=snakemake.output.labeled,
            annotations=snakemake.output.annotations,
            counts=snakemake.params.labeled == "all",
            budget=Budget.of(snakemake.resources),
        )
