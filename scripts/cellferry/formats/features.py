"""Selection of the features that are genes, by the types and genomes of 10x, in any format.

Cell Ranger writes genes, antibodies, guides and peaks into one matrix. An antibody often has the name of its
protein's gene, so that its counts would be added to the gene's. Panels contain controls (`controls`).
"""

import re

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from .controls import CONTROL_TYPES, Controls, controls_of, in_words
from .interface import Header

GENE_EXPRESSION = "Gene Expression"
GENE_TYPES = {GENE_EXPRESSION.casefold(), "gex", "rna", "gene"}
OTHER_TYPES = {
    "antibody capture",
    "antigen capture",
    "crispr guide capture",
    "custom",
    "multiplexing capture",
    "peaks",
}
"""Types that 10x gives to other features; a column without any of all these has another meaning."""

OTHERS_BESIDE_GENES = {"adt", "hto", "protein", "protein expression", "atac"}
"""Names of such features in other programs, if used beside genes; alone, these words may mean something
else."""

TYPE_COLUMNS = ("featuretypes", "featuretype", "type", "modality")
"""Columns of types, without case, dots and underscores."""

GENES = "genes"
"""Key in `Header.details`: positions of the genes among all features, and the number of all features."""

CONTROLS = "controls"
"""Key in `Header.details`: the `Controls` of a file, if any."""


def only_genes(header: Header) -> Header:
    """Remove features from a header that are not genes or of another genome.

    Raises
    ------
    InputError
        If there are no genes, or the genome is not selected or missing.
    """
    column = _type_column(header.var)
    controls = controls_of(header.var.index, None if column is None else _types(header.var[column]))
    is_control = np.isin(np.arange(len(header.var)), controls.positions)
    kept = _are_genes(header) & _are_of_genome(header) & ~is_control
    if kept.all():
        return header
    if is_control.all():
        raise InputError(
            f"{header.path}: all of its {len(kept)} features are controls ({in_words(controls.kinds)}); name "
            "the file with the genes"
        )
    remarks, details = [], {GENES: (np.flatnonzero(kept), len(kept))}
    if controls.kinds:  # reported with their counts
        details[CONTROLS] = controls
    dropped = header.var[~kept & ~is_control]
    if len(dropped):
        listed = "" if column is None else f" ({_counted(dropped[column])})"
        remarks.append(f"{len(dropped)} features are left out{listed}")
    return header.replace(
        var=header.var[kept],
        n_genes=int(kept.sum()),
        details=header.details | details,
        remarks=[*header.remarks, *remarks],
    )


def as_stored(header: Header) -> Header:
    """The header with all features of the file, as the reader needs it."""
    return header.replace(n_genes=header.details[GENES][1]) if GENES in header.details else header


def genes_of(counts: sparse.csr_matrix, header: Header) -> sparse.csr_matrix:
    """The columns of the genes; the block itself if all are genes."""
    return counts[:, header.details[GENES][0]] if GENES in header.details else counts


def control_counts(counts: sparse.csr_matrix, header: Header) -> np.ndarray | None:
    """Counts of the controls per cell, from those of all features; None if the file has no controls."""
    controls: Controls | None = header.details.get(CONTROLS)
    return None if controls is None else controls.counts(counts)


def _type_column(var: pd.DataFrame) -> str | None:
    by_name = {re.sub("[._ ]", "", str(column)).casefold(): column for column in var.columns}
    for name in TYPE_COLUMNS:
        types = set(_types(var[by_name[name]])) if name in by_name else set()
        is_of_10x = not types.isdisjoint(OTHER_TYPES | CONTROL_TYPES | {GENE_EXPRESSION.casefold()})
        if is_of_10x or not (types.isdisjoint(GENE_TYPES) or types.isdisjoint(OTHERS_BESIDE_GENES)):
            return by_name[name]
    return None


def _types(values: pd.Series) -> pd.Series:
    """Types in lower case without surrounding blanks; empty if missing."""
    return values.where(values.notna(), "").astype(str).str.strip().str.casefold()


def _are_genes(header: Header) -> np.ndarray:
    column = _type_column(header.var)
    if column is None:
        return np.ones(len(header.var), dtype=bool)
    types = _types(header.var[column])
    # Features without a type are kept.
    kept = types.isin(GENE_TYPES | {""}).to_numpy()
    if not types.isin(GENE_TYPES).any():
        raise InputError(
            f"{header.path}: holds no '{GENE_EXPRESSION}' features, only {_listed(header.var[column])}; name "
            "the file with the genes"
        )
    return kept


def _are_of_genome(header: Header) -> np.ndarray:
    """Mask of the selected genome; a 10x .h5 file with genes of several genomes requires a selection."""
    named = header.options.genome
    everything = np.ones(len(header.var), dtype=bool)
    if "genome" not in header.var or (named is None and header.format != "10x_h5"):
        return everything
    genomes = list(dict.fromkeys(header.var["genome"][_are_genes(header)]))
    if named is not None and named not in genomes:
        raise InputError(
            f"{header.path}: {header.options.key('genome')} is '{named}', but the file contains "
            f"{', '.join(map(str, genomes))}; set it to one of them"
        )
    if named is None and len(genomes) > 1:
        raise InputError(
            f"{header.path}: holds genes of {len(genomes)} genomes, {', '.join(genomes)}; "
            f"set {header.options.key('genome')} to one of them"
        )
    return everything if named is None else (header.var["genome"] == named).to_numpy()


def _listed(values: pd.Series) -> str:
    return ", ".join(f"'{value}'" for value in dict.fromkeys(values))


def _counted(values: pd.Series) -> str:
    return ", ".join(f"{value}: {n}" for value, n in values.value_counts(sort=False).items())
