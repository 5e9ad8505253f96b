"""Check for enough common genes, from their names only, before any counts are read."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..artifacts.features import Features
from ..artifacts.inspection import Inspection
from ..artifacts.json_files import read_artifact
from ..config.orthologs import KEY
from ..core.problems import Problem
from ..errors import InputError
from .common_genes import (
    Offered,
    Translations,
    best_column,
    check_shares,
    chosen_genes,
    common_shares,
    is_too_little,
)
from .gene_ids import BY_MAP, BY_ORTHOLOGS, harmonize
from .organisms import are_two_organisms, orthologs_remedy, written_as

SHOWN = 3
"""Genes that a message names."""

MIN_PAIRED = 0.2
"""Minimum share of a dataset's genes in a table of its species; whole transcriptomes have a half."""

LOWER = "lower genes.min_common"
RETRAIN = "train on genes that both have (genes.retrain_on_common: true, and no `pretrained`)"
"""Last remedies for datasets with too few genes."""


@dataclass(frozen=True, kw_only=True)
class GeneCheck:
    """Inputs of the gene check besides the datasets.

    Parameters
    ----------
    gene_ids
        Per dataset the var column with gene ids, or `auto`.
    sources
        Names of the datasets among whose common genes the model's are chosen.
    min_common, n_variable
        These keys of the section `genes`.
    gene_map, orthologs
        Paths of the tables of ids and of orthologs, or None.
    model_genes, model_report
        Genes of a pre-trained model, and their summary; None if this run chooses them.
    """

    gene_ids: dict[str, str]
    sources: list[str]
    min_common: float
    n_variable: int
    gene_map: str | None = None
    orthologs: str | None = None
    model_genes: str | None = None
    model_report: str | None = None


def gene_problems(datasets: Iterable[Inspection], check: GeneCheck) -> list[Problem]:
    """Problems of datasets that share too few genes, by the rules of select_genes and subset_common_genes.

    Datasets without ids in the inspection are left to these rules.

    Raises
    ------
    InputError
        If a table of ids or of orthologs cannot be used, or a dataset has no column `gene_id`.
    """
    datasets = list(datasets)
    tables = Translations.read(check.gene_map, check.orthologs)
    offered = {
        dataset.dataset: tables.offered(dataset.dataset, var, check.gene_ids[dataset.dataset])
        for dataset in datasets
        if (var := _var_of(dataset, check.gene_ids[dataset.dataset])) is not None
    }
    if check.model_genes and check.model_report:
        genes = chosen_genes(check.model_genes)
        namespace = read_artifact(Features, check.model_report).namespace
        problems = [
            model_gene_problem(name, own, genes, namespace, len(genes), check.min_common, "the model", tables)
            for name, own in offered.items()
        ]
        return list(filter(None, problems))
    references = [dataset.dataset for dataset in datasets if dataset.role == "reference"]
    if not references or not set(check.sources) <= offered.keys():
        return []
    problems = shared_gene_problems(offered, check.sources, references, check.min_common, tables)
    others = {name: own for name, own in offered.items() if name not in check.sources}
    if problems or not others:
        return problems
    harmonized = harmonize({name: offered[name] for name in references}, reference=references[0])
    # The model's genes are among these, and at least so many.
    n_least = min(check.n_variable, len(harmonized.common))
    found = [
        model_gene_problem(
            name,
            own,
            harmonized.common,
            harmonized.kind,
            n_least,
            check.min_common,
            references[0],
            tables,
        )
        for name, own in others.items()
    ]
    return list(filter(None, found))


def _var_of(dataset: Inspection, gene_id: str) -> pd.DataFrame | None:
    """Genes of a dataset from its inspection; None without ids."""
    names = {column: lines.split("\n") for column, lines in dataset.gene_names.items()}
    if "index" not in names or (gene_id in dataset.gene_id_columns and gene_id not in names):
        return None
    index = pd.Index(names.pop("index"), dtype=object)
    return pd.DataFrame({column: pd.array(ids, dtype="str") for column, ids in names.items()}, index=index)


