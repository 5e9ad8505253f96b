"""Stop before the first long job if a dataset cannot be used, and list all problems together."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from cellferry.artifacts.features import Features
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.problems import Problem, Problems, problems_of
from cellferry.cytometry.marker_names import BACKBONE
from cellferry.cytometry.panels import check_backbone, check_share, joint_panels
from cellferry.cytometry.scaling_table import GIVEN
from cellferry.cytometry.transformation import cofactors_of
from cellferry.cytometry.value_detection import RAW, SCALED, TRANSFORMED, check_kind
from cellferry.datasets.label_check import LabelCheck, merged_names, print_questions, references_of
from cellferry.datasets.unused_names import unused_names
from cellferry.errors import InputError
from cellferry.features.gene_check import GeneCheck, gene_problems
from cellferry.features.orthologs import table_of_orthologs

COLUMNS = {
    "dataset": "dataset",
    "role": "role",
    "format": "format",
    "cells": "cells_kept",
    "cells_in_file": "cells",
    "genes": "genes",
    "nonzeros": "nonzeros",
    "counts": "counts",
    "gene_id": "gene_id",
    "labels": "n_labels",
    "batches": "n_batches",
}
"""Columns of the table, and the inspection's field in each."""


def check_datasets(
    inspected: list[str],
    table: str,
    *,
    parents: dict | str,
    checked: Sequence[str] = (),
    ontology: dict | str | None = None,
    is_a: str | None = None,
    trained_labels: str | None = None,
    trained_genes: str | None = None,
    trained_report: str | None = None,
    gene_sources: list[str] | None = None,
    min_common: float = 0.0,
    cofactor: str | float | dict = "auto",
    genes: GeneCheck | None = None,
) -> None:
    """Write one row per dataset if all datasets can be used.

    The log lists labels that no reference has, each with the most similar label of a reference.

    Parameters
    ----------
    inspected
        Inspections of the datasets (JSON).
    table
        The table to write (tsv).
    parents, ontology, is_a
        As in the configuration's section `labels`.
    checked
        Files to write, one named after each dataset: the hash of its inspection.
    trained_labels
        Labels of a pre-trained reference; None without one.
    trained_genes, trained_report
        Cytometry: markers of a pre-trained model, and the report on them.
    gene_sources
        Cytometry: datasets whose common markers are candidates for the model.
    min_common, cofactor
        The keys `genes.min_common` and `cytometry.cofactor`.
    genes
        Counts: settings of the gene check; None skips it.

    Raises
    ------
    InputError
        If any dataset has a problem; the message lists the problems of all of them.
    """
    datasets = [read_artifact(Inspection, path) for path in inspected]
    for dataset in datasets:
        for warning in dataset.warnings:
            print(f"warning: {dataset.dataset}: {warning}")
    problems = [Problem(dataset.dataset, problem) for dataset in datasets for problem in dataset.problems]
    # Each check relies on those before it.
    labels = LabelCheck(datasets, parents, ontology or {}, is_a)
    problems = problems or labels.problems()
    problems = problems or name_problems(datasets, labels)
    if not problems and trained_labels:
        trained = read_artifact(ReferenceLabels, trained_labels)
        print_questions(datasets, trained.hierarchy.coarser_labels.union(trained.labels))
    problems = problems or panel_problems(
        datasets, gene_sources or [], trained_genes, trained_report, min_common, cofactor
    )
    if not problems and genes and not datasets[0].channels:
        problems = problems_with_genes(datasets, genes)
    if problems:
        raise InputError(Problems(f"the datasets have {len(problems)} problem(s)", tuple(problems)))
    write_table(datasets, table)
    by_name = {dataset.dataset: dataset for dataset in datasets}
    for path in map(Path, checked):
        with complete(path) as temporary:
            temporary.write_text(by_name[path.name].made_from, encoding="utf-8")
    print(Path(table).read_text(encoding="utf-8"), end="")


def write_table(datasets: list[Inspection], table: str) -> None:
    """Write the `COLUMNS` of the datasets, one per row."""
    rows = [{column: getattr(dataset, name) for column, name in COLUMNS.items()} for dataset in datasets]
    with complete(table) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).astype({"nonzeros": "Int64"}).to_csv(
            temporary, sep="\t", index=False
        )


def name_problems(datasets: list[Inspection], labels: LabelCheck) -> list[Problem]:
    """Keys none of whose names match; prints unmatched names of other keys."""
    problems = []
    for unused, warnings in (*unused_markers(datasets), *labels.unused()):
        problems += [Problem("names", problem) for problem in unused]
        for warning in warnings:
            print(f"warning: {warning}")
    return problems


