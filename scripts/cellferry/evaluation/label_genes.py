"""Genes behind labels, and shifted genes: a query's cells against the reference's, label by label.

Both follow from sums of expression by label, and need no pass over cells. A linear model's log-odds of a
label against another are a sum over genes; each gene's part is measured from halfway between the two labels'
means in the reference, so that a gene with equal means adds nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from ..artifacts.expression_sums import ExpressionSums
from ..artifacts.shifted_genes import IN_MOST_LABELS, MIN_CELLS
from ..heads.expression import ExpressionHead

MAX_GENES = 20
"""Maximum of genes listed per label."""

MAX_SHIFTED = 50
"""Maximum of shifted genes listed per label, and for most labels."""

MIN_EFFECT = 0.5
"""Minimum shift to list, in standard deviations: Cohen's medium effect."""

MAX_CHANCE = 0.05
"""Probability of any false positive per label, for independent cells."""

MIN_SHARED_LABELS = 3
"""Minimum of compared labels for a statement on most of them."""

GENE_COLUMNS = (
    "label", "cells", "runner_up", "runner_up_cells", "log_odds", "rank", "gene", "symbol", "contribution",
    "share", "mean_query", "mean_label", "mean_runner_up",
)  # fmt: skip
SHIFT_COLUMNS = (
    "label", "cells", "reference_cells", "labels", "of_labels", "rank", "gene", "symbol", "effect", "change",
    "mean_query", "mean_reference",
)  # fmt: skip


class Genes(NamedTuple):
    """Genes of the model.

    Attributes
    ----------
    names, symbols
        Their ids and symbols, by gene.
    usable
        Mask of genes measured on both sides.
    """

    names: list[str]
    symbols: list[str]
    usable: np.ndarray

    def of(self, place: int) -> dict[str, str]:
        """Columns of a gene."""
        return {"gene": self.names[place], "symbol": self.symbols[place]}


def runners_up(cells: Mapping[tuple[str, str], int]) -> dict[str, tuple[str, int]]:
    """The most frequent runner-up of each best label, and its cells, from cells by (best, second)."""
    by_label: dict[str, Counter[str]] = {}
    for (label, second), n in cells.items():
        by_label.setdefault(label, Counter())[second] += n
    # The first by name of equally frequent ones, so that the order of cells does not matter.
    return {
        label: min(seconds.items(), key=lambda item: (-item[1], item[0]))
        for label, seconds in by_label.items()
    }


def label_gene_rows(
    query: ExpressionSums,
    reference: ExpressionSums,
    head: ExpressionHead,
    labels: list[str],
    runners: dict[str, tuple[str, int]],
    genes: Genes,
) -> Iterator[dict]:
    """Genes behind each label against its runner-up, the strongest first; see `GENE_COLUMNS`.

    Parameters
    ----------
    query, reference
        Sums of the query's cells by best label, and of the reference's by label.
    head, labels
        The linear model, and the labels of its rows.
    runners
        By label its runner-up, as `runners_up` gives it.
    genes
        The genes. Unmeasured ones are part of the log-odds but not listed.
    """
    code = {label: place for place, label in enumerate(labels)}
    known = {label: place for place, label in enumerate(reference.labels)}
    for label, (second, n_second) in runners.items():
        if label not in known or second not in known or label not in query.labels:
            continue
        place = query.labels.index(label)
        mean, own, other = query.mean(place), reference.mean(known[label]), reference.mean(known[second])
        weights, constant = head.log_odds(code[label], code[second])
        parts = weights * (mean - (own + other) / 2)
        speaking = np.where(genes.usable, np.maximum(parts, 0), 0)
        about = {"label": label, "cells": int(query.cells[place])}
        about |= {"runner_up": second, "runner_up_cells": n_second, "log_odds": weights @ mean + constant}
        for rank, gene in enumerate(_largest(speaking, MAX_GENES), start=1):
            yield (
                about
                | genes.of(gene)
                | {
                    "rank": rank,
                    "contribution": parts[gene],
                    "share": parts[gene] / speaking.sum(),
                    "mean_query": mean[gene],
                    "mean_label": own[gene],
                    "mean_runner_up": other[gene],
                }
            )


