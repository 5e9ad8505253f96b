"""Scores of predicted labels from counts, which accumulate block by block.

scikit-learn gives the same numbers for counted pairs, by `sample_weight`, and takes five times as long
(benchmarks/libraries.md); its values would need conversion to the same records.
"""

from collections import Counter

import numpy as np

from ..artifacts.evaluation import ConfusedLabels, Confusion, LabelScores, ReliabilityBin, Scores
from ..labels.vocabulary import UNKNOWN

Pairs = Counter[tuple[str, str]]
"""Cells per (truth, prediction)."""

RELIABILITY_BINS = 10
MIN_CONFUSED_SHARE = 0.1
MIN_CONFUSED_CELLS = 3


def label_scores(pairs: Pairs, labels: list[str]) -> dict[str, LabelScores]:
    """Precision, recall, F1 and support (cells) of each label.

    A label without predictions has precision 0, a label without cells recall 0, as in scikit-learn with
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
        scores[label] = LabelScores(precision, recall, f1, truth[label])
    return scores


def summary(pairs: Pairs) -> Scores:
    """Accuracy, and the F1 averaged over the labels that occur as truth; None without cells.

    A prediction of any other label, `unknown` included, is wrong.
    """
    n_cells = pairs.total()
    if n_cells == 0:
        return Scores(None, None)
    labels = sorted({truth for truth, _ in pairs})
    hits = sum(n for (truth, predicted), n in pairs.items() if truth == predicted)
    f1 = [scores.f1 for scores in label_scores(pairs, labels).values()]
    return Scores(hits / n_cells, float(np.mean(f1)))


def confusion(pairs: Pairs) -> Confusion:
    """Confusion matrix, with `unknown` as its last column."""
    truth = sorted({pair[0] for pair in pairs})
    predicted = [*sorted({pair[1] for pair in pairs} - {UNKNOWN}), UNKNOWN]
    row, column = ({label: place for place, label in enumerate(labels)} for labels in (truth, predicted))
    return Confusion(truth, predicted, sorted((row[t], column[p], n) for (t, p), n in pairs.items()))


def confused_labels(pairs: Pairs) -> list[ConfusedLabels]:
    """Pairs of labels with a tenth, and at least three, of the cells predicted as the other; worst first."""
    truth = Counter()
    swapped: Counter[tuple[str, str]] = Counter()
    for (true_label, predicted_label), n in pairs.items():
        truth[true_label] += n
        if true_label != predicted_label and predicted_label != UNKNOWN:
            swapped[tuple(sorted((true_label, predicted_label)))] += n
    confused = []
    for both, n in swapped.items():
        n_cells = sum(truth[label] for label in both)
        if n >= MIN_CONFUSED_CELLS and n / n_cells >= MIN_CONFUSED_SHARE:
            confused.append(ConfusedLabels(list(both), n / n_cells, n, n_cells))
    return sorted(confused, key=lambda entry: (-entry.share, entry.labels))


class Reliability:
    """Reliability of probabilities, in ten bins of equal width.

    A probability p is in the bin [k/10, (k+1)/10); 1 is in the last.
    """

    def __init__(self) -> None:
        self._cells, self._hits, self._sums = (np.zeros(RELIABILITY_BINS) for _ in range(3))

    def add(self, probability: np.ndarray, right: np.ndarray) -> None:
        """Count cells: the probability of each one's label, and whether the label is right."""
        bins = np.minimum((probability * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
        self._cells += np.bincount(bins, minlength=RELIABILITY_BINS)
        self._hits += np.bincount(bins, weights=right, minlength=RELIABILITY_BINS)
        self._sums += np.bincount(bins, weights=probability, minlength=RELIABILITY_BINS)

    def bins(self) -> list[ReliabilityBin]:
        """Cells, mean probability and accuracy of every bin that has cells."""
        return [
            ReliabilityBin(
                lower=number / RELIABILITY_BINS,
                upper=(number + 1) / RELIABILITY_BINS,
                cells=int(self._cells[number]),
                mean_probability=self._sums[number] / self._cells[number],
                accuracy=self._hits[number] / self._cells[number],
            )
            for number in range(RELIABILITY_BINS)
            if self._cells[number]
        ]

    def ece(self) -> float | None:
        """Expected calibration error (Guo et al. 2017); None without cells.

        The mean over cells of |accuracy - mean probability| of their bin.
        """
        n_cells = self._cells.sum()
        # A bin's cells times its gap is the gap of its sums.
        return float(np.abs(self._hits - self._sums).sum() / n_cells) if n_cells else None


def auroc(low: np.ndarray, high: np.ndarray) -> float | None:
    """Chance that a random value of `high` exceeds one of `low`, ties counted half; None if one is empty.

    That is the area under the ROC curve. `low` must be sorted.
    """
    if len(low) == 0 or len(high) == 0:
        return None
    # Two sums, so that only one array of positions is in memory at a time.
    below = np.searchsorted(low, high, side="left").sum(dtype=np.float64)
    not_above = np.searchsorted(low, high, side="right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / len(low) / len(high))
