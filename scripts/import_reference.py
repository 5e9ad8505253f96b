"""Import a pre-trained model and its latents as the reference."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from cellferry.artifacts.features import Features
from cellferry.artifacts.json_files import write_artifact
from cellferry.config.settings import LabelSettings, PretrainedSettings, SplitSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.core.text import first_control
from cellferry.cytometry.channels import channel_kind
from cellferry.cytometry.marker_names import BACKBONE, MARKER, listed
from cellferry.cytometry.scaling_table import told_scaling
from cellferry.cytometry.transformation import write_transformation
from cellferry.errors import InputError
from cellferry.features.gene_ids import id_kind
from cellferry.formats.latents import LatentTable, open_latents
from cellferry.labels.names import LabelNames
from cellferry.labels.tables import read_ontology
from cellferry.labels.tree import tree_of_labels
from cellferry.model.imported import ImportedModel, import_model, load_checked
from cellferry.model.plain_arrays import encoder_of, scanvi_classifier
from cellferry.model.scvi_models import BaseModelClass, set_up_torch
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.labeled_split import describe_labels, hierarchy_above, split_labeled

ONE_BATCH = "reference"
"""Batch of all cells without a batch column."""


@dataclass(frozen=True)
class WrittenFiles:
    """Files that the rules of a trained reference would write.

    Parameters
    ----------
    genes, report
        As select_genes or select_markers writes them.
    model, history
        Folder and table as train_reference_model writes them; the history is empty.
    labels
        As split_reference writes it.
    mapped
        By part (`train`, `validation`, `test`) the file of its mapped cells, as map_query writes it.
    """

    genes: str
    report: str
    model: str
    history: str
    labels: str
    mapped: dict[str, str]


def import_reference(
    pretrained: PretrainedSettings,
    written: WrittenFiles,
    *,
    split: SplitSettings,
    labels: LabelSettings,
    modality: str,
    cofactor: str | float | dict,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Write the files of a trained reference that do not need its counts.

    Parameters
    ----------
    pretrained
        The model and its latents.
    written
        Files to write.
    split, labels
        Settings of the split, and label names.
    modality, cofactor
        Kind of the datasets, and the key `cytometry.cofactor`.
    seed, budget, threads
        Seed of the split, memory and cores of the job.

    Raises
    ------
    InputError
        If the model or its latents cannot be used.
    """
    accelerator = set_up_torch(threads=threads, seed=seed, gpu=0)
    table = open_latents(pretrained.latents, pretrained.key)
    check_columns(table, pretrained)
    label_names = LabelNames(labels.rename, labels.missing)
    cells = label_and_batch_codes(table, pretrained, label_names)
    n_cells = len(cells.labels)
    budget.require(MEMORY_MODELS["import_reference"], cells=n_cells)
    tree = tree_of_labels(labels.parents, labels.ontology, labels.is_a, cells.names)
    parts, counted = split_labeled(
        cells.labels,
        cells.names,
        cells.batches,
        split,
        seed=seed,
        where=pretrained.latents,
        label_key="pretrained.label",
        parents=tree,
    )
    known = describe_labels(counted, hierarchy_above(counted, {}, tree), read_ontology(labels.ontology))
    with complete(written.model) as folder:
        taken, features, adopted = take_model_in(
            pretrained,
            folder,
            width=table.width,
            modality=modality,
            cofactor=cofactor,
            seed=seed,
            accelerator=accelerator,
        )
        encoder_of(adopted).save(folder)
        save_scanvi_classifier(adopted, known.hierarchy.leaves, label_names, folder)
    print(f"{len(taken.genes)} genes ({features.namespace}), {table.width} latents, {n_cells} cells")
    write_genes(taken, features, written.genes, written.report)
    write_parts(table, parts, pretrained, label_names, written.mapped)
    write_artifact(known, written.labels)
    with complete(written.history) as path:
        path.write_text("epoch,train_loss,validation_loss\n", encoding="utf-8")


