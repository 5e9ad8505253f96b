"""Content of the report's page, gathered from the files of a run."""

import datetime
import os
import platform
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import yaml

from ..artifacts.decision import DecisionModel
from ..artifacts.evaluation import Evaluation
from ..artifacts.features import Features
from ..artifacts.gene_loss import GeneLoss, LabelLoss
from ..artifacts.inspection import Inspection
from ..artifacts.json_files import read_artifact
from ..artifacts.left_out import LeftOut
from ..core.logs import COMMAND, unfinished_logs
from ..cytometry.transformation import Transformation
from ..cytometry.value_detection import RAW
from ..features.gene_ids import BY_ORTHOLOGS
from ..labels.colors import colors_of
from ..runs.hashes import of_settings
from ..runs.versions import versions
from . import figures
from .batch_counts import count_batches
from .confusions import mistakes, unknown_shares
from .costs import costs, predicted_mb, read_table, unmeasured_rules
from .label_counts import LabelCounts, count_labels
from .label_genes import genes_of_labels
from .references import JudgedLabel, conflicts_in_words, side_by_side
from .remarks import heads_not_trained, remarks
from .run_files import RunFiles, RunResults, RunSettings

MAX_LOSING_NAMED = 3
MAX_BATCHES_SHOWN = 200
MAX_LABELS_SHOWN = 200
PACKAGES = ["snakemake", "scvi-tools", "torch", "annbatch", "anndata", "xgboost", "scikit-learn"]
PACKAGES += ["scikit-misc", "scranpy", "numpy", "scipy", "pandas", "pyarrow"]
SO_FAR = "report_so_far"
"""The rule whose own log is incomplete while it lists unfinished logs."""


def gather(results: RunResults, files: RunFiles, settings: RunSettings, missing: Sequence[str]) -> dict:
    """Variables of the page's template, except figures.

    Parameters
    ----------
    results, files, settings
        Contents of the run's files, their paths, and its configuration.
    missing
        Names of missing results; empty for a finished run.
    """
    label_counts = {
        query: count_labels([results.predicted[query]])
        for query in settings.queries
        if query in results.predicted
    }
    inspected = [read_artifact(Inspection, path) for path in files.inspected]
    features = read_artifact(Features, files.genes) if files.genes else None
    transformation = (
        Transformation.from_json(features.transformation) if features and features.transformation else None
    )
    cofactors = transformation.cofactors if transformation else {}
    if features and not settings.references:
        # Features are from an earlier run: its datasets differ, even those of the same name.
        features = Features(namespace=features.namespace, n_selected=features.n_selected)
    predicted = {query: results.predicted[query] for query in label_counts}
    beside = side_by_side(files.label_agreement, predicted, settings.references)
    return {
        "missing": missing,
        **beside,
        "answers": label_counts,
        "genes_of_labels": genes_of_labels(files.label_genes, files.shifted_genes),
        "queries": settings.queries,
        "batches": batches(results.mapped, results.predicted),
        "genes": features.as_table() if features else {},
        "species": translated_datasets(features),
        "panels": panels(files.panel, inspected, cofactors) if files.panel else [],
        "measured": {Path(path).stem: measured_genes(path) for path in files.common},
        "datasets": read_table(files.datasets) if files.datasets else [],
        "controls": {each.dataset: each.controls for each in inspected if each.controls},
        "places": {each.dataset: each.coordinates for each in inspected if each.coordinates},
        "colors": colors_of(results.labels.sizes, results.labels.hierarchy),
        **about_trust(results, files, settings.config, label_counts, features, inspected, beside["judged"]),
        **about_run(results, settings, inspected, missing),
    }


def about_trust(
    results: RunResults,
    files: RunFiles,
    config: dict,
    label_counts: dict[str, LabelCounts],
    features: Features | None,
    inspected: list[Inspection],
    judged: list[JudgedLabel],
) -> dict:
    """Variables on scores, missing genes and labels that cannot be predicted."""
    rare = results.labels.rare
    left_out = read_artifact(LeftOut, files.left_out).labels if files.left_out else {}
    losses = {Path(path).parent.name: read_artifact(GeneLoss, path) for path in files.gene_loss}
    decision = read_artifact(DecisionModel, files.decision) if files.decision else None
    rounded = {inspection.dataset: inspection.rounding for inspection in inspected if inspection.rounding}
    return {
        "scores": results.scores,
        # A query that was mapped twice also has the heads of each mapping.
        "head_names": list(dict.fromkeys(chain(*(scores.heads for scores in results.scores.values())))),
        "unseen": unseen_labels(results.scores),
        "mistakes": {part: mistakes(scores.confusion) for part, scores in results.scores.items()},
        "unknown_shares": {part: unknown_shares(each.confusion) for part, each in results.scores.items()},
        "max_labels_shown": MAX_LABELS_SHOWN,
        "rare": rare,
        "left_out": left_out,
        "gene_loss": losses,
        "raised": {
            Path(path).parent.name: read_artifact(DecisionModel, path).raised for path in files.raised
        },
        "losing": {query: losing_labels(loss) for query, loss in losses.items()},
        "decision": decision,
        "remarks": remarks(
            label_counts,
            results.scores,
            features,
            gene_loss=losses,
            rare=rare,
            left_out=left_out,
            max_error=config.get("prediction", {}).get("max_error", 1.0),
            max_loss=config.get("genes", {}).get("max_loss", 1.0),
            rounded=rounded,
            not_trained=heads_not_trained(config, len(results.labels.hierarchy.leaves)),
            held_out=decision.held_out if decision else None,
            conflicts=conflicts_in_words(judged),
        ),
    }


