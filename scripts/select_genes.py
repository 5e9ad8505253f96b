"""Choose the genes of the model: those that all given datasets share, and among them the variable ones."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from cellferry.artifacts.features import DatasetFeatures, Features
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import write_artifact
from cellferry.config.settings import GeneSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.errors import InputError
from cellferry.features.gene_ids import (
    BY_MAP,
    GeneTable,
    Harmonized,
    candidate_ids,
    harmonize,
    read_gene_table,
    strip_version,
)
from cellferry.features.gene_selection import GeneSelection
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.references import training_sketch
from cellferry.sampling.splits import read_split
from scipy import sparse

WELL_TRANSLATED = 0.9
"""Share of a dataset's genes that `genes.map` names without a warning."""

MIN_CELLS_PER_BATCH = 200
"""Below this, a batch's own mean-variance fit is noise, and variable genes are chosen over all cells."""


def select_genes(
    merged: dict[str, str],
    splits: str,
    gene_map: str | None,
    *,
    genes: str,
    report: str,
    references: list[str],
    gene_ids: dict[str, str],
    settings: GeneSettings,
    seed: int,
    budget: Budget,
) -> None:
    """Write the genes the model will see, and what every dataset loses.

    Parameters
    ----------
    merged
        Merged file per dataset.
    splits
        Parts of the references; genes are chosen on their training cells.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
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
    table = read_gene_table(gene_map) if gene_map else None
    var, gene_totals = {}, {}
    for name, path in merged.items():
        with H5adReader(path) as reader:
            var[name], gene_totals[name] = reader.var, reader.uns["gene_totals"]
    harmonized = harmonize(offered_ids(var, gene_ids, table), reference=references[0])
    say_what_is_translated(harmonized, table)
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
    sketch = read_sketch(training, harmonized, rows)
    keep = wanted_genes(settings.keep, harmonized, table)
    chosen = choose(sketch, harmonized, n_variable=settings.n_variable, keep=keep)
    with complete(genes) as path:
        chosen.to_csv(path, sep="\t", index=False)

    selected = chosen["gene"].to_list()
    features = Features(
        namespace=harmonized.kind,
        n_selected=len(selected),
        n_common=len(harmonized.common),
        sketch_cells=sketch.n_obs,
        datasets={n: loss(harmonized, n, selected, gene_totals[n], shares[n]) for n in merged},
    )
    print(json.dumps(features.as_table(), indent=2))
    write_artifact(features, report)


def offered_ids(
    var: dict[str, pd.DataFrame], gene_ids: dict[str, str], table: GeneTable | None
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """`candidate_ids` of every dataset; an error names the dataset."""
    offered = {}
    for name in var:
        try:
            offered[name] = candidate_ids(var[name], gene_id=gene_ids[name], table=table)
        except InputError as error:
            raise InputError(f"datasets.{name}.{error}") from error
    return offered


def say_what_is_translated(harmonized: Harmonized, table: GeneTable | None) -> None:
    """Print how many genes of each dataset `genes.map` translates, where it is given."""
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


def common_shares(harmonized: Harmonized, reference: str) -> dict[str, float]:
    """Common genes as a share of each dataset's genes, or of the reference's where it has fewer."""
    n_genes = {name: len(set(ids) - {None}) for name, ids in harmonized.ids.items()}
    return {name: len(harmonized.common) / min(n, n_genes[reference]) for name, n in n_genes.items()}


def check_shares(shares: dict[str, float], harmonized: Harmonized, min_common: float, reference: str) -> None:
    """Refuse to go on with so few genes of a dataset that confidence would mean nothing."""
    if min((share for name, share in shares.items() if name != reference), default=1) >= min_common:
        return
    sizes = {name: len(set(ids) - {None}) for name, ids in harmonized.ids.items()}
    listed = ", ".join(f"{name} {share:.0%} of {sizes[name]}" for name, share in shares.items())
    raise InputError(
        f"only {len(harmonized.common)} genes are common to all datasets ({listed}), "
        f"and genes.min_common is {min_common}. The dataset with the fewest genes is "
        f"'{min(sizes, key=sizes.get)}': map it in a run of its own or leave it out, name the right var "
        "column in datasets.NAME.gene_id, translate ids with genes.map, or lower genes.min_common"
    )


def read_sketch(merged: dict[str, str], harmonized: Harmonized, rows: list[np.ndarray]) -> ad.AnnData:
    """Counts of the common genes, and batches, of the given rows of each file."""
    counts, batches = [], []
    progress = Progress("read", sum(map(len, rows)), "drawn cells")
    for (name, path), some in zip(merged.items(), rows, strict=True):
        with H5adReader(path) as reader:
            counts.append(GeneSelection(harmonized.ids[name], harmonized.common)(reader.rows(some, progress)))
            batches.append(reader.categories("batch")[reader.codes("batch")[some]])
    together = counts[0] if len(counts) == 1 else sparse.vstack(counts, format="csr")
    batch = pd.Categorical(np.concatenate(batches))
    return ad.AnnData(together, obs=pd.DataFrame({"batch": batch}, index=np.arange(len(batch)).astype(str)))


def choose(sketch: ad.AnnData, harmonized: Harmonized, *, n_variable: int, keep: set[str]) -> pd.DataFrame:
    """The model's genes: `gene`, its `variable_rank` (0 first), and whether it is `kept` in any case."""
    rank = variable_rank(sketch, n_variable)
    kept = np.isin(harmonized.common, keep)
    chosen = pd.DataFrame({"gene": harmonized.common, "variable_rank": rank, "kept": kept})
    return chosen[(rank < n_variable) | kept]


def variable_rank(sketch: ad.AnnData, n_variable: int) -> np.ndarray:
    """Rank of every gene by variability, 0 first (Seurat v3's method, as in scanpy)."""
    if sketch.n_vars <= n_variable:
        return np.arange(sketch.n_vars)
    smallest_batch = sketch.obs["batch"].value_counts().min()
    for batch_key in ["batch", None] if smallest_batch >= MIN_CELLS_PER_BATCH else [None]:
        try:
            ranked = sc.pp.highly_variable_genes(
                sketch, flavor="seurat_v3", n_top_genes=n_variable, batch_key=batch_key, inplace=False
            )
        except ValueError as error:  # its local regression fails on few, shallow cells
            print(f"variable genes by Seurat v3's method, batch_key {batch_key}: {error}")
            continue
        n_batches = ranked.get("highly_variable_nbatches", pd.Series(0, index=ranked.index))
        order = np.lexsort([-n_batches, ranked["highly_variable_rank"].fillna(np.inf)])
        break
    else:
        print("variable genes are ranked by the variance of their log-normalized counts instead")
        order = np.argsort(-log_variance(sketch.X), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def log_variance(counts: sparse.csr_matrix) -> np.ndarray:
    """Variance of each gene's log1p of counts per 10,000."""
    totals = np.maximum(np.asarray(counts.sum(axis=1)), 1)
    values = counts.multiply(1e4 / totals).log1p().tocsr()
    return np.asarray(values.power(2).mean(axis=0) - np.square(values.mean(axis=0))).ravel()


def wanted_genes(keep: list[str], harmonized: Harmonized, table: GeneTable | None) -> list[str]:
    """Genes of `genes.keep` under the ids in use; those that not all datasets have are named in the log."""
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
    """Numbers of a dataset's genes, and the share of its counts in the chosen ones."""
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
            genes=snakemake.output.genes,
            report=snakemake.output.report,
            references=snakemake.params.references,
            gene_ids=snakemake.params.gene_ids,
            settings=GeneSettings(**snakemake.params.genes),
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