def lacking(
    name: str,
    what: str,
    offered: Offered,
    other: str,
    of_other: Offered,
    tables: Translations,
    *,
    otherwise: str,
) -> Problem:
    """The problem of a dataset that shares too few genes with another one, or with a model.

    Parameters
    ----------
    name
        The dataset.
    what
        Number of the shared genes, in words.
    offered, of_other
        Results of `candidate_ids` for the two.
    other
        The name of the other one.
    tables
        Tables in use.
    otherwise
        The last remedy for datasets of one species, in the imperative.
    """
    own, others = _own_ids(offered), _own_ids(of_other)
    what += f"; it has {_shown(own)}, {other} has {_shown(others)}"
    remedy = (
        f"name the right var column in datasets.{name}.gene_id, translate its ids with genes.map, "
        f"or {otherwise}"
    )
    if are_two_organisms(own, others) and tables.orthologs is None:
        remedy = orthologs_remedy(own, others)
    elif are_two_organisms(own, others):
        n_found, n_genes = max(((tables.orthologs.n_known(ids), len(ids)) for ids in own), default=(0, 0))
        what += f", and {tables.orthologs.source} pairs {n_found:,} genes of {name}"
        is_of_both = n_found and n_found >= MIN_PAIRED * n_genes
        remedy = otherwise if is_of_both else f"name a table of these two species in {KEY}"
    return Problem(f"datasets.{name}", what, remedy)


def shared_gene_problems(
    offered: dict[str, Offered],
    sources: list[str],
    references: list[str],
    min_common: float,
    tables: Translations,
) -> list[Problem]:
    """Problems of datasets among whose common genes the model's are to be chosen.

    `select_genes` would stop for them: the datasets are compared together and, if they share too little, one
    by one with the first reference, to name those at fault.
    """
    together = {name: offered[name] for name in sources}
    first = references[0]
    try:
        harmonized = harmonize(together, reference=first)
        check_shares(common_shares(harmonized, first), harmonized, min_common, first)
    except InputError as error:
        problems = []
        for name, own in together.items():
            n_shared, is_enough = _shared_with(first, name, together, min_common)
            if not is_enough:
                n_genes = max((len(set(ids) - {None}) for ids in _own_ids(own)), default=0)
                what = f"shares {n_shared:,} of its {n_genes:,} genes with {first}"
                what += f", fewer than genes.min_common allows ({min_common})"
                problems.append(lacking(name, what, own, first, offered[first], tables, otherwise=LOWER))
        return problems or [Problem("genes", str(error))]
    return []


def _shared_with(first: str, name: str, offered: dict[str, Offered], min_common: float) -> tuple[int, bool]:
    """Number of genes that a dataset shares with the first reference, and whether that is enough."""
    try:
        both = harmonize({first: offered[first], name: offered[name]}, reference=first)
    except InputError:
        return 0, False
    return len(both.common), not is_too_little(common_shares(both, first), min_common, first)


def model_gene_problem(
    name: str,
    offered: Offered,
    genes: list[str],
    namespace: str,
    n_least: int,
    min_common: float,
    other: str,
    tables: Translations,
) -> Problem | None:
    """The problem of a query that has too few genes of a model.

    Parameters
    ----------
    name, offered
        The query, and its result of `candidate_ids`.
    genes, namespace
        Candidates of the model's genes, and the kind of their ids.
    n_least
        Number of the model's genes, or a lower bound.
    min_common
        Share of these that the query must have, and at least one gene.
    other
        The owner of these genes: a reference, or the model.
    tables
        Tables in use.
    """
    _, _, present = best_column(offered.get(namespace, {}), genes)
    if present and len(present) / n_least >= min_common:
        return None
    what = f"has {len(present):,} of the {len(genes):,} genes of {other} ({len(present) / len(genes):.0%})"
    what += f", fewer than genes.min_common allows ({min_common})"
    of_model = {namespace: {"index": np.array(genes, dtype=object)}}
    return lacking(name, what, offered, other, of_model, tables, otherwise=RETRAIN)


def _own_ids(offered: Offered) -> list[np.ndarray]:
    """Ids of a dataset's own columns, its names first."""
    own = {
        column: ids
        for columns in offered.values()
        for column, ids in columns.items()
        if BY_MAP not in column and BY_ORTHOLOGS not in column
    }
    return [own[column] for column in sorted(own, key=lambda column: column != "index")]


def _shown(columns: list[np.ndarray]) -> str:
    """The organism and kind of a dataset's genes, and the first of them."""
    genes = [gene for gene in columns[0] if gene is not None][:SHOWN] if columns else []
    return f"{written_as(columns)} ({', '.join(genes)}, ...)"
