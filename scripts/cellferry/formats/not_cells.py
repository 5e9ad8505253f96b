"""Columns of a genes × cells table that are annotation of genes, and must not become cells."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..labels.columns import words_of
from .interface import Options

WORDS = words_of("""
    length genelength genelengths txlength transcriptlength exonlength efflength effectivelength width
    lengthbp entrez entrezid entrezgene entrezgeneid geneentrezid ncbigeneid ncbiid ncbi hgnc hgncid mgi mgiid
    start end genestart geneend txstart txend cdsstart cdsend startposition endposition startbp endbp
    chr chrom chromosome chromosomename seqname seqnames seqid strand position genomicposition locus tss
    gc gccontent percentgc percentagegc percentagegccontent
    biotype genebiotype genetype transcripttype transcriptbiotype featuretype featuretypes source
    gene geneid geneids genename genenames genesymbol genesymbols symbol symbols hgncsymbol mgisymbol
    externalgenename ensembl ensemblid ensemblgene ensemblgeneid ensgeneid accession feature featureid
    featurename transcript transcriptid transcriptids probe probeid description genedescription annotation
    alias aliases ncells ncellsbycounts ncounts totalcounts meancounts logmeancounts numcells numberofcells
    pctdropout pctdropoutbycounts mean means avg average averageexpression median variance var dispersion sd
    stdev std total totals sum rowsum rowsums rowmeans rowtotal genetotal totalreads totalumis umis reads
    highlyvariable highlyvariablerank
""")
"""Names of columns with annotation of genes, in lower case, letters only."""

NUMBERED = re.compile(r"\d|[ACGTN]{8,}")
"""Names of cells contain a number or are barcodes."""

MAX_NUMBERED = 0.9
FAR = 10
"""A column of annotation has a median this many times above the largest of the other columns."""

FIRST_FAR = 100
"""The same for a first column that is named like a cell."""

MIN_ROWS = 10
"""With fewer genes the values are not checked."""


def columns_about_genes(path: Path, columns: Sequence[str], options: Options) -> list[int]:
    """Positions of the columns that are not cells, by their names or by the configuration.

    Raises
    ------
    InputError
        If a column's name leaves open whether it is a cell, or the configuration names a missing column.
    """
    key, named = options.key("not_cells"), options.not_cells
    if named != "auto":
        if missing := [name for name in named if name not in columns]:
            raise InputError(
                f"{path}: {key} names '{missing[0]}', which is not a column of the table; it has: "
                f"{', '.join([*columns[:10], *(['…'] if len(columns) > 10 else [])])}"
            )
        return [position for position, name in enumerate(columns) if name in named]
    positions = [position for position, name in enumerate(columns) if _is_word(name)]
    if positions and not _are_numbered([name for name in columns if not _is_word(name)]):
        listed = ", ".join(columns[position] for position in positions)
        raise InputError(
            f"{path}: it is unclear whether {listed} are cells or annotation of the genes; set {key} to "
            "those that are not cells, or to [] if all are"
        )
    return positions


def refuse_not_cells(path: Path, options: Options) -> None:
    """Raise an `InputError` if the configuration names columns that are not cells, but rows are the cells."""
    if options.not_cells not in ("auto", []):
        raise InputError(
            f"{path}: {options.key('not_cells')} is {options.not_cells}, but the table's rows are the cells; "
            f"remove the key, or set {options.key('orientation')} to genes if rows are genes"
        )


def is_about_genes(name: str, options: Options) -> bool:
    """True if a column has such a name, or is named in the configuration."""
    return _is_word(name) if options.not_cells == "auto" else name in options.not_cells


def left_out(columns: Sequence[str], options: Options) -> list[str]:
    """Warning of columns that are left out; empty without any, or if the configuration names them."""
    if options.not_cells != "auto" or not columns:
        return []
    return [
        f"column(s) left out as annotation of genes: {', '.join(columns)}; if they are cells, set "
        f"{options.key('not_cells')} to []"
    ]


def suspects(columns: Sequence[str]) -> dict[int, int]:
    """The first column, and columns whose names differ in kind from nearly all others.

    By position: factor by which their values must exceed those of the others to be suspicious.
    """
    others = [position for position, name in enumerate(columns) if not NUMBERED.search(name)]
    first = {0: FIRST_FAR} if columns else {}
    few = len(others) <= (1 - MAX_NUMBERED) * len(columns)
    return first | (dict.fromkeys(others, FAR) if few else {})


def check_suspects(
    path: Path, names: dict[str, int], values: np.ndarray, others: np.ndarray, options: Options
) -> None:
    """Raise an `InputError` for suspects with values far above those of all other columns.

    Parameters
    ----------
    path
        The table, for messages.
    names, values
        The suspects, each with its factor; their values, genes × suspects.
    others
        Values of other columns: genes × columns.

    Raises
    ------
    InputError
        If one has no zeros and a median far above those of all other columns.
    """
    if options.not_cells != "auto" or len(values) < MIN_ROWS or others.shape[1] == 0:
        return
    most = max(1.0, float(np.median(others, axis=0).max()))
    for (name, far), column in zip(names.items(), values.T, strict=True):
        if (column > 0).all() and np.median(column) > far * most:
            raise InputError(
                f"{path}: the column '{name}' has values such as {column[0]:g} and {column[1]:g}, far above "
                f"those of the others (medians of at most {most:g}); if it is annotation of the genes, set "
                f"{options.key('not_cells')} to [{name}], or to [] if all are cells"
            )


def _is_word(name: str) -> bool:
    return re.sub(r"[^a-z]", "", name.casefold()) in WORDS and not re.search(r"\d", name)


def _are_numbered(names: Sequence[str]) -> bool:
    n_numbered = sum(NUMBERED.search(name) is not None for name in names)
    return n_numbered >= MAX_NUMBERED * len(names) > 0
