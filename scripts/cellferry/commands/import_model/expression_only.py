"""A packed reference of a CellTypist model: labels from expression, without latents."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...artifacts.decision import DecisionModel, HeldOutAnswers, Novelty
from ...artifacts.features import Features
from ...artifacts.json_files import write_artifact
from ...artifacts.labels import ClassifierLabels, LabelCells, ReferenceLabels
from ...artifacts.left_out import LeftOut
from ...calibration.fit import level_thresholds
from ...calibration.novelty import NO_TAIL
from ...calibration.quality import learned_limits
from ...calibration.thresholds import NEVER, UNTESTED
from ...config.available_heads import CELLTYPIST
from ...config.schema import fill_defaults
from ...core.text import printable
from ...errors import InputError
from ...features.gene_ids import id_kind
from ...features.organisms import organism_of
from ...heads.celltypist import CelltypistHead
from ...labels.hierarchy import LabelHierarchy
from ...labels.names import LabelNames
from ...mapping.encoder import WEIGHTS, Encoder
from ...references.archive import AS_THEY_ARE, CLASSIFIER, MODEL, Manifest, write_archive
from ...runs.hashes import of_files
from ...runs.methods import FORMAT_VERSION
from ...runs.versions import versions
from .celltypist import Regression, read_celltypist
from .found import Given

NO_LABELS = ["Unassigned", "Heterogeneous"]
"""CellTypist's answers for missing labels, which a model can have as labels by mistake."""


@dataclass(frozen=True)
class About:
    """Name, version and license of a reference, and further fields of its manifest."""

    name: str
    version: str
    license: str
    details: dict[str, str]


