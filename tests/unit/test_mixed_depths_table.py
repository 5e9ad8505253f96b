"""The benchmark of labels of mixed depth: which cells are given as their class, and what is scored."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from example_artifacts import hierarchy_of, write_classifier_labels
from mixed_depths import ALL, DROPPED, MIN_CELLS, NO_LABEL, PLAIN, TREE, given_labels, page, scores_of

CLASSES = {"CD4": "T", "CD8": "T", "B1": "B", "B2": "B", "T": "T", "B": "B"}
LABELS = np.repeat(["CD4", "CD8", "B1", NO_LABEL], [60, MIN_CELLS, MIN_CELLS - 1, 30])


def test_half_of_the_cells_of_each_large_label_are_given_as_their_class():
    given = {way: given_labels(LABELS, CLASSES, way, 0) for way in (ALL, TREE, DROPPED, PLAIN)}
    assert given[ALL].tolist() == LABELS.tolist()
    coarse = np.isin(given[TREE].astype(str), ["T"])
    assert Counter(LABELS[coarse]) == {"CD4": 30, "CD8": MIN_CELLS // 2}
    # All others, small labels among them, keep theirs.
    assert given[TREE][~coarse].tolist() == LABELS[~coarse].tolist()
    assert given[PLAIN].tolist() == given[TREE].tolist()
    assert given[DROPPED].tolist() == np.where(coarse, NO_LABEL, LABELS).tolist()
    assert given_labels(LABELS, CLASSES, TREE, 0).tolist() == given[TREE].tolist()
    assert given_labels(LABELS, CLASSES, TREE, 1).tolist() != given[TREE].tolist()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results" / "predictions").mkdir(parents=True)
    leaves = ["B1", "CD4", "CD8"]
    write_classifier_labels(
        tmp_path / "results" / "reference" / "classifier", hierarchy_of(leaves), ["linear"]
    )
    rows = [  # truth, answer, best label, the head's
        ("CD4", "CD4", "CD4", "CD8"),
        ("CD4", "T", "CD8", "CD8"),
        ("CD8", "unknown", "CD8", "CD8"),
        ("B1", "CD4", "CD4", "B1"),
        ("B2", "B1", "B1", "B1"),  # which no run can predict
        (None, "B1", "B1", "B1"),
    ]
    table = pd.DataFrame(rows, columns=["truth", "label", "best_label", "linear_label"])
    table.to_parquet(tmp_path / "results" / "predictions" / "zeisel_query.parquet")
    return tmp_path


def test_scores_at_both_levels(folder):
    found = scores_of(folder, CLASSES, ["CD4", "CD8", "B1"])
    expected = {
        ("answer", "subclass accuracy"): 1 / 4,
        ("mixed", "subclass accuracy"): 2 / 4,
        ("linear", "subclass accuracy"): 2 / 4,
        ("answer", "class accuracy"): 3 / 5,
        ("mixed", "class accuracy"): 4 / 5,
        ("linear", "class accuracy"): 1,
        ("linear", "class macro-F1"): 1,
        ("answer", "with a subclass"): 2 / 4,
        ("answer", "right of these"): 1 / 2,
        ("answer", "with any label"): 4 / 5,
        ("answer", "of the right class"): 3 / 4,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert found["linear", "subclass macro-F1"] == pytest.approx((0 + 1 / 2 + 1) / 3)


def test_the_page_holds_means_of_the_seeds(folder):
    found = scores_of(folder, CLASSES, ["CD4", "CD8", "B1"])
    other = {key: value / 2 for key, value in found.items()}
    ways = (ALL, TREE, DROPPED, PLAIN)
    other["answer", "of the right class"] = float("nan")  # no cell was answered
    text = page([dict.fromkeys(ways, found), dict.fromkeys(ways, other)], [0, 1])
    assert "seeds 0, 1. Means of the seeds." in text
    assert "| dropped | .375 | .375 | .600 | – |" in text
    assert "| `linear` | .750 / .750 | .750 / .750 | .750 / .750 | .750 / .750 |" in text
