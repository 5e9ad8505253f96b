"""Genes common to datasets, after translation by tables of ids and orthologs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..config.orthologs import KEY
from ..errors import InputError
from .gene_ids import BY_ORTHOLOGS, GeneTable, Harmonized, candidate_ids, read_gene_table
from .orthologs import Orthologs, read_orthologs

type Offered = dict[str, dict[str, np.ndarray]]
"""Result of `candidate_ids`: by kind of ids and column, an id (or None) per gene."""


@dataclass(frozen=True)
class Translations:
    """Tables that translate genes to the names of the reference.

    Attributes
    ----------
    table
        Ensembl ids and symbols side by side (`genes.map`), or None.
    orthologs
        Genes of two species in pairs (`genes.orthologs`), or None.
    """

    table: GeneTable | None = None
    orthologs: Orthologs | None = None

    @classmethod
    def read(cls, gene_map: str | None, orthologs: str | None) -> "Translations":
        """Read the tables at two paths, either of which may be missing."""
        return cls(
            read_gene_table(gene_map) if gene_map else None, read_orthologs(orthologs) if orthologs else None
        )

    def offered(self, name: str, var: pd.DataFrame, gene_id: str) -> Offered:
        """`candidate_ids` of a dataset; an error names its key."""
        try:
            return candidate_ids(var, gene_id=gene_id, table=self.table, orthologs=self.orthologs)
        except InputError as error:
            raise InputError(f"datasets.{name}.{error}") from error


def chosen_genes(genes: str) -> list[str]:
    """The chosen genes of `select_genes`."""
    table = pd.read_csv(genes, sep="\t", dtype={"gene": str}, keep_default_na=False)
    return table["gene"].to_list()


def common_shares(harmonized: Harmonized, reference: str) -> dict[str, float]:
    """Common genes as a share of each dataset's genes, or of the reference's if it has fewer."""
    n_genes = {name: len(set(ids) - {None}) for name, ids in harmonized.ids.items()}
    return {name: len(harmonized.common) / min(n, n_genes[reference]) for name, n in n_genes.items()}


def is_too_little(shares: dict[str, float], min_common: float, reference: str) -> bool:
    """Whether a dataset other than the reference shares less than `min_common`."""
    return min((share for name, share in shares.items() if name != reference), default=1) < min_common


def check_shares(shares: dict[str, float], harmonized: Harmonized, min_common: float, reference: str) -> None:
    """Refuse datasets that share too few genes for meaningful labels."""
    if not is_too_little(shares, min_common, reference):
        return
    sizes = {name: len(set(ids) - {None}) for name, ids in harmonized.ids.items()}
    listed = ", ".join(f"{name} {share:.0%} of {sizes[name]}" for name, share in shares.items())
    raise InputError(
        f"only {len(harmonized.common)} genes are common to all datasets ({listed}), "
        f"and genes.min_common is {min_common}. The dataset with the fewest genes is "
        f"'{min(sizes, key=sizes.get)}': map it in a separate run or leave it out, name the right var "
        "column in datasets.NAME.gene_id, translate ids with genes.map, or lower genes.min_common"
    )


def best_column(
    offered: dict[str, np.ndarray], wanted: Iterable[str], first: str | None = None
) -> tuple[str | None, np.ndarray, set[str]]:
    """The column with most of the wanted genes, its ids, and the wanted genes in it.

    Parameters
    ----------
    offered
        Ids of a dataset in the namespace of the wanted genes, by column.
    wanted
        Genes.
    first
        The column to take if none has more of them.
    """
    wanted = set(wanted)
    columns = sorted(offered, key=lambda column: column != first)
    best = max(columns, key=lambda column: len(wanted.intersection(offered[column])), default=None)
    ids = np.array([]) if best is None else offered[best]
    return best, ids, wanted.intersection(ids)


def print_translations(
    harmonized: Harmonized,
    tables: Translations,
    references: list[str],
    gene_totals: dict[str, np.ndarray],
) -> None:
    """Print the genes per dataset that `genes.orthologs` translates, and the losses.

    Parameters
    ----------
    harmonized
        Genes of the datasets.
    tables
        Tables in use.
    references
        Names of the references, the one that keeps its own names first.
    gene_totals
        Counts of each gene, by dataset.
    """
    if tables.orthologs is None:
        return
    translated = [name for name, column in harmonized.columns.items() if BY_ORTHOLOGS in column]
    if not translated:
        print(f"{KEY}: not needed, no dataset has genes of another species than {references[0]}")
        return
    print(orthologs_line(tables.orthologs))
    for name in translated:
        print(translated_line(name, harmonized.ids[name], gene_totals[name]))
    for name in [name for name in references if name not in translated]:
        has_none = ~tables.orthologs.has_partner(harmonized.ids[name])
        print(
            f"{KEY}: {has_none.sum():,} of {len(has_none):,} genes of {name}, with "
            f"{_share(gene_totals[name], has_none):.1%} of its counts, have no one-to-one ortholog"
        )


def orthologs_line(orthologs: Orthologs) -> str:
    """Content of a table of orthologs, for the log."""
    line = f"{KEY}: {orthologs.source} has {orthologs.n_pairs:,} one-to-one pairs"
    if orthologs.n_excluded:
        line += f"; {orthologs.n_excluded:,} pairs of genes with several partners are not used"
    return line


def translated_line(name: str, ids: np.ndarray, totals: np.ndarray) -> str:
    """How many genes of a dataset have an ortholog, and the counts of the others, for the log."""
    lost = np.array([gene is None for gene in ids])
    return (
        f"{KEY}: {(~lost).sum():,} of {len(ids):,} genes of {name} are named as their orthologs; the others "
        f"have no one-to-one ortholog in the table, and {_share(totals, lost):.1%} of its counts"
    )


def _share(totals: np.ndarray, mask: np.ndarray) -> float:
    return float(totals[mask].sum() / max(1.0, totals.sum()))
