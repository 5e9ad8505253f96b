"""Which organism genes are of, by how their ids are written."""

import re
from collections import Counter
from collections.abc import Iterable

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
"""Of the ids, that must be written so."""


def organism_of(ids: Iterable[str]) -> str:
    """The organism whose genes are written as these ids or symbols are; empty where that is not clear."""
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