def take_model_in(
    pretrained: PretrainedSettings,
    folder: Path,
    *,
    width: int,
    modality: str,
    cofactor: str | float | dict,
    seed: int,
    accelerator: str,
) -> tuple[ImportedModel, Features, BaseModelClass]:
    """Save the model in a folder as train_reference_model does.

    Returns
    -------
    The model's contents, the summary of its genes or markers, and the model loaded from the folder.

    Raises
    ------
    InputError
        If the model cannot be used, or its latents differ from the given `width` per cell.
    """
    taken = import_model(
        pretrained.model,
        folder,
        modality=modality,
        backbone=pretrained.backbone,
        trust=pretrained.trust,
    )
    if modality == "cytometry":
        features = describe_markers(taken, pretrained, cofactor)
        write_transformation(features.transformation, features.values, folder)
    else:
        features = describe_genes(taken)
    adopted = load_checked(str(folder), taken, seed=seed, accelerator=accelerator, named=pretrained.model)
    if adopted.module.n_latent != width:
        raise InputError(
            f"pretrained.latents: {pretrained.latents} has {width} latents per cell, and the "
            f"model {pretrained.model} makes {adopted.module.n_latent}; name the latents that this model "
            "made (pretrained.key)"
        )
    if not adopted.module.encode_covariates:
        print("the model's encoder takes no batch: queries are mapped by the model as it is (no surgery)")
    return taken, features, adopted


def check_columns(table: LatentTable, pretrained: PretrainedSettings) -> None:
    """Refuse a table without the columns that the configuration names."""
    for key in ("label", "batch"):
        column = getattr(pretrained, key)
        if column is not None and column not in table.columns:
            raise InputError(
                f"pretrained.{key}: {pretrained.latents} has no column '{column}'; it has: "
                f"{', '.join(table.columns) or 'none'}"
            )


class CellCodes(NamedTuple):
    """Label and batch of all cells as codes.

    Attributes
    ----------
    labels, batches
        One code per cell (int32), -1 for a cell without a label.
    names
        Labels by code.
    """

    labels: np.ndarray
    batches: np.ndarray
    names: np.ndarray


def label_and_batch_codes(
    table: LatentTable, pretrained: PretrainedSettings, label_names: LabelNames
) -> CellCodes:
    """Read labels and batches, block by block."""
    known: dict[str, dict[str, int]] = {"label": {}, "batch": {}}
    codes: dict[str, list[np.ndarray]] = {"label": [], "batch": []}
    n_cells = 0
    for cells, annotation, _ in read_cells(table, pretrained, label_names):
        if found := first_control(map(str, cells)):
            raise InputError(
                f"pretrained.latents: cell {n_cells + found.number} of {pretrained.latents} is called "
                f"{found}; give it another name"
            )
        n_cells += len(cells)
        for column, code_of in known.items():
            in_block, names = pd.factorize(annotation[column])
            # One entry more than names: code -1 (missing) indexes the last.
            place = np.array(
                [code_of.setdefault(name, len(code_of)) for name in names] + [-1], dtype=np.int32
            )
            codes[column].append(place[in_block])
    for column, names in known.items():
        if found := first_control(names):
            raise InputError(
                f"pretrained.{column}: {pretrained.latents} has the value {found}; give it another name"
                f"{', or another in labels.rename' if column == 'label' else ''}"
            )
    labels, batches = (np.concatenate([np.empty(0, np.int32), *codes[column]]) for column in known)
    return CellCodes(labels, batches, np.array(list(known["label"]), dtype=object))


def read_cells(
    table: LatentTable, pretrained: PretrainedSettings, label_names: LabelNames
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]]:
    """Names, `label` and `batch` (object arrays), and latents, block by block."""
    label, batch = pretrained.label, pretrained.batch
    for block in table.blocks([column for column in (label, batch) if column is not None]):
        batches = np.full(len(block.names), ONE_BATCH, dtype=object)
        if batch is not None:
            missing = pd.isna(block.obs[batch])
            if missing.any():
                raise InputError(
                    f"pretrained.batch: the column '{batch}' of {pretrained.latents} is empty for the "
                    f"cell {block.names[missing][0]}; name another column, or fill it"
                )
            batches = block.obs[batch]
        yield block.names, {"label": label_names(block.obs[label]), "batch": batches}, block.latents


