"""Gather a query's predictions: one table, the same as csv, and an h5ad with counts and latents."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from cellferry.budget import Budget
from cellferry.files import complete
from cellferry.fingerprints import of_predictions
from cellferry.h5ad import H5adReader, H5adWriter
from cellferry.in_step import check_names, check_number
from cellferry.latents import ROWS_PER_GROUP, blocks, latent_columns, matrix, strings
from cellferry.logs import logged
from cellferry.needs import NEEDS
from cellferry.progress import Progress
from cellferry.versions import versions

LATENT_KEY = "X_cellferry"


def gather_predictions(
    predictions: list[str],
    mapped: list[str],
    common: str,
    *,
    parquet: str,
    csv: str,
    labelled: str,
    budget: Budget,
) -> None:
    """Concatenate the chunks' predictions and write them in three formats, block by block.

    Raises
    ------
    RuntimeError
        If the cells of the chunks are not those of `common`, in its order.
    """
    schema = widest_schema(predictions)
    with H5adReader(common) as reader:
        # A block's counts three times (read, converted, written), its strings, and the compressor.
        cell = 24 * max(1, reader.nonzeros // max(1, reader.n_cells)) + 100 * len(schema) + 1000
        rows = int(
            np.clip(
                budget.block_bytes(NEEDS["gather_predictions"], cells=reader.n_cells) // cell,
                256,
                ROWS_PER_GROUP,
            )
        )
        obs = carried_columns(reader, schema)
        with (
            complete(parquet) as parquet_path,
            complete(csv) as csv_path,
            pq.ParquetWriter(parquet_path, schema) as parquet_writer,
            pa.CompressedOutputStream(str(csv_path), "gzip") as csv_stream,
            pa.csv.CSVWriter(csv_stream, schema) as csv_writer,
            H5adWriter(labelled, reader.var, compression="gzip") as labelled_writer,
        ):
            progress = Progress("gathered", reader.n_cells)
            for start, table in checked(prediction_blocks(predictions, schema, rows), reader):
                parquet_writer.write_table(table)
                csv_writer.write_table(table)
                stop = start + len(table)
                columns = {new: reader.obs(old, start, stop) for old, new in obs.items()}
                columns |= {name: values(table.column(name)) for name in schema.names if name != "cell"}
                labelled_writer.append(reader.counts(start, stop), reader.names(start, stop), columns)
                progress.add(len(table))
            columns = latent_columns(mapped)
            latents = checked(latent_blocks(mapped, columns, rows), reader)
            labelled_writer.write_obsm(
                LATENT_KEY,
                (matrix(table, columns) for _, table in latents),
                width=len(columns),
            )
            labelled_writer.write_uns(
                made_from=of_predictions(predictions),
                versions=versions(["anndata", "scvi-tools", "xgboost", "scikit-learn"]),
            )
        print(f"{reader.n_cells} cells gathered from {len(predictions)} chunks")


def widest_schema(predictions: list[str]) -> pa.Schema:
    """The chunks' columns; `truth` is there if any chunk has it."""
    return pa.unify_schemas([pq.read_schema(path) for path in predictions])


def carried_columns(reader: H5adReader, schema: pa.Schema) -> dict[str, str]:
    """Obs columns of the query to carry over, and their names in the labelled file.

    The query's own labels are left to the predictions' `truth`; another column that is named like one
    of the predictions' gets the suffix `_input`.
    """
    kept = [column for column in reader.obs_columns if column != "label"]
    return {column: f"{column}_input" if column in schema.names else column for column in kept}


def prediction_blocks(paths: list[str], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """The chunks' predictions, in blocks; columns that a chunk lacks are null."""
    for path in paths:
        present = [name for name in schema.names if name in pq.read_schema(path).names]
        for block in blocks([path], present, rows=rows):
            columns = {
                name: block.column(name) if name in present else pa.nulls(len(block), schema.field(name).type)
                for name in schema.names
            }
            yield pa.table(columns, schema=schema)


def latent_blocks(paths: list[str], columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The chunks' cell names and latents, in blocks."""
    return blocks(paths, ["cell", *columns], rows=rows)


def checked(
    tables: Iterator[pa.Table | pa.RecordBatch], reader: H5adReader
) -> Iterator[tuple[int, pa.Table | pa.RecordBatch]]:
    """Pass on blocks with the row they start at, as long as they hold the cells of `reader` in its order."""
    start = 0
    for table in tables:
        check_names(reader, start, strings(table.column("cell")))
        yield start, table
        start += len(table)
    check_number(reader, start)


def values(column: pa.ChunkedArray) -> np.ndarray:
    """A column as what `H5adWriter` takes: an object array of str (None where null), or numbers."""
    return strings(column) if pa.types.is_string(column.type) else column.to_numpy()


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        gather_predictions(
            snakemake.input.predictions,
            snakemake.input.mapped,
            snakemake.input.common,
            parquet=snakemake.output.parquet,
            csv=snakemake.output.csv,
            labelled=snakemake.output.labelled,
            budget=Budget.of(snakemake.resources),
        )
