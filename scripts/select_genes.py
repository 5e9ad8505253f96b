"""Choose the model's genes: variable genes among those common to the given datasets."""

import json

import numpy as np
import pandas as pd
from cellferry.artifacts.features import DatasetFeatures, Features
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import write_artifact
from cellferry.config.settings import GeneSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.features.common_genes import Translations, check_shares, common_shares, print_translations
from cellferry.features.gene_ids import BY_MAP, GeneTable, Harmonized, harmonize, strip_version
from cellferry.features.gene_selection import GeneSelection
from cellferry.features.orthologs import table_of_orthologs
from cellferry.features.variable_genes import variable_rank
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.references import training_sketch
from cellferry.sampling.splits import read_split
from scipy import sparse

WELL_TRANSLATED = 0.9
"""Share of a dataset's genes in `genes.map` below which a warning is printed."""


def select_genes(
    merged: dict[str, str],
    splits: str,
    gene_map: str | None,
    *,
    orthologs: str | None = None,
    genes: str,
    report: str,
    references: list[str],
    gene_ids: dict[str, str],
    settings: GeneSettings,
    seed: int,
    budget: Budget,
) -> None:
    """Write the model's genes, and each dataset's loss of genes.

    Parameters
    ----------
    merged
        Merged file per dataset.
    splits
        Parts of the references; genes are chosen on their training cells.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
    orthologs
        Table of orthologs of two species, or None. The first reference keeps its genes' names.
    genes, report
        Files to write: a table with one row per chosen gene, and a JSON summary.
    references
        Names of the references in `merged`, in the order of `splits`. The first one's gene names win a tie.
    gene_ids
        Per dataset the var column with gene ids, or `auto`.
    settings
        How genes are chosen.
    seed, budget
        Seed of the draw of cells, memory of the job.

    Raises
    ------
    InputError
        If too few genes are common.
    """
    tables = Translations.read(gene_map, orthologs)
    var, gene_totals = {}, {}
    for name, path in merged.items():
        with H5adReader(path) as reader:
            var[name], gene_totals[name] = reader.var, reader.uns["gene_totals"]
    offered = {name: tables.offered(name, var[name], gene_ids[name]) for name in var}
    harmonized = harmonize(offered, reference=references[0])
    say_what_is_translated(harmonized, tables.table)
    print_translations(harmonized, tables, references, gene_totals)
    shares = common_shares(harmonized, references[0])
    check_shares(shares, harmonized, settings.min_common, references[0])

    training = {name: merged[name] for name in references}
    rows = training_sketch(
        list(training.values()),
        read_split(splits, "train"),
        settings.sketch_cells,
        seed=seed,
        need=MEMORY_MODELS["select_genes"],
        budget=budget,
    )
    rank = variable_rank(*read_sketch(training, harmonized, rows), settings.n_variable)
    kept = np.isin(harmonized.common, wanted_genes(settings.keep, harmonized, tables.table))
    chosen = pd.DataFrame({"gene": harmonized.common, "variable_rank": rank, "kept": kept})
    chosen = chosen[(rank < settings.n_variable) | kept]
    with complete(genes) as path:
        chosen.to_csv(path, sep="\t", index=False)

    selected = chosen["gene"].to_list()
    features = Features(
        namespace=harmonized.kind,
        n_selected=len(selected),
        n_common=len(harmonized.common),
        sketch_cells=sum(map(len, rows)),
        datasets={n: loss(harmonized, n, selected, gene_totals[n], shares[n]) for n in merged},
    )
    print(json.dumps(features.as_table(), indent=2))
    write_artifact(features, report)


def say_what_is_translated(harmonized: Harmonized, table: GeneTable | None) -> None:
    """Print the number of genes per dataset that `genes.map` translates."""
    if table is None:
        return
    translated = [name for name, column in harmonized.columns.items() if column.endswith(BY_MAP)]
    if not translated:
        print("genes.map: not needed, all datasets hold ids of one kind")
    for name in translated:
        ids = harmonized.ids[name]
        n = sum(gene is not None for gene in ids)
        doubt = "warning: " if n < len(ids) * WELL_TRANSLATED else ""
        print(f"{doubt}genes.map: names {n} of {len(ids)} genes of {name}; the others are left out")


def read_sketch(
    merged: dict[str, str], harmonized: Harmonized, rows: list[np.ndarray]
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Counts of the common genes, and codes of batches, of the given rows of each file."""
    counts, batches = [], []
    progress = Progress("read", sum(map(len, rows)), "drawn cells")
    for (name, path), some in zip(merged.items(), rows, strict=True):
        with H5adReader(path) as reader:
            counts.append(GeneSelection(harmonized.ids[name], harmonized.common)(reader.rows(some, progress)))
            batches.append(reader.categories("batch")[reader.codes("batch")[some]])
    together = counts[0] if len(counts) == 1 else sparse.vstack(counts, format="csr")
    return together, pd.factorize(np.concatenate(batches))[0]


def wanted_genes(keep: list[str], harmonized: Harmonized, table: GeneTable | None) -> list[str]:
    """Genes of `genes.keep` under the ids in use; the log lists those missing in a dataset."""
    translation = {}
    if table is not None:
        translation = table.to_ensembl if harmonized.kind == "ensembl" else table.to_symbol
    wanted = [translation.get(strip_version(gene), strip_version(gene)) for gene in keep]
    missing = sorted(set(wanted).difference(harmonized.common))
    if missing:
        print(f"warning: genes.keep: not in all datasets, and so not kept: {', '.join(missing)}")
    return wanted


def loss(
    harmonized: Harmonized, name: str, chosen: list[str], gene_totals: np.ndarray, common_share: float
) -> DatasetFeatures:
    """Gene numbers of a dataset, and the share of its counts in the chosen genes."""
    ids = harmonized.ids[name]
    known = [gene for gene in ids if gene is not None]
    return DatasetFeatures(
        column=harmonized.columns[name],
        genes=len(ids),
        harmonized=len(set(known)),
        duplicates_summed=len(known) - len(set(known)),
        untranslated=len(ids) - len(known),
        common=len(harmonized.common),
        common_share=common_share,
        counts_in_selected=float(gene_totals[np.isin(ids, chosen)].sum() / max(1.0, gene_totals.sum())),
    )


if __name__ == "__main__":
    with job(snakemake):
        names = snakemake.params.names
        select_genes(
            dict(zip(names, snakemake.input.merged, strict=True)),
            snakemake.input.splits,
            snakemake.input.gene_map or None,
            orthologs=table_of_orthologs(snakemake.params.orthologs, snakemake.input.orthologs or None),
            genes=snakemake.output.genes,
            report=snakemake.output.report,
            references=snakemake.params.references,
            gene_ids=snakemake.params.gene_ids,
            settings=GeneSettings(**snakemake.params.genes),
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
