"""Detection of the side of a count table that names the genes."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InputError
from ..features.gene_ids import ENSEMBL
from .controls import control_kind
from .interface import Options

NAMES = re.compile(r"(cell|event|barcode|row)?[ _]?(ids?|names?|index|barcodes?|cells?|events?)?$", re.I)
"""Names of a column of cell names; a first column with another name is a channel."""

BARCODE = re.compile(r"^(.*[_:.#-])?[ACGT]{8,}([_:.-].*)?$")

# Genes in nearly every human or mouse dataset: ribosomal, mitochondrial, housekeeping genes.
COMMON_GENE = re.compile(
    r"^(RP[LS]\d+[AXLY]?\d*|MT-(ND|CO|ATP|CYB)\w*|ACTB|GAPDH|B2M|MALAT1|EEF1A1|TMSB4X|CD\d+[A-Z]?\d?)$", re.I
)


def genes_are_rows(path: Path, rows: Sequence[str], columns: Sequence[str], options: Options) -> bool:
    """True if the rows of a table are genes, according to their names.

    The first rule that holds for exactly one side decides: it contains controls of a panel (`Blank-1`), so it
    is the genes; most of its names are Ensembl ids, so it is the genes; most are cell barcodes (eight or more
    of A, C, G, T), so it is the cells; at least two of its names, and more than of the other side, are genes
    that nearly every dataset has, so it is the genes.

    Parameters
    ----------
    path
        The table, for messages.
    rows, columns
        Names of both sides, or the first ones of each.
    options
        An `orientation` other than `auto` decides.

    Raises
    ------
    InputError
        If no rule decides.
    """
    if options.orientation != "auto":
        return options.orientation == "genes"
    decided = probably_genes_are_rows(rows, columns)
    if decided is not None:
        return decided
    raise InputError(
        f"{path}: it is unclear whether its rows ({_some(rows)}) or its columns ({_some(columns)}) are the "
        f"genes; set {options.key('orientation')} to the kind of the rows, `cells` or `genes`"
    )


def probably_genes_are_rows(rows: Sequence[str], columns: Sequence[str]) -> bool | None:
    """Result of the rules of `genes_are_rows`; None if none decides."""
    controls = _number(rows, control_kind), _number(columns, control_kind)
    if (controls[0] > 0) != (controls[1] > 0):
        return controls[0] > 0
    ensembl = _share(rows, ENSEMBL.match), _share(columns, ENSEMBL.match)
    if (ensembl[0] > 0.5) != (ensembl[1] > 0.5):
        return ensembl[0] > 0.5
    barcodes = _share(rows, BARCODE.match), _share(columns, BARCODE.match)
    if (barcodes[0] > 0.5) != (barcodes[1] > 0.5):
        return barcodes[1] > 0.5
    common = _number(rows, COMMON_GENE.match), _number(columns, COMMON_GENE.match)
    if max(common) >= 2 and common[0] != common[1]:
        return common[0] > common[1]
    return None


def _number(names: Sequence[str], matches: Callable) -> int:
    return sum(matches(name) is not None for name in names)


def _share(names: Sequence[str], matches: Callable) -> float:
    return _number(names, matches) / max(1, len(names))


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], "…"] if len(names) > 3 else names) or "none"
