"""Genes of a query's labels, from the tables that gather_predictions wrote."""

from collections.abc import Sequence
from pathlib import Path

from ..artifacts.shifted_genes import IN_MOST_LABELS, MIN_CELLS
from .costs import read_table

MAX_GENES_SHOWN = 8
"""Genes of a label that the page shows, of each table."""

MAX_SHARED_SHOWN = 12
"""Genes that went up in most labels, and that went down, at most."""

MAX_LABELS_SHOWN = 200


def genes_of_labels(label_genes: Sequence[str], shifted_genes: Sequence[str]) -> dict[str, dict]:
    """By query, what the page shows of its genes.

    Parameters
    ----------
    label_genes, shifted_genes
        Tables of the queries, in the folder of each.

    Returns
    -------
    By query: `up` and `down`, genes that moved in most labels of those compared (`of_labels`), and
    `n_shared`, how many did; `labels`, a dict per label, the one with most cells first, with `label`,
    `cells`, `runner_up` (None where nothing speaks for it), `speaking`, `shifted`, `n_shifted` and `too_few`;
    `n_labels`, how many there are;
    `speaks`, whether there are genes that speak for any.
    """
    shifts = {Path(path).parent.name: read_table(path) for path in shifted_genes}
    return {
        Path(path).parent.name: _of_query(read_table(path), shifts.get(Path(path).parent.name, []))
        for path in label_genes
    }


def _place(row: dict[str, str]) -> dict[str, bool]:
    """The query's mean beside those of the two labels in the reference.

    Whether the cells have less than halfway between them (`lacks`), and whether they lie beyond both by more
    than these differ (`beyond`): such a gene says more of the query than of the label.
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
