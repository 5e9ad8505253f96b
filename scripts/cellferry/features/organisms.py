"""The organism of genes, by the spelling of their ids."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import product

from ..config.orthologs import ENDING, KEY, shipped_table

PREFIXES = {
    "ENSG": "human",
    "ENSMUSG": "mouse",
    "ENSRNOG": "rat",
    "ENSMMUG": "rhesus macaque",
    "ENSMFAG": "crab-eating macaque",
    "ENSCJAG": "marmoset",
    "ENSSSCG": "pig",
    "ENSBTAG": "cow",
    "ENSGALG": "chicken",
    "ENSDARG": "zebrafish",
    "FBgn": "fruit fly",
    "WBGene": "worm",
}
"""Organism by the beginning of an id, as Ensembl, FlyBase and WormBase write them."""

SPELLINGS = {
    r"[A-Z][A-Z0-9.-]+": "human",  # CD3E
    r"(mt-)?[A-Z][A-Za-z0-9.-]*[a-z][A-Za-z0-9.-]*": "mouse or rat",  # Cd3e
    r"[a-z][a-z0-9.:-]+": "zebrafish",  # cd4-1
}
"""Organism by how symbols are spelled, as their nomenclatures have it."""

SHARE = 0.7
"""Minimum share of ids with this spelling."""

OR = " or "
"""Separator of organisms with the same spelling of symbols."""


def organism_of(ids: Iterable[str]) -> str:
    """The organism of ids or symbols, by their spelling; empty if unclear."""
    found: Counter[str] = Counter()
    n_ids = 0
    for name in map(str, ids):
        n_ids += 1
        start = re.match(r"(ENS[A-Z]*G|FBgn|WBGene)\d", name)
        if start:
            found[PREFIXES.get(start[1], "")] += 1
        else:
            found[next((each for how, each in SPELLINGS.items() if re.fullmatch(how, name)), "")] += 1
    organism, n = max(found.items(), key=lambda item: item[1], default=("", 0))
    return organism if n > SHARE * n_ids else ""


def are_two_organisms(first: Iterable[Iterable[str]], second: Iterable[Iterable[str]]) -> bool:
    """Whether two datasets' genes clearly have the spellings of different organisms.

    Parameters
    ----------
    first, second
        Ids or symbols of the datasets' genes, column by column.
    """
    own, other = organism_among(first), organism_among(second)
    return bool(own and other) and not set(own.split(OR)) & set(other.split(OR))


def written_as(columns: Iterable[Iterable[str]]) -> str:
    """Description of a dataset's genes, such as `mouse or rat symbols`, or `genes` if unclear."""
    columns = list(columns)
    organism = organism_among(columns)
    is_ids = columns and str(next(iter(columns[0]), "")).startswith("ENS")
    return f"{organism} {'Ensembl ids' if is_ids else 'symbols'}" if organism else "genes"


def organism_among(columns: Iterable[Iterable[str]]) -> str:
    """The organism of the first of the columns that shows one."""
    return next(filter(None, (organism_of(filter(None, ids)) for ids in columns)), "")


def orthologs_remedy(first: Iterable[Iterable[str]], second: Iterable[Iterable[str]]) -> str:
    """The remedy for datasets of two organisms, in the imperative."""
    name = orthologs_between(first, second)
    return f"set genes: {{orthologs: {name}}}" if name else f"name a table of their orthologs in {KEY}"


def orthologs_between(first: Iterable[Iterable[str]], second: Iterable[Iterable[str]]) -> str | None:
    """Name of the shipped table for two datasets; None without one, or for one species."""
    own, other = organism_among(first), organism_among(second)
    for pair in product(own.split(OR), other.split(OR)):
        if table := shipped_table("-".join(pair)):
            return table.name.removesuffix(ENDING)
    return None