def import_celltypist(file: Path, path: Path, given: Given, about: About, more: dict[str, Any]) -> Manifest:
    """Pack a CellTypist model.

    Parameters
    ----------
    file, path
        The model's pickle, and the archive to write.
    given, about
        Paths, name and description that the user gave.
    more
        Further keys, which apply to other models only.

    Raises
    ------
    InputError
        If the model cannot be used, or a given key does not apply to it.
    """
    named = {key: getattr(given, key) for key in ("latents", "label", "batch", "key")} | more
    if needless := [f"{key.upper()}=" for key, value in named.items() if value]:
        raise InputError(
            f"{', '.join(needless)}: not used for {file}, a CellTypist model (a regression on genes, without "
            "cells or latents); leave it out"
        )
    config: dict[str, Any] = {"modality": "rna", "datasets": {}}
    fill_defaults(config)
    names = LabelNames({}, [*config["labels"]["missing"], *NO_LABELS])
    model = read_celltypist(file, names, trust=given.trust)
    max_error = config["prediction"]["max_error"]
    print("\n".join(map(printable, _lines(file, model))), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_members(model, folder, max_error=max_error)
        files = {str(each.relative_to(folder)): each for each in folder.rglob("*") if each.is_file()}
        return write_archive(path, _manifest(model, about, max_error=max_error), files)


def _lines(file: Path, model: Regression) -> list[str]:
    """Detected values, for the user."""
    organism = organism_of(model.genes)
    written = f", written as those of {organism}" if organism else ""
    details = [
        f"{name}: {model.description[name]}"
        for name in ("details", "source", "version", "date")
        if model.description.get(name)
    ]
    return [
        f"model    {file} (CellTypist, {model.kind})",
        f"genes    {len(model.genes):,} ({id_kind(np.array(model.genes))}s{written})",
        f"labels   {len(model.labels):,}",
        f"about    {'; '.join(details) or 'nothing'}",
        "latents  none: CellTypist models are regressions on genes",
    ]


def _write_members(model: Regression, folder: Path, *, max_error: float) -> None:
    """Write the members of the archive."""
    for inside in (MODEL, CLASSIFIER):
        (folder / inside).mkdir(parents=True)
    places = {name: folder / place for name, place in AS_THEY_ARE.items()}
    genes = pd.DataFrame({"gene": model.genes, "variable_rank": np.arange(len(model.genes)), "kept": False})
    genes.to_csv(places["genes"], sep="\t", index=False)
    namespace = id_kind(np.array(model.genes))
    write_artifact(Features(namespace=namespace, n_selected=len(model.genes)), places["report"])
    hierarchy = LabelHierarchy(nodes={label: [] for label in model.labels}, leaves=model.labels)
    no_cells = LabelCells(cells=0, train=0, validation=0, test=0)
    write_artifact(ReferenceLabels(dict.fromkeys(model.labels, no_cells), hierarchy, {}), places["labels"])
    write_artifact(LeftOut({}), places["left_out"])
    places["history"].write_text("epoch,train_loss,validation_loss\n", encoding="utf-8")

    arrays = {name: getattr(model, name) for name in ("coefficients", "intercepts", "mean", "scale")}
    np.savez(folder / MODEL / WEIGHTS, **arrays)
    without_latents(model.genes).save(folder / MODEL)
    CelltypistHead.of(**arrays).save(folder / CLASSIFIER)
    described = ClassifierLabels(hierarchy, [CELLTYPIST], {}, {}, validation_cells=0, settings={})
    write_artifact(described, folder / CLASSIFIER / "labels.json")
    hashed = {"model": folder / MODEL, "genes": places["genes"], "classifier": folder / CLASSIFIER}
    made_from = {name: of_files(path) for name, path in hashed.items()}
    write_artifact(not_calibrated(hierarchy, made_from, max_error=max_error), places["decision"])


def without_latents(genes: list[str]) -> Encoder:
    """An encoder without latents for counts of genes."""
    nothing = np.zeros((0, 0), dtype=np.float32)
    return Encoder(
        genes=genes,
        batches=[],
        takes_log=False,
        layer_norm=False,
        weights=[np.zeros((len(genes), 0), dtype=np.float32), nothing],
        bias=np.zeros(0, dtype=np.float32),
        by_batch=[[nothing]],
    )


def not_calibrated(
    hierarchy: LabelHierarchy, made_from: dict[str, str], *, max_error: float
) -> DecisionModel:
    """A decision by the model's own probabilities, without calibration.

    Labels are given as for any reference without held-out cells. A prediction set contains the labels of
    CellTypist's mode `prob match`, without guaranteed coverage.
    """
    leaves, nobody = hierarchy.leaves, np.zeros(0)
    no_cells = np.zeros((0, len(leaves)), dtype=np.float32)
    return DecisionModel(
        temperatures={},
        weights={},
        mixture_temperature=1.0,
        novelty=Novelty(NO_TAIL, NO_TAIL, NO_TAIL, NO_TAIL),
        thresholds=level_thresholds(no_cells, nobody.astype(int), hierarchy, max_error=max_error),
        set_thresholds=dict.fromkeys(leaves, UNTESTED),
        rare_threshold=NEVER,
        quality=learned_limits(nobody, nobody),
        held_out=HeldOutAnswers(cells=0, donors=0, max_error=max_error),
        made_from=made_from,
    )


def _manifest(model: Regression, about: About, *, max_error: float) -> Manifest:
    its_own = {"description": model.description.get("details"), "citation": model.description.get("source")}
    details = {key: value or its_own.get(key) or "" for key, value in about.details.items()}
    return Manifest(
        name=about.name,
        version=about.version,
        license=about.license,
        **details,
        modality="rna",
        n_genes=len(model.genes),
        namespace=id_kind(np.array(model.genes)),
        labels={label: {"cells": 0, "batches": 0} for label in model.labels},
        n_batches=0,
        scores={},
        settings={
            "model": {"class": "CellTypist", "classifier": model.kind, **model.description},
            "heads": [CELLTYPIST],
            "classifier": {},
        },
        made_with=versions(["numpy"]),
        missing=[
            "latents: no neighbors, no distances, no map, and no detection of cells unlike the reference",
            "held-out cells: probabilities are CellTypist's own, not calibrated; a cell gets its label from "
            f"a probability of {1 - max_error:g} on, and best_label is there for every cell",
            "counts of held-out cells: the accuracy lost to missing genes cannot be estimated",
            "scores of held-out cells, and numbers of cells per label",
            "ids with symbols: queries need genes of the same kind of ids",
        ],
        result_format=FORMAT_VERSION,
    )
