"""The hierarchy of labels: truths at every level, and their comparison with answers at coarser levels."""

import pytest
from cellferry.labels.hierarchy import COARSER, IN_REFERENCE, NOT_IN_REFERENCE, NOT_PREDICTABLE
from example_artifacts import hierarchy_of

LABELS = ["CD4 T", "CD8 T", "B", "monocyte"]
LEVELS = {
    "lineage": {"CD4 T": "lymphoid", "CD8 T": "lymphoid", "B": "lymphoid", "monocyte": "myeloid"}
    | {"Treg": "lymphoid", "platelet": "blood", "mast": "mast"},
    "family": {"CD4 T": "T", "CD8 T": "T", "B": "B", "monocyte": "monocyte", "Treg": "T"}
    | {"platelet": "platelet", "mast": "mast"},
}


@pytest.fixture
def tree():
    return hierarchy_of(LABELS, LEVELS, rare=["Treg", "mast", "platelet"])


def test_levels_are_named_from_the_finest(tree):
    assert tree.names == ["label", "family", "lineage"]


@pytest.mark.parametrize(
    ("truth", "kind", "meaning"),
    [
        ("CD4 T", IN_REFERENCE, ["CD4 T", "T", "lymphoid"]),
        ("T", COARSER, [None, "T", "lymphoid"]),
        ("myeloid", COARSER, [None, None, "myeloid"]),
        ("B", IN_REFERENCE, ["B", "B", "lymphoid"]),  # at two levels: the finer one is used
        ("Treg", NOT_PREDICTABLE, [None, "T", "lymphoid"]),
        ("mast", NOT_PREDICTABLE, [None, None, None]),
        ("platelet", NOT_PREDICTABLE, [None, None, None]),  # no known label is beside it
        ("blood", NOT_PREDICTABLE, [None, None, None]),
        ("HSC", NOT_IN_REFERENCE, [None, None, None]),
    ],
)
def test_what_a_truth_says_at_each_level(tree, truth, kind, meaning):
    assert tree.kind(truth) == kind
    assert [tree.of_truth(truth, level) for level in tree.names] == meaning


def test_an_answer_counts_at_its_level_and_above(tree):
    def at_levels(label, level):
        return [tree.of_answer(label, level, at) for at in tree.names]

    assert at_levels("CD8 T", "label") == ["CD8 T", "T", "lymphoid"]
    assert at_levels("T", "family") == ["unknown", "T", "lymphoid"]
    assert at_levels("B", "family") == ["unknown", "B", "lymphoid"]
    assert at_levels("lymphoid", "lineage") == ["unknown", "unknown", "lymphoid"]
    assert at_levels("unknown", None) == ["unknown"] * 3


@pytest.mark.parametrize(
    ("truth", "label", "level", "right"),
    [
        ("CD4 T", "CD4 T", "label", True),
        ("CD4 T", "T", "family", True),
        ("CD4 T", "CD8 T", "label", False),
        ("T", "CD8 T", "label", True),
        ("T", "lymphoid", "lineage", True),
        ("T", "B", "label", False),
        ("myeloid", "B", "family", False),
        ("Treg", "CD4 T", "label", False),  # Treg is another T cell
        ("Treg", "T", "family", True),
        ("HSC", "lymphoid", "lineage", False),
    ],
)
def test_truth_and_answer_are_compared_at_the_coarser_of_their_levels(tree, truth, label, level, right):
    assert tree.is_right(truth, label, level) is right


def test_a_node_that_a_level_above_divides_says_nothing_there():
    crossing = {"upper": {"a": "x", "b": "y"}, "lower": {"a": "n", "b": "n"}}
    tree = hierarchy_of(["a", "b"], crossing)
    assert tree.of_truth("n", "lower") == "n"
    assert tree.of_truth("n", "upper") is None


def test_a_label_that_is_dropped_cannot_be_predicted(tree):
    dropped = tree.drop_label("B")
    assert dropped.leaves == ["CD4 T", "CD8 T", "monocyte"]
    assert [dropped.kind(name) for name in ("B", "lymphoid")] == [NOT_PREDICTABLE, COARSER]
    assert [dropped.of_truth("B", level) for level in tree.names] == [None, None, "lymphoid"]


def test_coarser_labels_are_those_of_all_levels(tree):
    families = {"T", "B", "monocyte", "platelet"}
    assert tree.coarser_labels == {"lymphoid", "myeloid", "blood"} | families | {"mast"}