def about_run(
    results: RunResults, settings: RunSettings, inspected: list[Inspection], missing: Sequence[str]
) -> dict:
    """Variables on configuration, training, and time and memory of the jobs."""
    config, logs = settings.config, settings.logs
    spent = costs(settings.benchmarks, logs)
    predicted = predicted_mb(spent, inspected, config, results.labels if config.get("pretrained") else None)
    return {
        "unfinished": [
            (log, last_words)
            for log, last_words in unfinished_logs(logs)
            if missing and log.parent.name != SO_FAR
        ],
        "reference": " and ".join(settings.references) or pretrained_name(config, results.packed),
        "imported": isinstance(config["pretrained"], dict),
        "packed": results.packed,
        "training": training_in_words(results.history, config),
        "costs": [cost | {"predicted": predicted[cost["rule"]]} for cost in spent],
        "unmeasured": unmeasured_rules(settings.benchmarks, logs),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "limits": config.get("prediction", {}),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "config_hash": of_settings(config),
        "command": os.environ.get(COMMAND),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def losing_labels(loss: GeneLoss) -> list[tuple[str, LabelLoss]]:
    """Labels that lose most of their F1, the worst first."""
    fall = {label: entry.f1_without - entry.f1 for label, entry in loss.labels.items()}
    worst = sorted((label for label in fall if fall[label] < 0), key=fall.get)[:MAX_LOSING_NAMED]
    return [(label, loss.labels[label]) for label in worst]


def panels(panel: str, inspected: list[Inspection], cofactors: dict[str, np.ndarray]) -> list[dict]:
    """Kind of values, cofactors and channels by use, per cytometry dataset."""
    uses: dict[str, dict[str, list[str]]] = {}
    for row in read_table(panel):
        by_use = uses.setdefault(row["dataset"], {})
        by_use.setdefault(row["use"], []).append(row["marker"] or f"{row['channel']} ({row['kind']})")
    rows = []
    for inspection in inspected:
        seen = inspection.intensities
        used = sorted(set(cofactors.get(seen.technology, [])))
        rows.append(
            {
                "dataset": inspection.dataset,
                "technology": seen.technology,
                "values": seen.values,
                "cofactors": used if seen.values == RAW else [],
                "why": seen.why,
                "uses": uses[inspection.dataset],
            }
        )
    return rows


def pretrained_name(config: dict, packed: dict | None) -> str:
    """Name of a pre-trained reference: of its packed file, else of the configuration."""
    if packed:
        return f"{packed['name']} {packed['version']}"
    pretrained = config["pretrained"]
    return pretrained["model"] if isinstance(pretrained, dict) else str(pretrained)


def translated_datasets(features: Features | None) -> list[str]:
    """Datasets whose genes were translated to orthologs of another species."""
    datasets = features.datasets if features else {}
    return [name for name, own in datasets.items() if BY_ORTHOLOGS in own.column]


def measured_genes(common: str) -> tuple[int, int]:
    """Number of the model's genes that a query has, and number of all genes of the model."""
    with h5py.File(common, "r", locking=False) as file:
        measured = file["var/measured"][:]
    return int(measured.sum()), len(measured)


def unseen_labels(scores: dict[str, Evaluation]) -> list[dict]:
    """True labels that cannot be predicted, per dataset, with the fate of their cells.

    Several labels of the same kind are followed by a row for all of them. Keys: `dataset`, `label`, `why`,
    `cells` and `accepted_as`, see `cellferry.artifacts.evaluation.UnseenLabel`.
    """
    rows = []
    for part, of_part in scores.items():
        for why, labels, together in (
            ("not in the reference", of_part.labels_not_in_reference, of_part.not_in_reference),
            ("too few cells", of_part.labels_not_predictable, of_part.not_predictable),
        ):
            of_kind = [(label, entry, entry.accepted_as) for label, entry in labels.items()]
            if len(labels) > 1:
                of_kind.append(("(together)", together, {}))
            rows += [
                {"dataset": part, "label": label, "why": why, "cells": cells, "accepted_as": accepted_as}
                for label, cells, accepted_as in of_kind
            ]
    return rows


def batches(by_part: dict[str, list[str]], predicted: dict[str, str]) -> dict[str, dict]:
    """By query: number of batches `n`, and rows `shown`; of many, those with most unknown cells."""
    tables = {}
    for query, path in predicted.items():
        rows = count_batches(by_part.get(query, []), path)
        for row in rows:
            row["batch"] = row["batch"].removeprefix(f"{query}/")
        shown = rows
        if len(rows) > MAX_BATCHES_SHOWN:
            shown = sorted(rows, key=lambda row: -row["unknown"])[:MAX_BATCHES_SHOWN]
        tables[query] = {"n": len(rows), "shown": shown}
    return tables


def training_in_words(history: list[dict[str, str]], config: dict) -> dict | None:
    """Summary of the training history; None without one."""
    losses = figures.losses_of(history)
    if not losses:
        return None
    epochs, values = losses.get("validation") or losses["training"]
    best = int(np.argmin(values))
    most = history[-1].get("max_epochs")
    return {
        "type": config["model"]["type"],
        "epochs": len(history),
        "max_epochs": int(float(most)) if most else None,
        "watched": "validation" if "validation" in losses else "training",
        "best": int(epochs[best]),
        "loss": values[best],
        "patience": config["model"]["patience"],
        "early_stopping": config["model"]["early_stopping"],
    }
