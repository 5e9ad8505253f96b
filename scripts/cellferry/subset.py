"""One pass over a merged file that writes the chosen genes of all its cells, or of parts of them."""

import json
from contextlib import ExitStack

import numpy as np
import pandas as pd

from .genes import GeneSelection, candidate_ids, read_gene_table
from .h5ad import H5adReader, H5adWriter


def write_parts(
    reader: H5adReader,
    genes: str,
    report: str,
    gene_map: str | None,
    parts: dict[str, np.ndarray | None],
    *,
    name: str,
    gene_id: str,
    max_bytes: int,
) -> None:
    """Write the chosen genes' counts of a file's cells, in their order.

    Genes that stand several times in the file are summed. All stored values are read, and held against the
    checksums of the chunks.

    Parameters
    ----------
    reader
        The dataset's merged file.
    genes, report
        Chosen genes and summary, as `select_genes` wrote them.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
    parts
        Files to write, and for each the mask of its cells; None for all.
    name
        The dataset's name in `report`.
    gene_id
        Its var column with gene ids, or `auto`.
    max_bytes
        Size of a block.
    """
    selected = pd.read_csv(genes, sep="\t", dtype={"gene": str}, keep_default_na=False)["gene"].to_list()
    with open(report, encoding="utf-8") as file:
        summary = json.load(file)
    table = read_gene_table(gene_map) if gene_map else None
    offered = candidate_ids(reader.var, gene_id=gene_id, table=table)
    ids = offered[summary["namespace"]][summary["datasets"][name]["column"]]
    selection = GeneSelection(ids, selected)
    var = pd.DataFrame(index=pd.Index(selected, name="gene"))
    with ExitStack() as closing:
        writers = {path: closing.enter_context(H5adWriter(path, var)) for path in parts}
        for start, stop, counts in reader.blocks(max_bytes):
            chosen = selection(counts)
            names = reader.names(start, stop)
            obs = {column: reader.obs(column, start, stop) for column in reader.obs_columns}
            for path, mask in parts.items():
                if mask is None:
                    writers[path].append(chosen, names, obs)
                    continue
                kept = np.flatnonzero(mask[start:stop])
                columns = {column: values[kept] for column, values in obs.items()}
                writers[path].append(chosen[kept], names[kept], columns)
        for path, writer in writers.items():
            writer.write_uns(dataset=name)
            print(
                f"{path}: {writer.n_cells} of {reader.n_cells} cells, {writer.n_genes} of {reader.n_genes} "
                f"genes, {writer.nonzeros} of {reader.nonzeros} stored values"
            )
