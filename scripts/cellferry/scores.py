"""Scores of predicted labels, all from counts of (truth, prediction) pairs: no list of cells is needed."""

from collections import Counter

import numpy as np

from .cells import UNKNOWN

Pairs = Counter[tuple[str, str]]
"""Cells per (truth, prediction)."""


def label_scores(pairs: Pairs, labels: list[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support (cells) of each label.

    A label nobody predicted has precision 0, a label without cells recall 0, as in scikit-learn with
    `zero_division=0`.
    """
    truth, predicted = Counter(), Counter()
    for (true_label, predicted_label), n in pairs.items():
        truth[true_label] += n
        predicted[predicted_label] += n
    scores = {}
    for label in labels:
        hits = pairs[label, label]
        precision = hits / predicted[label] if predicted[label] else 0.0
        recall = hits / truth[label] if truth[label] else 0.0
        f1 = 2 * hits / (truth[label] + predicted[label]) if truth[label] + predicted[label] else 0.0
        scores[label] = {"precision": precision, "recall": recall, "f1": f1, "support": truth[label]}
    return scores


def summary(pairs: Pairs) -> dict[str, float | None]:
    """Accuracy, and the F1 averaged over the labels that occur as truth; None without cells.

    A prediction outside of these labels, `unknown` among them, counts as wrong.
    """
    n_cells = pairs.total()
    if n_cells == 0:
        return {"accuracy": None, "macro_f1": None}
    labels = sorted({truth for truth, _ in pairs})
    hits = sum(n for (truth, predicted), n in pairs.items() if truth == predicted)
    f1 = [scores["f1"] for scores in label_scores(pairs, labels).values()]
    return {"accuracy": hits / n_cells, "macro_f1": float(np.mean(f1))}


def known_only(pairs: Pairs, known: set[str]) -> Pairs:
    """Pairs whose truth is one of `known`."""
    return Counter({pair: n for pair, n in pairs.items() if pair[0] in known})


def confusion(pairs: Pairs) -> dict[str, list]:
    """Confusion matrix: `truth` names its rows, `predicted` its columns, `cells` holds lists of counts.

    The last column is always `unknown`.
    """
    truth = sorted({pair[0] for pair in pairs})
    predicted = [*sorted({pair[1] for pair in pairs} - {UNKNOWN}), UNKNOWN]
    return {
        "truth": truth,
        "predicted": predicted,
        "cells": [[pairs[row, column] for column in predicted] for row in truth],
    }
