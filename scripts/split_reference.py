"""Split all references together into training, validation and test cells."""

import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.config.settings import SplitSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.labels.tables import read_ontology
from cellferry.labels.tree import tree_of_labels
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.labeled_split import describe_labels, hierarchy_above, split_labeled
from cellferry.sampling.references import cell_bounds, joint_codes
from cellferry.sampling.splits import DROPPED, PARTS


def split_reference(
    merged: list[str],
    inspected: list[str],
    splits: str,
    about_labels: str,
    *,
    settings: SplitSettings,
    subsample: int | None,
    parents: dict | str,
    ontology: dict | str,
    is_a: str | None = None,
    seed: int,
    budget: Budget,
) -> None:
    """Write the part of each reference cell, and a summary of the labels.

    Parameters
    ----------
    merged
        The merged references; their obs holds `label` and `batch`.
    inspected
        What `inspect_dataset` wrote for each of them.
    splits
        Parquet file to write: one row per cell, file after file in their order, column `split` with
        `train`, `validation`, `test`, `rare` for a cell of a rare label, or null for a cell
        that is unlabeled or unused.
    about_labels
        JSON file to write, see `cellferry.artifacts.labels.ReferenceLabels`.
    settings
        Settings of the split.
    subsample
        Cells to use at most, see `cellferry.sampling.labeled_split.split_labeled`.
    parents, ontology, is_a
        As in the configuration's section `labels`.
    seed, budget
        Seed of the split, memory of the job.

    Raises
    ------
    InputError
        If fewer than two labels remain, `split.by` cannot be followed, or labels do not form a hierarchy.
    """
    budget.require(MEMORY_MODELS["split_reference"], cells=int(cell_bounds(merged)[-1]))
    labels, names = joint_codes(merged, "label")
    batches, _ = joint_codes(merged, "batch")
    tree = tree_of_labels(parents, ontology, is_a, names)
    split, table = split_labeled(
        labels,
        names,
        batches,
        settings,
        seed=seed,
        where=", ".join(merged),
        label_key="datasets.NAME.label",
        subsample=subsample,
        parents=tree,
    )
    datasets = [read_artifact(Inspection, path) for path in inspected]
    hierarchy = hierarchy_above(table, {dataset.dataset: dataset.hierarchy for dataset in datasets}, tree)
    write_artifact(describe_labels(table, hierarchy, read_ontology(ontology)), about_labels)
    dictionary = pa.DictionaryArray.from_arrays(pa.array(split, mask=split == DROPPED), pa.array(PARTS))
    with complete(splits) as path:
        pq.write_table(pa.table({"split": dictionary}), path)


if __name__ == "__main__":
    with job(snakemake):
        split_reference(
            list(snakemake.input.merged),
            list(snakemake.input.inspected),
            snakemake.output.splits,
            snakemake.output.labels,
            settings=SplitSettings(**snakemake.params.split),
            subsample=snakemake.params.subsample,
            parents=snakemake.params.parents,
            ontology=snakemake.params.ontology,
            is_a=snakemake.params.is_a,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
