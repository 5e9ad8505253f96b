"""Metrics equal to scikit-learn's: scores of labels, AUROC, calibration error, confusion."""

from collections import Counter

import numpy as np
import pytest
from cellferry.artifacts.evaluation import ConfusedLabels, Scores
from cellferry.evaluation.metrics import Reliability, auroc, confused_labels, label_scores, summary
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, roc_auc_score


def test_summary_and_label_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b", "c"], 300, p=[0.7, 0.25, 0.05])
    predicted = np.where(rng.random(300) < 0.6, truth, rng.choice(["a", "b", "unknown"], 300))
    pairs = Counter(zip(truth.tolist(), predicted.tolist(), strict=True))
    labels = ["a", "b", "c"]
    found = summary(pairs)
    assert found.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert found.macro_f1 == pytest.approx(f1_score(truth, predicted, labels=labels, average="macro"))
    expected = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    by_label = label_scores(pairs, labels)
    for name, values in zip(["precision", "recall", "f1", "support"], expected, strict=True):
        assert [getattr(by_label[label], name) for label in labels] == pytest.approx(list(values))
    assert summary(Counter()) == Scores(None, None)


@pytest.mark.parametrize("digits", [1, 7])
def test_auroc_is_scikit_learns_with_and_without_ties(digits):
    rng = np.random.default_rng(1)
    low = np.sort(rng.normal(0, 1, 500).round(digits).astype(np.float32))
    high = rng.normal(0.7, 1, 200).round(digits).astype(np.float32)
    expected = roc_auc_score(np.repeat([0, 1], [500, 200]), np.concatenate([low, high]))
    assert auroc(low, high) == pytest.approx(expected)


def test_auroc_of_infinite_distances_and_of_nothing():
    assert auroc(np.array([0.0, 1.0]), np.array([np.inf])) == 1
    assert auroc(np.array([]), np.array([1.0])) is None
    assert auroc(np.array([1.0]), np.array([])) is None


def test_calibration_error_by_hand():
    """Bin .2 to .3: mean .25, none of 2 right. Bin .9 to 1: mean .95, 3 of 4 right. (2*.25 + 4*.2) / 6."""
    reliability = Reliability()
    reliability.add(np.array([0.2, 0.9, 0.9], np.float32), np.array([False, True, True]))
    reliability.add(np.array([0.29999, 1.0, 1.0], np.float32), np.array([False, True, False]))
    assert reliability.ece() == pytest.approx((2 * 0.25 + 4 * 0.2) / 6, abs=1e-5)
    low, high = reliability.bins()
    assert (low.lower, low.cells, low.accuracy) == (0.2, 2, 0)
    assert (high.upper, high.cells, high.accuracy) == (1, 4, 0.75)
    assert high.mean_probability == pytest.approx(0.95)
    assert Reliability().ece() is None


def test_labels_that_are_taken_for_each_other():
    pairs = Counter(
        {
            ("a", "a"): 14, ("a", "b"): 2, ("b", "a"): 4, ("b", "unknown"): 10,  # 6 of 30
            ("c", "c"): 3, ("c", "d"): 2, ("d", "d"): 1,  # two cells are too few
            ("e", "e"): 95, ("e", "f"): 4, ("f", "f"): 1,  # 4 %
        }
    )  # fmt: skip
    assert confused_labels(pairs) == [
        ConfusedLabels(["a", "b"], share=pytest.approx(0.2), confused=6, cells=30)
    ]
    # The worst first, and a label that no cell has may be the other one.
    pairs[("c", "g")] = 7
    assert [entry.labels for entry in confused_labels(pairs)] == [["c", "g"], ["a", "b"]]
