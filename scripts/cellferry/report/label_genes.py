"""Genes of a query's labels, from the tables that gather_predictions wrote."""

from collections.abc import Sequence
from pathlib import Path

from .costs import read_table

MAX_GENES_SHOWN = 8
"""Genes of a label that the page shows, of each table."""

MAX_SHARED_SHOWN = 15
"""Genes that moved in most labels, at most."""

MAX_LABELS_SHOWN = 200
MOST_LABELS = "(most labels)"
"""Stands in the table for labels that share a shift."""


def genes_of_labels(label_genes: Sequence[str], shifted_genes: Sequence[str]) -> dict[str, dict]:
    """By query, what the page shows of its genes.

    Parameters
    ----------
    label_genes, shifted_genes
        Tables of the queries, in the folder of each.

    Returns
    -------
    By query: `shared`, genes that moved in most labels; `labels`, a dict per label, the one with most cells
    first, with `label`, `cells`, `runner_up` (None where nothing speaks for it), `speaking`, `shifted` and
    `n_shifted`; `n_labels`, how many there are; `speaks`, whether there are genes that speak for any.
    """
    shifts = {Path(path).parent.name: read_table(path) for path in shifted_genes}
    return {
        Path(path).parent.name: _of_query(read_table(path), shifts.get(Path(path).parent.name, []))
        for path in label_genes
    }


def _of_query(speaking: list[dict[str, str]], shifted: list[dict[str, str]]) -> dict:
    rows: dict[str, dict] = {}
    for row in (row for row in [*speaking, *shifted] if row["label"] != MOST_LABELS):
        about = {"label": row["label"], "cells": int(row["cells"]), "runner_up": None, "n_shifted": 0}
        rows.setdefault(row["label"], about | {"speaking": [], "shifted": []})
    for row in speaking:
        found = rows[row["label"]]
        found["runner_up"] = row["runner_up"]
        if int(row["rank"]) <= MAX_GENES_SHOWN:
            middle = (float(row["mean_label"]) + float(row["mean_runner_up"])) / 2
            lacks = float(row["mean_query"]) < middle
            found["speaking"].append({"gene": row["symbol"], "share": float(row["share"]), "lacks": lacks})
    shared = []
    for row in shifted:
        gene = {"gene": row["symbol"], "effect": float(row["effect"])}
        if row["label"] == MOST_LABELS:
            shared.append(gene | {"labels": int(row["labels"]), "of_labels": int(row["of_labels"])})
            continue
        found = rows[row["label"]]
        found["n_shifted"] += 1
        if int(row["rank"]) <= MAX_GENES_SHOWN:
            found["shifted"].append(gene)
    largest = sorted(rows.values(), key=lambda found: (-found["cells"], found["label"]))
    return {
        "shared": shared[:MAX_SHARED_SHOWN],
        "n_shared": len(shared),
        "labels": largest[:MAX_LABELS_SHOWN],
        "n_labels": len(rows),
        "speaks": bool(speaking),
    }
