"""A pass over a merged file that writes the chosen genes of all its cells, or of parts of them."""

import json

import numpy as np
import pandas as pd

from .genes import GeneSelection, candidate_ids, read_gene_table
from .h5ad import H5adReader, H5adWriter


def chosen_genes(genes: str) -> pd.DataFrame:
    """The chosen genes, as `select_genes` wrote them, as var of a file."""
    selected = pd.read_csv(genes, sep="\t", dtype={"gene": str}, keep_default_na=False)["gene"]
    return pd.DataFrame(index=pd.Index(selected, name="gene"))


def gene_selection(
    reader: H5adReader, genes: str, report: str, gene_map: str | None, *, name: str, gene_id: str
) -> GeneSelection:
    """What picks the chosen genes from a file's counts; genes that stand several times in it are summed.

    Parameters
    ----------
    reader
        The dataset's merged file.
    genes, report
        Chosen genes and summary, as `select_genes` wrote them.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
    name
        The dataset's name in `report`.
    gene_id
        Its var column with gene ids, or `auto`.
    """
    with open(report, encoding="utf-8") as file:
        summary = json.load(file)
    table = read_gene_table(gene_map) if gene_map else None
    offered = candidate_ids(reader.var, gene_id=gene_id, table=table)
    ids = offered[summary["namespace"]][summary["datasets"][name]["column"]]
    return GeneSelection(ids, list(chosen_genes(genes).index))


def append_cells(
    reader: H5adReader,
    selection: GeneSelection,
    parts: list[tuple[H5adWriter, np.ndarray | None]],
    *,
    columns: dict[str, np.dtype | None],
    prefix: str = "",
    max_bytes: int,
) -> None:
    """Append a file's cells, in their order, to the files of their parts.

    All stored values are read, and held against the checksums of the chunks.

    Parameters
    ----------
    reader, selection
        The dataset's merged file, and what picks the chosen genes.
    parts
        Files to append to, each with the mask of its cells; None for all.
    columns
        Columns of obs to write, and the type of those that hold numbers.
    prefix
        What is put before the cells' names.
    max_bytes
        Size of a block.
    """
    written = [(writer.n_cells, writer.nonzeros) for writer, _ in parts]
    for start, stop, counts in reader.blocks(max_bytes):
        chosen = selection(counts)
        names = reader.names(start, stop)
        if prefix:
            names = np.array([prefix + name for name in names], dtype=object)
        obs = {column: reader.obs(column, start, stop) for column in columns}
        obs |= {column: obs[column].astype(dtype) for column, dtype in columns.items() if dtype is not None}
        for writer, mask in parts:
            if mask is None:
                writer.append(chosen, names, obs)
                continue
            kept = np.flatnonzero(mask[start:stop])
            writer.append(chosen[kept], names[kept], {column: obs[column][kept] for column in obs})
    for (writer, _), (n_cells, nonzeros) in zip(parts, written, strict=True):
        print(
            f"{writer.path}: {writer.n_cells - n_cells} of {reader.n_cells} cells, {writer.n_genes} of "
            f"{reader.n_genes} genes, {writer.nonzeros - nonzeros} of {reader.nonzeros} stored values"
        )
