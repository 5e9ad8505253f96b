"""A pass over a merged file that writes the chosen genes of all cells, or of parts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from ..artifacts.features import Features
from ..artifacts.h5ad_reader import H5adReader
from ..artifacts.h5ad_writer import H5adWriter
from ..artifacts.json_files import read_artifact
from ..core.progress import Progress
from ..errors import InputError
from .common_genes import Translations, best_column, orthologs_line, translated_line
from .gene_check import model_gene_problem
from .gene_ids import BY_ORTHOLOGS
from .gene_selection import GeneSelection

MEASURED = "measured"
"""Name of the var column that marks the model's genes in a dataset; others are 0."""
HAS_ORTHOLOG = "has_ortholog"
"""Name of the var column that marks genes with an ortholog, in a dataset of another species."""

TOTALS = "counts_of_all_genes"
"""Name of the obs column with each cell's counts of all genes, for classifiers that need them."""

ORTHOLOGS_MB = 25
"""MB of a table of orthologs of 17,000 pairs, as it is read; measured."""

Selection = Callable[[sparse.csr_matrix], sparse.csr_matrix]
"""Makes values of the model's genes out of values of a file's: cells × genes, CSR float32 both."""


@dataclass(frozen=True)
class GeneFiles:
    """Files with the genes of the model, or its markers.

    Parameters
    ----------
    genes, report
        Chosen genes and their summary, as `select_genes` or `select_markers` wrote them.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
    orthologs
        Table of the genes of two species in pairs, or None.
    """

    genes: str
    report: str
    gene_map: str | None = None
    orthologs: str | None = None

    @property
    def held_mb(self) -> int:
        """MB that the table of orthologs takes."""
        return ORTHOLOGS_MB if self.orthologs else 0


def gene_selection(
    reader: H5adReader,
    genes: list[str],
    report: str,
    gene_map: str | None,
    *,
    orthologs: str | None = None,
    name: str,
    gene_id: str,
    min_common: float = 0.0,
) -> tuple[GeneSelection, pd.DataFrame]:
    """Selection of the chosen genes in a file's counts; duplicate genes are summed.

    Parameters
    ----------
    reader
        The dataset's merged file.
    genes
        Chosen genes.
    report
        Summary, as `select_genes` wrote it.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
    orthologs
        Table of the genes of two species in pairs, or None.
    name
        The dataset's name.
    gene_id
        Its var column with gene ids, or `auto`.
    min_common
        Share of the chosen genes that the dataset must have.

    Returns
    -------
    The function that selects genes, and var of the file to write: the genes, a mask of `measured` ones and,
    for a dataset of another species, a mask of those with an ortholog.

    Raises
    ------
    InputError
        If the dataset has too few of the genes.
    """
    features = read_artifact(Features, report)
    tables = Translations.read(gene_map, orthologs)
    offered = tables.offered(name, reader.var, gene_id)
    problem = model_gene_problem(
        name, offered, genes, features.namespace, len(genes), min_common, "the model", tables
    )
    if problem is not None:
        raise InputError(problem)
    # A column that was chosen with this dataset has all of them; in an earlier run, this name may have been
    # another dataset.
    chosen_before = features.datasets[name].column if name in features.datasets else None
    column, ids, present = best_column(offered[features.namespace], genes, first=chosen_before)
    print(f"{name} has {len(present)} of the {len(genes)} genes")
    var = pd.DataFrame({MEASURED: [gene in present for gene in genes]}, index=pd.Index(genes, name="gene"))
    if tables.orthologs is not None and BY_ORTHOLOGS in (column or ""):
        var[HAS_ORTHOLOG] = tables.orthologs.has_partner(genes)
        print(orthologs_line(tables.orthologs))
        print(translated_line(name, ids, reader.uns["gene_totals"]))
        n_without = int((~var[HAS_ORTHOLOG]).sum())
        print(f"{n_without} of the {len(genes)} genes have no one-to-one ortholog in the species of {name}")
    return GeneSelection(ids, genes), var


def append_cells(
    reader: H5adReader,
    selection: Selection,
    parts: list[tuple[H5adWriter, np.ndarray | None]],
    *,
    columns: dict[str, np.dtype | None],
    prefix: str = "",
    totals: bool = False,
    max_bytes: int,
) -> None:
    """Append a file's cells, in their order, to the files of their parts.

    All stored values are read and compared with the checksums of the chunks.

    Parameters
    ----------
    reader, selection
        The dataset's merged file, and the function that selects the model's genes.
    parts
        Files to append to, each with the mask of its cells; None for all.
    columns
        Columns of obs to write, and the type of those that hold numbers.
    prefix
        Prefix of the cells' names.
    totals
        Also write each cell's counts of all genes of the file (`TOTALS`).
    max_bytes
        Size of a block.
    """
    written = [(writer.n_cells, writer.nonzeros) for writer, _ in parts]
    progress = Progress("read", reader.n_cells)
    for start, stop, counts in reader.blocks(max_bytes):
        chosen = selection(counts)
        names = reader.names(start, stop)
        if prefix:
            names = np.array([prefix + name for name in names], dtype=object)
        obs = {column: reader.obs(column, start, stop) for column in columns}
        obs |= {column: obs[column].astype(dtype) for column, dtype in columns.items() if dtype is not None}
        if totals:
            obs[TOTALS] = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
        for writer, mask in parts:
            if mask is None:
                writer.append(chosen, names, obs)
                continue
            kept = np.flatnonzero(mask[start:stop])
            writer.append(chosen[kept], names[kept], {column: obs[column][kept] for column in obs})
        progress.add(stop - start)
    for (writer, _), (n_cells, nonzeros) in zip(parts, written, strict=True):
        print(
            f"{writer.path}: {writer.n_cells - n_cells} of {reader.n_cells} cells, {writer.n_genes} of "
            f"{reader.n_genes} genes, {writer.nonzeros - nonzeros} of {reader.nonzeros} stored values"
        )
