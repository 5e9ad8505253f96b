"""compare_mappings: the account of one way of mapping (test_cytometry.py compares both)."""

from types import SimpleNamespace

import numpy as np
import pytest
from cellferry.artifacts.decision import Tail
from cellferry.heads.classifier import HeadOutputs
from compare_mappings import describe
from example_artifacts import decision_of, hierarchy_of

LABELS = ["B", "NK", "T"]
HEADS = SimpleNamespace(labels=LABELS, hierarchy=hierarchy_of(LABELS))
# Distances of held-out cells are even between 0 and 1.
TAIL = Tail(tuple(np.linspace(0, 0.9, 91).tolist()), 0.01, 50)
RULES = decision_of({"label": dict.fromkeys(LABELS, 0.7)}, ["linear"], tails=(TAIL, TAIL))


def judged(best, sure, distance):
    """Cells with a probability of their best label (the others share the rest), at some distance."""
    probabilities = np.full((len(best), 3), 0.0, dtype=np.float32)
    probabilities += (1 - np.array(sure, dtype=np.float32)[:, None]) / 2
    probabilities[np.arange(len(best)), best] = sure
    far = np.array(distance, dtype=np.float32)
    unknown = np.full(len(best), np.inf)
    return HeadOutputs({"linear": probabilities}, far, far, unknown, unknown)


def test_shares_and_scores_of_one_way():
    truth = np.array(["B", "NK", "NK", "T", None, "mast cell"], dtype=object)
    seen = judged([0, 1, 2, 2, 0, 1], [0.9, 0.9, 0.9, 0.5, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1, 5, 0.1])
    numbers, best = describe(seen, HEADS, RULES, truth, min_p=0.005)
    assert best.tolist() == ["B", "NK", "T", "T", "B", "NK"]
    assert numbers.out_of_reference == pytest.approx(1 / 6)
    # Neither the one that is outside nor the one that is not sure enough.
    assert numbers.labeled == pytest.approx(4 / 6)
    # Of the four whose truth the reference knows.
    assert numbers.accuracy == pytest.approx(3 / 4)
    assert numbers.macro_f1 == pytest.approx(np.mean([1, 2 / 3, 2 / 3]))


def test_without_a_truth_there_are_no_scores():
    numbers, _ = describe(judged([0, 1], [0.9, 0.9], [0.1, 0.1]), HEADS, RULES, None, min_p=0.005)
    assert (numbers.accuracy, numbers.macro_f1) == (None, None)
    assert numbers.labeled == 1
    assert numbers.probability == pytest.approx(0.9, abs=1e-3)
