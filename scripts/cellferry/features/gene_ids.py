"""Gene ids: their kinds, translation to one kind, and genes common to all datasets."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.reading import readable
from ..core.table_start import rows_from_header, table_start
from ..errors import InputError

if TYPE_CHECKING:
    from .orthologs import Orthologs

ENSEMBL = re.compile(r"^(ENS[A-Z]*G\d{6,})(\.\d+)?(_PAR_Y)?$")
KINDS = ("ensembl", "symbol")
BY_MAP = ", by genes.map"
"""Ending of the name of a column whose ids are translated."""
BY_ORTHOLOGS = ", by genes.orthologs"
"""Part of the name of a column translated to another species."""


@dataclass(frozen=True)
class GeneTable:
    """Ensembl ids and symbols side by side, to translate one into the other."""

    to_symbol: dict[str, str]
    to_ensembl: dict[str, str]


@dataclass(frozen=True)
class Harmonized:
    """The genes of every dataset under ids of one kind.

    Attributes
    ----------
    kind
        `ensembl` or `symbol`.
    ids
        Per dataset, one id per gene of its file, in the file's order; None if missing.
    columns
        Per dataset, the var column that the ids come from.
    common
        Ids that every dataset has, in the order of the reference.
    """

    kind: str
    ids: dict[str, np.ndarray]
    columns: dict[str, str]
    common: list[str]


def id_kind(ids: np.ndarray) -> str:
    """Kind of gene ids: `ensembl` if most look like it, `symbol` otherwise (numeric ids included)."""
    matches = sum(ENSEMBL.match(str(value)) is not None for value in ids)
    return "ensembl" if matches > len(ids) / 2 else "symbol"


def strip_version(gene: str) -> str:
    """Ensembl id without its version: ENSG00000139618.19 -> ENSG00000139618; other ids unchanged."""
    match = ENSEMBL.match(gene)
    return match[1] if match else gene


def read_gene_table(path: str | Path) -> GeneTable:
    """Read a two-column table of Ensembl ids and symbols, in either order, with or without a header.

    The first row of a duplicate id is used. A row with Ensembl ids in both columns (of another release or
    species, or instead of a missing symbol) is skipped.

    Raises
    ------
    InputError
        If no row holds an Ensembl id and a symbol.
    """
    to_symbol: dict[str, str] = {}
    to_ensembl: dict[str, str] = {}
    with readable(Path(path)):
        start = table_start(Path(path), blanks="regular")
        for _, row in rows_from_header(Path(path), start) if start else ():
            values = [strip_version(value.strip()) for value in row[:2]]
            if len(values) < 2 or not all(values):
                continue
            if not ENSEMBL.match(values[0]):
                values.reverse()
            if ENSEMBL.match(values[0]) and not ENSEMBL.match(values[1]):
                to_symbol.setdefault(values[0], values[1])
                to_ensembl.setdefault(values[1], values[0])
    if not to_symbol:
        raise InputError(
            f"genes.map: {path} has no row with an Ensembl id and a symbol in its first two columns; "
            "write one row per gene: Ensembl id, symbol"
        )
    return GeneTable(to_symbol, to_ensembl)


def symbols_beside(genes: list[str], var: pd.DataFrame | None, table: GeneTable | None) -> list[str]:
    """Symbols of genes with Ensembl ids, from a dataset or a table; the ids without a symbol.

    Parameters
    ----------
    genes
        Ids of the genes.
    var
        Genes of a dataset that may have both, or None.
    table
        Ensembl ids and symbols, or None; it takes precedence over the dataset.
    """
    known: dict[str, str] = {}
    if id_kind(genes) == "ensembl":
        offered = candidate_ids(var, gene_id="auto", table=None) if var is not None else {}
        if all(offered.get(kind) for kind in KINDS):
            wanted = set(genes)
            ids = max(offered["ensembl"].values(), key=lambda column: len(wanted.intersection(column)))
            beside = next(iter(offered["symbol"].values()))
            known = {gene: symbol for gene, symbol in zip(ids, beside, strict=True) if gene and symbol}
        known |= table.to_symbol if table is not None else {}
    return [known.get(gene, gene) for gene in genes]


def candidate_ids(
    var: pd.DataFrame, *, gene_id: str, table: GeneTable | None, orthologs: "Orthologs | None" = None
) -> dict[str, dict[str, np.ndarray]]:
    """Ids a dataset can offer.

    Parameters
    ----------
    var
        Its genes.
    gene_id
        The column to take (`auto`: the index and every column of strings).
    table
        Translation for a dataset that holds ids of one kind only.
    orthologs
        Pairs of genes of two species.

    Returns
    -------
    For each kind the columns of that kind, each with one id (or None) per gene. Columns
    translated by `table` are added only if the dataset has no column of that kind. The same columns in the
    names of the other species follow, if `orthologs` has any of their genes.

    Raises
    ------
    InputError
        If there is no column `gene_id`.
    """
    candidates: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in KINDS}
    for name, ids in id_columns(var, gene_id).items():
        candidates[id_kind(ids)][name] = ids
    _translate_kinds(candidates, table)
    if orthologs is not None:
        others: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in KINDS}
        for columns_of_kind in candidates.values():
            for name, ids in columns_of_kind.items():
                for kind, translated in orthologs.translations(ids).items():
                    others[kind][f"{name}{BY_ORTHOLOGS}"] = translated
        _translate_kinds(others, table)
        for kind in KINDS:
            candidates[kind] |= others[kind]
    return candidates


def id_columns(var: pd.DataFrame, gene_id: str = "auto") -> dict[str, np.ndarray]:
    """Columns of var that may hold ids, by name: one id without its version (or None) per gene.

    Parameters
    ----------
    var
        Genes of a dataset.
    gene_id
        The column to take (`auto`: the index, and every column of strings most of which are different).

    Raises
    ------
    InputError
        If there is no column `gene_id`.
    """
    columns = {"index": var.index.to_numpy()}
    for name in var.columns.drop("index", errors="ignore"):
        if pd.api.types.is_string_dtype(var[name].dtype) or isinstance(var[name].dtype, pd.CategoricalDtype):
            columns[str(name)] = var[name].to_numpy()
    if gene_id != "auto":
        if gene_id not in columns:
            raise InputError(f"gene_id: there is no var column '{gene_id}'; there are: {', '.join(columns)}")
        columns = {gene_id: columns[gene_id]}
    ids = {
        name: np.array([_clean(value) for value in values], dtype=object) for name, values in columns.items()
    }
    # A column such as `feature_biotype` does not identify genes.
    return {
        name: own
        for name, own in ids.items()
        if name == "index" or gene_id != "auto" or len(set(own)) > len(own) / 2
    }


def _translate_kinds(candidates: dict[str, dict[str, np.ndarray]], table: GeneTable | None) -> None:
    """Add the columns of a kind that is missing, translated from the other kind."""
    if table is None:
        return
    translations = {"ensembl": ("symbol", table.to_ensembl), "symbol": ("ensembl", table.to_symbol)}
    for kind, (other, translation) in translations.items():
        if not candidates[kind]:
            candidates[kind] = {
                f"{name}{BY_MAP}": np.array([translation.get(gene) for gene in ids], dtype=object)
                for name, ids in candidates[other].items()
            }


def _clean(value: object) -> str | None:
    return None if pd.isna(value) or not str(value).strip() else strip_version(str(value).strip())


def harmonize(candidates: dict[str, dict[str, dict[str, np.ndarray]]], *, reference: str) -> Harmonized:
    """Choose one kind of id, and for every dataset the column, so that most genes are shared.

    Parameters
    ----------
    candidates
        Per dataset, what `candidate_ids` gives.
    reference
        Name of the reference among them. It keeps its own genes: others are named as those of its species.

    Raises
    ------
    InputError
        If the datasets share no gene.
    """
    best: Harmonized | None = None
    # The reference's own kind, if two kinds share as many genes.
    for kind in sorted(KINDS, key=lambda kind: "index" not in candidates[reference][kind]):
        for reference_column, reference_ids in candidates[reference][kind].items():
            if BY_ORTHOLOGS in reference_column:
                continue
            ids, columns = {reference: reference_ids}, {reference: reference_column}
            common = set(reference_ids) - {None}
            for name, offered in candidates.items():
                if name != reference and offered[kind]:
                    reference_set = set(reference_ids)
                    columns[name] = max(
                        offered[kind], key=lambda c: len(reference_set.intersection(offered[kind][c]))
                    )
                    ids[name] = offered[kind][columns[name]]
                    common &= set(ids[name])
            if len(ids) == len(candidates) and (best is None or len(common) > len(best.common)):
                ordered = [gene for gene in dict.fromkeys(reference_ids) if gene in common]
                best = Harmonized(kind, ids, columns, ordered)
    if best is None or not best.common:
        examples = "; ".join(
            f"{name}: {', '.join(str(gene) for gene in list(_any_ids(offered))[:3])}"
            for name, offered in candidates.items()
        )
        raise InputError(
            f"the datasets have no gene in common ({examples}). If some hold Ensembl ids and others symbols, "
            "name a two-column table in genes.map; if the ids are in another var column, name it in "
            "datasets.NAME.gene_id; if they are of two species, name their orthologs in genes.orthologs"
        )
    return best


def _any_ids(offered: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    return next((ids for columns in offered.values() for ids in columns.values()), np.array([]))