def panel_problems(
    datasets: list[Inspection],
    gene_sources: list[str],
    trained_genes: str | None,
    trained_report: str | None,
    min_common: float,
    cofactor: str | float | dict,
) -> list[Problem]:
    """Problems of panels and values of cytometry datasets."""
    if not datasets[0].channels or not (trained_genes or references_of(datasets)):
        return []
    try:
        check_panels(datasets, gene_sources, trained_genes, min_common, cofactor)
        check_values(datasets, trained_report)
    except InputError as error:
        return [Problem("panels", str(error))]
    return []


def problems_with_genes(datasets: list[Inspection], check: GeneCheck) -> list[Problem]:
    """Problems of genes of count datasets."""
    try:
        return gene_problems(datasets, check)
    except InputError as error:
        return problems_of(error, "genes")


def unused_markers(datasets: list[Inspection]) -> Iterator[tuple[list[str], list[str]]]:
    """Problems and warnings about names in `cytometry.markers` without a channel."""
    named = merged_names(dataset.named.get("cytometry.markers", {}) for dataset in datasets)
    channels = {channel.channel for dataset in datasets for channel in dataset.channels}
    yield unused_names(named, key="cytometry.markers", what="channel of a dataset", known=channels)


def check_panels(
    datasets: list[Inspection],
    gene_sources: list[str],
    trained_genes: str | None,
    min_common: float,
    cofactor: str | float | dict,
) -> None:
    """Refuse cytometry datasets that share too few markers with each other or with a trained model.

    Also refused are cofactors of markers that the model will not have.
    """
    markers = {dataset.dataset: dataset.markers for dataset in datasets}
    references = [dataset.dataset for dataset in references_of(datasets)]
    if trained_genes:
        model = pd.read_csv(trained_genes, sep="\t", dtype={"gene": str}, keep_default_na=False)
        backbone = model["gene"][model[BACKBONE]].to_list()
    else:
        panels = joint_panels({name: markers[name] for name in gene_sources}, references)
        check_backbone(panels, references, min_common)
        cofactors_of(cofactor, panels.markers)
        backbone = panels.backbone
    for name, panel in markers.items():
        check_share(name, panel, backbone, min_common)


def check_values(datasets: list[Inspection], trained_report: str | None) -> None:
    """Refuse a mix of scaled and unscaled datasets, and warn of other differences in values."""
    seen = {f"datasets.{dataset.dataset}": dataset.intensities for dataset in datasets}
    if trained_report:
        trained = read_artifact(Features, trained_report).values or {}
        if GIVEN in trained:  # a pre-trained model, which cannot be changed
            for dataset in datasets:
                check_kind(dataset.dataset, dataset.intensities, trained)
        for name, kind in trained.items():
            seen["the model" if name == GIVEN else f"the earlier run ({name})"] = kind
    scaled = [name for name, intensities in seen.items() if intensities.values == SCALED]
    others = [name for name in seen if name not in scaled]
    if scaled and others:
        raise InputError(
            f"{scaled[0]}: its values are scaled to 0..1 ({seen[scaled[0]].why}), and those of "
            f"{', '.join(others)} are not; provide all as measured, or, if these are raw, "
            "set datasets.NAME.transformed: false"
        )
    by_values, by_technology = defaultdict(list), defaultdict(list)
    for name, intensities in seen.items():
        by_values[intensities.values].append(name)
        if intensities.technology:  # unknown for a pre-trained model
            by_technology[intensities.technology].append(name)
    if by_values[RAW] and by_values[TRANSFORMED]:
        raw, transformed = (", ".join(by_values[kind]) for kind in (RAW, TRANSFORMED))
        print(
            f"warning: values are raw in {raw} and transformed already in {transformed}; they agree only if "
            "these are arcsinh(value / cofactor), of the cofactor that is used here (cytometry.cofactor)"
        )
    if len(by_technology) > 1:
        listed = ", ".join(
            f"{intensities} in {' and '.join(names)}" for intensities, names in by_technology.items()
        )
        print(f"warning: datasets are of several technologies ({listed}); they may not agree")


if __name__ == "__main__":
    with job(snakemake):
        check_datasets(
            list(snakemake.input.inspected),
            snakemake.output.table,
            checked=snakemake.output.checked,
            parents=snakemake.params.parents,
            ontology=snakemake.params.ontology,
            is_a=snakemake.params.is_a,
            trained_labels=snakemake.input.trained or None,
            trained_genes=snakemake.input.trained_genes or None,
            trained_report=snakemake.input.trained_report or None,
            gene_sources=snakemake.params.gene_sources,
            min_common=snakemake.params.min_common,
            cofactor=snakemake.params.cofactor,
            genes=GeneCheck(
                gene_ids=snakemake.params.gene_ids,
                sources=snakemake.params.gene_sources,
                min_common=snakemake.params.min_common,
                n_variable=snakemake.params.n_variable,
                gene_map=snakemake.input.gene_map or None,
                orthologs=table_of_orthologs(snakemake.params.orthologs, snakemake.input.orthologs or None),
                model_genes=snakemake.input.trained_genes or None,
                model_report=snakemake.input.trained_report or None,
            ),
        )
