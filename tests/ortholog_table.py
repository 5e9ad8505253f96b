"""Make the shipped table of orthologs from an export of Ensembl BioMart (config/orthologs/README.md).

python tests/ortholog_table.py EXPORT config/orthologs/human-mouse.tsv.gz "COMMENT" ["COMMENT" ...]
"""

import gzip
import sys
from pathlib import Path

from cellferry.features.orthologs import KINDS, Orthologs, read_orthologs


def table_text(orthologs: Orthologs, species: list[str], comments: list[str]) -> str:
    """The pairs as text: comments, a header, and a row per pair, sorted by the first species' Ensembl ids."""
    header = [f"{name}_{kind}" for name in species for kind in KINDS]
    columns = [names[kind] for names in orthologs.names for kind in KINDS]
    rows = sorted(zip(*([name or "" for name in column] for column in columns), strict=True))
    lines = [f"## {comment}" for comment in comments] + ["\t".join(row) for row in [header, *rows]]
    return "\n".join(lines) + "\n"


def write_table(export: str, path: Path, comments: list[str]) -> Orthologs:
    """Write the one-to-one pairs of an export; the same export gives the same bytes."""
    orthologs = read_orthologs(export)
    species = path.name.split(".")[0].split("-")
    content = table_text(orthologs, species, comments).encode()
    path.write_bytes(gzip.compress(content, 9, mtime=0))
    return orthologs


if __name__ == "__main__":
    made = write_table(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
    print(f"{made.n_pairs} one-to-one pairs; {made.n_excluded} others are left out")