class Shift(NamedTuple):
    """Shift between the reference's cells of a label and the query's; arrays are by gene.

    Attributes
    ----------
    label
        The label.
    places
        The label's, in the query's sums and in the reference's.
    cells, reference_cells
        Cells on either side.
    effect
        Difference of the means in standard deviations of a cell, pooled (Cohen's d); 0 without variance.
    moved
        True if it is at least `MIN_EFFECT` and significant.
    """

    label: str
    places: tuple[int, int]
    cells: int
    reference_cells: int
    effect: np.ndarray
    moved: np.ndarray


def shift(query: ExpressionSums, reference: ExpressionSums, label: str, usable: np.ndarray) -> Shift | None:
    """Shift within a label; None for fewer than `MIN_CELLS` cells on a side."""
    if label not in query.labels or label not in reference.labels:
        return None
    places = query.labels.index(label), reference.labels.index(label)
    n_query, n_reference = int(query.cells[places[0]]), int(reference.cells[places[1]])
    if min(n_query, n_reference) < MIN_CELLS:
        return None
    mean, reference_mean = query.mean(places[0]), reference.mean(places[1])
    variance, reference_variance = query.variance(places[0]), reference.variance(places[1])
    change = np.where(usable, mean - reference_mean, 0)
    pooled = np.sqrt((variance + reference_variance) / 2)
    error = np.sqrt(variance / n_query + reference_variance / n_reference)
    # A gene that is constant on both sides, and differs, was measured differently.
    effect = np.divide(change, pooled, out=np.zeros_like(change), where=pooled > 0)
    limit = -ndtri(MAX_CHANCE / 2 / max(1, int(usable.sum())))
    moved = (np.abs(effect) >= MIN_EFFECT) & (np.abs(change) > limit * error)
    return Shift(label, places, n_query, n_reference, effect, moved)


def shifted_gene_rows(
    query: ExpressionSums, reference: ExpressionSums, labels: list[str], genes: Genes
) -> Iterator[dict]:
    """Genes that shifted in most labels, then other genes per label; see `SHIFT_COLUMNS`.

    A gene shifted in most labels if it did in half of the compared ones, and its median effect is large
    enough. This needs at least `MIN_SHARED_LABELS` labels.
    """
    # 9 bytes a gene and label until all labels are compared; the sums beside them take 32.
    shifts = [found for label in labels if (found := shift(query, reference, label, genes.usable))]
    shared = np.zeros(len(genes.names), dtype=bool)
    if len(shifts) >= MIN_SHARED_LABELS:
        effects = np.array([found.effect for found in shifts], dtype=np.float32)
        moved = np.stack([found.moved for found in shifts])
        median = np.median(effects, axis=0)
        alike = (moved & (np.sign(effects) == np.sign(median))).sum(axis=0)
        shared = (np.abs(median) >= MIN_EFFECT) & (2 * alike >= len(shifts))
        for rank, gene in enumerate(_largest(np.where(shared, np.abs(median), 0), MAX_SHIFTED), start=1):
            numbers = {"labels": int(alike[gene]), "of_labels": len(shifts), "effect": float(median[gene])}
            yield {"label": IN_MOST_LABELS, "rank": rank} | genes.of(gene) | numbers
    for found in shifts:
        about = {"label": found.label, "cells": found.cells, "reference_cells": found.reference_cells}
        mean, reference_mean = query.mean(found.places[0]), reference.mean(found.places[1])
        size = np.where(found.moved & ~shared, np.abs(found.effect), 0)
        for rank, gene in enumerate(_largest(size, MAX_SHIFTED), start=1):
            yield (
                about
                | genes.of(gene)
                | {
                    "rank": rank,
                    "effect": found.effect[gene],
                    "change": mean[gene] - reference_mean[gene],
                    "mean_query": mean[gene],
                    "mean_reference": reference_mean[gene],
                }
            )


def _largest(values: np.ndarray, most: int) -> list[int]:
    """Positions of the largest values above 0, in order; the first of equal ones."""
    order = np.argsort(-values, kind="stable")[:most]
    return [int(place) for place in order if values[place] > 0]
