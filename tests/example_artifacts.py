"""Plausible artifacts with changes for a test; no other module of the tests writes their fields."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellferry.artifacts.decision import DecisionModel, HeldOutAnswers, Novelty, QualityLimits, Tail
from cellferry.artifacts.evaluation import (
    AnswerScores,
    Baseline,
    Confusion,
    Evaluation,
    HeadScores,
    LabelScores,
    LevelHeadScores,
    LevelScores,
    PredictionSets,
    Rejection,
    Risk,
    Scores,
    Separation,
    UnseenCells,
)
from cellferry.artifacts.features import DatasetFeatures, Features
from cellferry.artifacts.gene_loss import GeneLoss, LabelLoss
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import write_artifact
from cellferry.artifacts.labels import ClassifierLabels, LabelCells, ReferenceLabels
from cellferry.artifacts.left_out import LeftOut, LeftOutLabel
from cellferry.labels.hierarchy import LabelHierarchy


def inspection_of(dataset: str, role: str = "query", **changes: Any) -> Inspection:
    """Inspection of a dataset of three labels without problems; `cells_kept` follows `cells`."""
    fields = {
        "path": f"{dataset}.h5ad",
        "made_from": f"hash of {dataset}",
        "format": "h5ad",
        "cells": 90,
        "genes": 10,
        "dtype": "float32",
        "storage": "csr",
        "counts": "X",
        "places": {"X": True},
        "gene_id": "ensembl",
        "label": "cell_type",
        "labels": {"B cell": 40, "CD4 T": 30, "NK": 20},
        "n_labels": 3,
        "n_batches": 2,
        "values_per_cell": 5.0,
    } | changes
    return Inspection(dataset=dataset, role=role, **{"cells_kept": fields["cells"]} | fields)


def write_inspection(folder: Path, dataset: str, role: str = "query", **changes: Any) -> str:
    """Write `{dataset}.json` into a folder; return its path."""
    path = folder / f"{dataset}.json"
    write_artifact(inspection_of(dataset, role, **changes), path)
    return str(path)


def features_of(*columns: tuple[str, str], numbers: dict[str, Any] | None = None, **changes: Any) -> Features:
    """Genes selected among datasets, each with the var column of its ids; `numbers` are per dataset."""
    fields = {"namespace": "symbol", "n_common": 10, "n_selected": 5, "sketch_cells": 90} | changes
    own = {"genes": 10, "harmonized": 10, "duplicates_summed": 0, "untranslated": 0, "common": 10}
    own |= {"common_share": 1.0, "counts_in_selected": 0.9} | (numbers or {})
    return Features(datasets={name: DatasetFeatures(column, **own) for name, column in columns}, **fields)


def write_features(path: Path, *columns: tuple[str, str], **changes: Any) -> None:
    """Write the result of `features_of`."""
    write_artifact(features_of(*columns, **changes), path)


def hierarchy_of(
    leaves: Sequence[str], levels: dict[str, dict[str, str]] | None = None, *, rare: Sequence[str] = ()
) -> LabelHierarchy:
    """Labels to predict and rare ones; `levels`, the coarsest first, hold the node of each label."""
    levels = levels or {}
    nodes = {label: [above.get(label) for above in levels.values()] for label in (*leaves, *rare)}
    return LabelHierarchy(list(levels), nodes, list(leaves))


def reference_labels_of(
    hierarchy: LabelHierarchy, sizes: dict[str, int] | None = None, ontology: dict[str, str] | None = None
) -> ReferenceLabels:
    """Labels of a reference, of 60 cells each unless in `sizes`; rare ones are in no part."""
    cells = dict.fromkeys(hierarchy.nodes, 60) | (sizes or {})
    labels = {label: LabelCells(n, n if label in hierarchy.leaves else 0, 0, 0) for label, n in cells.items()}
    return ReferenceLabels(labels, hierarchy, ontology or {})


def write_reference_labels(
    path: Path, leaves: Sequence[str], levels: dict[str, dict[str, str]] | None = None, **changes: Any
) -> str:
    """Write labels of a reference; `changes` are `rare` labels, `sizes` and `ontology`. Returns the path."""
    hierarchy = hierarchy_of(leaves, levels, rare=changes.pop("rare", ()))
    write_artifact(reference_labels_of(hierarchy, **changes), path)
    return str(path)


def write_classifier_labels(folder: Path, hierarchy: LabelHierarchy, heads: list[str]) -> None:
    """Write `labels.json` of a classifier into its folder."""
    training = dict.fromkeys(hierarchy.leaves, 60)
    write_artifact(ClassifierLabels(hierarchy, heads, {}, training, 0, {}), folder / "labels.json")


def baseline_of(
    accuracy: float,
    macro_f1: float | None,
    *,
    own: float = 0.9,
    levels: Sequence[str] = ("label",),
    p_value: float = 0.01,
) -> Baseline:
    """Scores of the baseline on 12 cells, the same at all levels; `own` are those of the workflow."""
    by_level = dict.fromkeys(levels, Scores(accuracy, macro_f1))
    return Baseline(accuracy, macro_f1, "PCA", 12, by_level, Scores(own, own), 7, 1, p_value)


def evaluation_of(
    *, accuracy: float = 0.9, labels: dict[str, LabelScores] | None = None, **changes: Any
) -> Evaluation:
    """Scores of 20 cells of known labels, all with a label; all heads have the same `accuracy`."""
    scores = HeadScores(accuracy, 0.5, 0.125)
    by_head = LevelHeadScores(accuracy, 0.5, 0.125, labels or {"T": LabelScores(0.9, 0.9, 0.9, 20)})
    none = UnseenCells(0, 0, Separation(None, None, None))
    risk = Risk(20, 20, 0.0, accuracy, 1 - accuracy)
    fields = {
        "made_from": {},
        "n_cells": 20,
        "with_truth": 20,
        "truth_in_reference": 20,
        "truth_at_a_coarser_level": 0,
        "truth_not_predictable": 0,
        "truth_not_in_reference": 0,
        "truth_not_in_reference_called_unknown": 0,
        "labels_not_in_reference": {},
        "labels_not_predictable": {},
        "not_in_reference": none,
        "not_predictable": none,
        "forced": scores,
        "answered": AnswerScores(accuracy, 0.5, 0.125, 0.0, accuracy),
        "heads": {"linear": scores},
        "levels": {"label": LevelScores(20, dict.fromkeys(("answer", "forced", "linear"), by_head))},
        "rejection": Rejection({}, 0, 0, 20, 1.0, risk, risk, risk),
        "prediction_sets": PredictionSets(20, accuracy, 1.0),
        "confidence": [],
        "confusion": Confusion(["T"], ["T", "unknown"], [(0, 0, 20)]),
        "confused_labels": [],
        "baseline": baseline_of(0.75, None),
    }
    return Evaluation(**fields | changes)


def gene_loss_of(loss: float, **changes: Any) -> GeneLoss:
    """Loss of a query that has 547 of 4000 genes, only in the label B."""
    labels = {"B": LabelLoss(1.0, 0.25, 3), "T": LabelLoss(0.5, 0.5, 3)}
    fields = {"genes": 4000, "measured": 547, "cells": 6, "macro_f1": 0.964, "macro_f1_without": 0.964 - loss}
    fields |= {"baseline_f1": 0.9, "baseline_f1_retrained": 0.89}
    return GeneLoss(**fields | {"loss": loss, "labels": labels, "advice": loss > 0.05} | changes)


def left_out_of(cells: int, **accepted_as: int) -> LeftOutLabel:
    """Cells of a label that the reference lacks, with their predictions."""
    separation = Separation(0.9712, 0.5, None)
    return LeftOutLabel(cells, sum(accepted_as.values()), separation, accepted_as, 0)


def write_left_out(path: Path, labels: dict[str, LeftOutLabel]) -> str:
    """Write labels that were left out; return the path."""
    write_artifact(LeftOut(labels), path)
    return str(path)


def decision_of(
    thresholds: dict[str, dict[str, float]], heads: Sequence[str] = ("linear", "expression"), **changes: Any
) -> DecisionModel:
    """A decision that mixes heads evenly and keeps their probabilities; no cell is out of reference."""
    tail = Tail((), 1.0, 0)
    fields = {
        "temperatures": dict.fromkeys(heads, 1.0),
        "weights": dict.fromkeys(heads, 1 / len(heads)),
        "mixture_temperature": 1.0,
        "novelty": Novelty(tail, tail, tail, tail),
        "thresholds": thresholds,
        "set_thresholds": dict.fromkeys(thresholds.get("label", ()), 0.1),
        "rare_threshold": 0.8,
        "quality": QualityLimits(50.0, 20.0),
        "held_out": HeldOutAnswers(100, 0, 0.05, 90, 3, 1 / 30, 0.084, 0.9),
        "made_from": {"model": "0123abcd", "genes": "4567efab"},
    }
    return DecisionModel(**fields | changes)
