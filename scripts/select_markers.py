"""Choose the model's markers, and fit the scaling of their values on the reference."""

import numpy as np
import pandas as pd
from cellferry.artifacts.features import DatasetFeatures, Features
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.config.settings import MarkerSettings
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.cytometry.panels import Panels, check_backbone, joint_panels, markers_of, names_in_model
from cellferry.cytometry.transformation import RANGE, Transformation, cofactors_of
from cellferry.cytometry.value_detection import RAW
from cellferry.cytometry.value_kind import ValueKind
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS
from cellferry.sampling.references import training_sketch
from cellferry.sampling.splits import read_split


def select_markers(
    merged: dict[str, str],
    inspected: dict[str, str],
    splits: str,
    *,
    genes: str,
    report: str,
    references: list[str],
    cofactor: str | float | dict,
    settings: MarkerSettings,
    seed: int,
    budget: Budget,
) -> None:
    """Write the model's markers and the transformation of their values.

    Parameters
    ----------
    merged, inspected
        Merged file and inspection of each dataset whose panel is compared.
    splits
        Parts of the references; scaling is fitted on their training cells.
    genes
        Table to write, a row per marker: `gene`, and whether it is in the `backbone`.
    report
        JSON to write: numbers of markers, and the `transformation`.
    references
        Names of the references in `merged`, in the order of `splits`.
    cofactor
        The key `cytometry.cofactor`.
    settings
        How markers are chosen.
    seed, budget
        Seed of the draw of cells, memory of the job.

    Raises
    ------
    InputError
        If too few markers are common.
    """
    var = {}
    for name, path in merged.items():
        with H5adReader(path) as reader:
            var[name] = reader.var
    panels = joint_panels({name: markers_of(channels) for name, channels in var.items()}, references)
    check_backbone(panels, references, settings.min_common)
    seen = {name: read_artifact(Inspection, path).intensities for name, path in inspected.items()}
    rows = training_sketch(
        [merged[name] for name in references],
        read_split(splits, "train"),
        settings.sketch_cells,
        seed=seed,
        need=MEMORY_MODELS["select_markers"],
        budget=budget,
        min_values=len(panels.markers),
    )
    cofactors = cofactors_of(cofactor, panels.markers)
    parts = [
        transformed_sketch(merged[name], some, panels.markers, cofactors, seen[name])
        for name, some in zip(references, rows, strict=True)
    ]
    panels, transformation = learn_transformation(np.concatenate(parts), panels, cofactors)

    chosen = pd.DataFrame({"gene": panels.markers})
    chosen["backbone"] = chosen["gene"].isin(panels.backbone)
    with complete(genes) as path:
        chosen.to_csv(path, sep="\t", index=False)
    features = Features(
        namespace="marker",
        n_selected=len(panels.markers),
        n_common=len(panels.backbone),
        sketch_cells=sum(map(len, rows)),
        datasets={name: shares(name, panels, len(var[name])) for name in merged},
        values=seen,
        transformation=transformation.to_json(),
    )
    print(f"{len(panels.markers)} markers, {len(panels.backbone)} of them in all datasets")
    write_artifact(features, report)


def learn_transformation(
    sketch: np.ndarray, panels: Panels, cofactors: dict[str, np.ndarray]
) -> tuple[Panels, Transformation]:
    """Scale markers by quantiles of a sketch (cells × markers, NaN where not measured).

    Returns
    -------
    The panels without markers that the sketch lacks, and the transformation of the others.
    """
    learned = ~np.isnan(sketch).all(axis=0)
    if not learned.all():
        names = [marker for marker, found in zip(panels.markers, learned, strict=True) if not found]
        print(f"left out, not measured in any training cell: {', '.join(names)}")
        panels = panels._replace(markers=[marker for marker in panels.markers if marker not in names])
        cofactors = {technology: values[learned] for technology, values in cofactors.items()}
    low, high = np.nanquantile(sketch[:, learned], RANGE, axis=0)
    return panels, Transformation(panels.markers, cofactors, low, high)


def transformed_sketch(
    merged: str, rows: np.ndarray, markers: list[str], cofactors: dict[str, np.ndarray], seen: ValueKind
) -> np.ndarray:
    """Values of some cells after arcsinh: cells × markers, float32, NaN where a file lacks a marker."""
    with H5adReader(merged) as reader:
        names = names_in_model(reader.var, markers)
        intensities = reader.rows(rows, Progress("read", len(rows), "drawn cells")).toarray()
    values = np.full((len(rows), len(markers)), np.nan, dtype=np.float32)
    for column, name in enumerate(names):
        if name is not None:
            values[:, markers.index(name)] = intensities[:, column]
    if seen.values == RAW:
        values /= cofactors[seen.technology].astype(np.float32)
        np.arcsinh(values, out=values)
    return values


def shares(name: str, panels: Panels, n_channels: int) -> DatasetFeatures:
    """Numbers of a dataset's channels and markers."""
    panel = panels.names[name]
    known = len(set(panel) & set(panels.markers))
    return DatasetFeatures(
        column="index",
        genes=n_channels,
        harmonized=len(panel),
        duplicates_summed=0,
        untranslated=n_channels - len(panel),
        common=len(panels.backbone),
        common_share=len(panels.backbone) / max(1, min(len(panel), len(panels.markers))),
        in_model=known,
    )


if __name__ == "__main__":
    with job(snakemake):
        names = snakemake.params.names
        select_markers(
            dict(zip(names, snakemake.input.merged, strict=True)),
            dict(zip(names, snakemake.input.inspected, strict=True)),
            snakemake.input.splits,
            genes=snakemake.output.genes,
            report=snakemake.output.report,
            references=snakemake.params.references,
            cofactor=snakemake.params.cofactor,
            settings=MarkerSettings(**snakemake.params.genes),
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
