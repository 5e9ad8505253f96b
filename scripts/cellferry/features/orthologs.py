"""Orthologs: a table of gene pairs, which translates one species' genes to the other's."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.orthologs import ENDING, FOLDER, KEY, shipped_table
from ..core.problems import Problem
from ..errors import InputError
from ..labels.tables import rows_of_two
from .gene_ids import ENSEMBL, KINDS

HEADER_WORDS = frozenset(("gene", "genes", "symbol", "id", "name", "ensembl", "human", "mouse", "species"))
"""Words of headers, which are not gene names."""

TWO_OF_EACH = 4
"""Columns of a table that holds an Ensembl id and a symbol for each gene."""

type Gene = tuple[str | None, str | None]
"""A gene's Ensembl id and symbol, either of which may be missing."""


@dataclass(frozen=True)
class Orthologs:
    """Genes of two species in one-to-one pairs.

    Attributes
    ----------
    source
        Name or path of the table.
    pair_of
        Per species: number of the pair by Ensembl id and by symbol.
    names
        Per species and kind of ids: the gene of each pair, None without a name of this kind.
    n_excluded
        Pairs of genes that are left out, since one of the two has another partner as well.
    """

    source: str
    pair_of: tuple[dict[str, int], dict[str, int]]
    names: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
    n_excluded: int

    @property
    def n_pairs(self) -> int:
        """Number of one-to-one pairs."""
        return len(self.names[0][KINDS[0]])

    def side_of(self, ids: Iterable[str | None]) -> int:
        """The species of which the table has more of these genes: 0 or 1."""
        own = set(ids)
        n_found = [len(self.pair_of[side].keys() & own) for side in (0, 1)]
        return int(n_found[1] > n_found[0])

    def n_known(self, ids: Iterable[str | None]) -> int:
        """Number of genes of a dataset that the table pairs, in the species of which it has more of them."""
        return len(self.pair_of[self.side_of(ids)].keys() & set(ids))

    def has_partner(self, ids: Iterable[str | None]) -> np.ndarray:
        """Whether the table pairs each gene of a dataset; the species as in `side_of`."""
        paired = self.pair_of[self.side_of(ids)]
        return np.array([gene in paired for gene in ids], dtype=bool)

    def translations(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """Genes under the names of the other species, by kind of ids.

        Parameters
        ----------
        ids
            One id or symbol (or None) per gene, of the species of which the table has more of them.

        Returns
        -------
        For each kind that the table has of the other species, one id (or None) per gene; no kind if the table
        holds none of the genes.
        """
        side = self.side_of(ids)
        pairs = [self.pair_of[side].get(gene) for gene in ids]
        translated = {}
        for kind, names in self.names[1 - side].items():
            found = np.array([None if pair is None else names[pair] for pair in pairs], dtype=object)
            if any(gene is not None for gene in found):
                translated[kind] = found
        return translated


def table_of_orthologs(shipped: str | None, given: str | None) -> str | None:
    """Path of the table in use: a shipped one, by its name, or the user's; None without either."""
    return str(shipped_table(shipped)) if shipped else given or None


def read_orthologs(path: str | Path) -> Orthologs:
    """Read a table of orthologs, with or without a header.

    Its first two columns hold a gene of each species, as Ensembl ids (with or without versions) or symbols.
    If they hold one gene's Ensembl id and symbol, and so do the next two, the table names each gene twice.
    The species may be in either order. Genes with several partners are left out, with all partners.

    Raises
    ------
    InputError
        If it cannot be read, has one column, no one-to-one pair, or genes of one species only.
    """
    path = Path(path)
    rows = _rows(path)
    is_of_both = len(rows[0]) >= TWO_OF_EACH and _is_id_and_symbol(rows, 0) and _is_id_and_symbol(rows, 2)
    pairs: dict[tuple[Gene, Gene], None] = {}
    for row in rows:
        names = row[:TWO_OF_EACH] if is_of_both else row[:2]
        half = len(names) // 2
        first, second = _gene(names[:half]), _gene(names[half:])
        if any(first) and any(second):
            pairs[first, second] = None
    kept = one_to_one(pairs)
    if not kept:
        what = f"{path} holds no one-to-one pair of genes in its first two columns ({len(rows)} rows)"
        raise InputError(Problem(KEY, what, "name a table with a gene of each species in a row"))
    _check_species(path, kept)
    sides = list(zip(*kept, strict=True))
    return Orthologs(
        source=str(path) if path.parent != FOLDER else path.name.removesuffix(ENDING),
        pair_of=(_numbers(sides[0]), _numbers(sides[1])),
        names=(_names(sides[0]), _names(sides[1])),
        n_excluded=len(pairs) - len(kept),
    )


def one_to_one(pairs: Iterable[tuple[Gene, Gene]]) -> list[tuple[Gene, Gene]]:
    """The pairs of which neither gene is in another pair, in their order."""
    pairs = list(pairs)
    # A gene with an Ensembl id is known by it: symbols may be those of several genes.
    identities = [tuple(ensembl or symbol for ensembl, symbol in pair) for pair in pairs]
    partners: tuple[defaultdict, defaultdict] = (defaultdict(set), defaultdict(set))
    for first, second in identities:
        partners[0][first].add(second)
        partners[1][second].add(first)
    return [
        pair
        for pair, (first, second) in zip(pairs, identities, strict=True)
        if len(partners[0][first]) == 1 and len(partners[1][second]) == 1
    ]


def _rows(path: Path) -> list[list[str]]:
    """Fields of the rows, without the header."""
    remedy = "give each gene of one species and its ortholog beside it"
    found = rows_of_two(path, KEY, blanks="regular", remedy=remedy)
    rows = [[field.strip() for field in row] for row in found]
    if rows and any(HEADER_WORDS.intersection(re.split(r"[^a-z0-9]+", field.lower())) for field in rows[0]):
        del rows[0]
    if not rows:
        what = f"{path} holds no row"
        raise InputError(Problem(KEY, what, "name a table with a gene of each species in a row"))
    return rows


def _is_id_and_symbol(rows: list[list[str]], column: int) -> bool:
    """Whether most rows that hold something in two columns have one Ensembl id in them, and not two."""
    both = [row[column : column + 2] for row in rows if all(row[column : column + 2])]
    n_mixed = sum(sum(ENSEMBL.match(field) is not None for field in fields) == 1 for fields in both)
    return n_mixed > len(both) / 2


def _gene(fields: list[str]) -> Gene:
    """A gene from its one or two fields, in either order; empty fields are missing."""
    ensembl = symbol = None
    for field in fields:
        if match := ENSEMBL.match(field):
            ensembl = ensembl or match[1]
        elif field:
            symbol = symbol or field
    return ensembl, symbol


def _check_species(path: Path, pairs: list[tuple[Gene, Gene]]) -> None:
    """Refuse a table that holds the same names twice, or Ensembl ids of one species.

    Symbols do not show the species: most mammals' are spelled like human ones.
    """
    species = [
        {gene[0].rstrip("0123456789") for gene in genes if gene[0]} for genes in zip(*pairs, strict=True)
    ]
    if species[0] & species[1] or all(first == second for first, second in pairs):
        what = f"both columns of {path} hold genes of one species, such as {_shown(pairs[0])}"
        remedy = "name a table of pairs of two species (a table of ids and symbols belongs in genes.map)"
        raise InputError(Problem(KEY, what, remedy))


def _shown(pair: tuple[Gene, Gene]) -> str:
    return " and ".join(ensembl or symbol or "" for ensembl, symbol in pair)


def _names(genes: Iterable[Gene]) -> dict[str, np.ndarray]:
    """Genes by kind of ids, without symbols of several genes."""
    names = {}
    for number, kind in enumerate(KINDS):
        of_kind = [gene[number] for gene in genes]
        n_times = Counter(of_kind)
        names[kind] = np.array([name if n_times[name] == 1 else None for name in of_kind], dtype=object)
    return names


def _numbers(genes: Iterable[Gene]) -> dict[str, int]:
    """Number of the pair by each unique name."""
    return {
        name: number
        for names in _names(genes).values()
        for number, name in enumerate(names)
        if name is not None
    }