def save_scanvi_classifier(
    model: BaseModelClass, labels: list[str], label_names: LabelNames, folder: Path
) -> None:
    """Write a scANVI model's classifier beside it, if it has the reference's labels."""
    if type(model).__name__ != "SCANVI":
        return
    try:
        head = scanvi_classifier(model)
    except ValueError as error:
        print(f"scANVI's own classifier has no vote: {error}")
        return
    names = [label_names.name(label) or label for label in head.labels.tolist()]
    missing = sorted(set(labels).difference(names))
    if missing or len(set(names)) < len(names):
        print(f"scANVI's own classifier has no vote: it lacks the labels {', '.join(missing)}")
        return
    head.labels = np.array(names)
    head.save(folder)


def describe_genes(taken: ImportedModel) -> Features:
    """The report of select_genes on the model's genes."""
    return Features(namespace=id_kind(taken.genes.to_numpy()), n_selected=len(taken.genes))


def describe_markers(
    taken: ImportedModel, pretrained: PretrainedSettings, cofactor: str | float | dict
) -> Features:
    """The report of select_markers on the model's markers and transformation."""
    markers = taken.genes.to_list()
    transformation, learned_from = told_scaling(
        pretrained.model, pretrained.scaling, markers, cofactor=cofactor, limits=taken.limits
    )
    no_markers = [marker for marker in markers if channel_kind(marker) != MARKER]
    if no_markers:
        print(
            f"warning: the model has channels that are dropped from datasets ({listed(no_markers)}), and "
            "then count as missing; declare them as markers in cytometry.markers "
            f"({{{no_markers[0]}: {no_markers[0]}}})"
        )
    for kind, why in {(learned.values, learned.why) for learned in learned_from.values()}:
        print(f"the model was trained on {kind} values: {why}")
    return Features(
        namespace="marker",
        n_selected=len(markers),
        n_common=int(taken.backbone.sum()),
        values=learned_from,
        transformation=transformation.to_json(),
    )


def write_genes(taken: ImportedModel, features: Features, genes: str, report: str) -> None:
    """Write the model's genes or markers, in its order, and their report."""
    table = pd.DataFrame({"gene": taken.genes})
    if taken.backbone is None:
        table = table.assign(variable_rank=np.arange(len(table)), kept=False)
    else:
        table[BACKBONE] = taken.backbone
    with complete(genes) as path:
        table.to_csv(path, sep="\t", index=False)
    write_artifact(features, report)


def write_parts(
    table: LatentTable,
    parts: np.ndarray,
    pretrained: PretrainedSettings,
    label_names: LabelNames,
    mapped: dict[str, str],
) -> None:
    """Write the mapped cells of each part; `parts` has each cell's place in `mapped`, or -1."""
    texts = [pa.field(name, pa.string()) for name in ("cell", "batch", "label")]
    numbers = [pa.field(f"latent_{number}", pa.float32()) for number in range(table.width)]
    schema = pa.schema([*texts, *numbers])
    with ExitStack() as stack:
        paths = [stack.enter_context(complete(path)) for path in mapped.values()]
        writers = [stack.enter_context(pq.ParquetWriter(path, schema)) for path in paths]
        start, progress = 0, Progress("imported", len(parts))
        for names, annotation, latents in read_cells(table, pretrained, label_names):
            finite = np.isfinite(latents).all(axis=1)
            if not finite.all():
                raise InputError(
                    f"pretrained.latents: {pretrained.latents} has latents that are not numbers, those of "
                    f"{names[~finite][0]} among them; remove such cells"
                )
            here = parts[start : start + len(names)]
            for part, writer in enumerate(writers):
                in_part = here == part
                columns = [
                    names[in_part],
                    annotation["batch"][in_part],
                    annotation["label"][in_part],
                    *latents[in_part].T,
                ]
                writer.write_table(pa.table(columns, schema=schema))
            start += len(names)
            progress.add(len(names))


if __name__ == "__main__":
    with job(snakemake):
        files, params = snakemake.output, snakemake.params
        import_reference(
            PretrainedSettings(**params.pretrained),
            WrittenFiles(
                files.genes,
                files.report,
                files.model,
                files.history,
                files.labels,
                mapped={part: files[part] for part in ("train", "validation", "test")},
            ),
            split=SplitSettings(**params.split),
            labels=LabelSettings(**params.labels),
            modality=params.modality,
            cofactor=params.cofactor,
            seed=params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
