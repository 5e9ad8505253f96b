"""Supporting and shifted genes per label of a query, from the tables of gather_predictions."""

from collections.abc import Sequence
from pathlib import Path

from ..artifacts.shifted_genes import IN_MOST_LABELS, MIN_CELLS
from .costs import read_table

MAX_GENES_SHOWN = 8
"""Maximum number of genes per label and table on the page."""

MAX_SHARED_SHOWN = 12
"""Maximum number of genes shifted in most labels, per direction."""

MAX_LABELS_SHOWN = 200


def genes_of_labels(label_genes: Sequence[str], shifted_genes: Sequence[str]) -> dict[str, dict]:
    """Genes that the page shows, by query.

    Parameters
    ----------
    label_genes, shifted_genes
        Tables of the queries, in the folder of each.

    Returns
    -------
    By query: `up` and `down`, genes that shifted in most of the compared labels (`of_labels`), and their
    number `n_shared`; `labels`, a dict per label, the one with most cells first, with `label`, `cells`,
    `runner_up` (None without supporting genes), `speaking` (supporting genes), `shifted`, `n_shifted` and
    `too_few`; `n_labels`, the number of labels; `speaks`, true if any label has supporting genes.
    """
    shifts = {Path(path).parent.name: read_table(path) for path in shifted_genes}
    return {
        Path(path).parent.name: _of_query(read_table(path), shifts.get(Path(path).parent.name, []))
        for path in label_genes
    }


def _place(row: dict[str, str]) -> dict[str, bool]:
    """Position of the query's mean relative to those of both labels in the reference.

    `lacks`: the mean is below their midpoint. `beyond`: the mean is outside their range by more than their
    difference; such a gene reflects the query more than the label.
    """
    mean = float(row["mean_query"])
    low, high = sorted((float(row["mean_label"]), float(row["mean_runner_up"])))
    return {"lacks": mean < (low + high) / 2, "beyond": max(low - mean, mean - high) > high - low}


def _of_query(speaking: list[dict[str, str]], shifted: list[dict[str, str]]) -> dict:
    rows: dict[str, dict] = {}
    for row in (row for row in [*speaking, *shifted] if row["label"] != IN_MOST_LABELS):
        n_cells = int(row["cells"])
        about = {"label": row["label"], "cells": n_cells, "too_few": n_cells < MIN_CELLS, "runner_up": None}
        rows.setdefault(row["label"], about | {"speaking": [], "shifted": [], "n_shifted": 0})
    for row in speaking:
        found = rows[row["label"]]
        found["runner_up"] = row["runner_up"]
        if int(row["rank"]) <= MAX_GENES_SHOWN:
            found["speaking"].append({"gene": row["symbol"], "share": float(row["share"]), **_place(row)})
    shared = []
    for row in shifted:
        gene = {"gene": row["symbol"], "effect": float(row["effect"])}
        if row["label"] == IN_MOST_LABELS:
            shared.append(gene | {"of_labels": int(row["of_labels"])})
            continue
        found = rows[row["label"]]
        found["n_shifted"] += 1
        if int(row["rank"]) <= MAX_GENES_SHOWN:
            found["shifted"].append(gene)
    largest = sorted(rows.values(), key=lambda found: (-found["cells"], found["label"]))
    return {
        "up": [gene for gene in shared if gene["effect"] > 0][:MAX_SHARED_SHOWN],
        "down": [gene for gene in shared if gene["effect"] < 0][:MAX_SHARED_SHOWN],
        "n_shared": len(shared),
        "of_labels": shared[0]["of_labels"] if shared else 0,
        "labels": largest[:MAX_LABELS_SHOWN],
        "n_labels": len(rows),
        "speaks": bool(speaking),
    }
