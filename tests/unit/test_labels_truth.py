"""True labels at every level, and their comparison with answers at coarser levels."""

import json

import pytest
from cellferry.labels.truth import COARSER, IN_REFERENCE, NOT_IN_REFERENCE, NOT_PREDICTABLE, LabelTree

LABELS = ["CD4 T", "CD8 T", "B", "monocyte"]
LEVELS = [
    {
        "name": "lineage",
        "of": {"CD4 T": "lymphoid", "CD8 T": "lymphoid", "B": "lymphoid", "monocyte": "myeloid"}
        | {"Treg": "lymphoid", "platelet": "blood"},
    },
    {
        "name": "family",
        "of": {"CD4 T": "T", "CD8 T": "T", "B": "B", "monocyte": "monocyte", "Treg": "T"}
        | {"platelet": "platelet"},
    },
]


@pytest.fixture
def tree():
    return LabelTree(LABELS, ["Treg", "mast", "platelet"], LEVELS)


def test_levels_are_named_from_the_finest(tree):
    assert tree.names == ["label", "family", "lineage"]


@pytest.mark.parametrize(
    ("truth", "kind", "meaning"),
    [
        ("CD4 T", IN_REFERENCE, ["CD4 T", "T", "lymphoid"]),
        ("T", COARSER, [None, "T", "lymphoid"]),
        ("myeloid", COARSER, [None, None, "myeloid"]),
        ("B", IN_REFERENCE, ["B", "B", "lymphoid"]),  # stands at two levels: the finer counts
        ("Treg", NOT_PREDICTABLE, [None, "T", "lymphoid"]),
        ("mast", NOT_PREDICTABLE, [None, None, None]),
        ("platelet", NOT_PREDICTABLE, [None, None, None]),  # no label that is known is beside it
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
        ("Treg", "CD4 T", "label", False),  # it is none of them
        ("Treg", "T", "family", True),
        ("HSC", "lymphoid", "lineage", False),
    ],
)
def test_truth_and_answer_are_compared_at_the_coarser_of_their_levels(tree, truth, label, level, right):
    assert tree.is_right(truth, label, level) is right


def test_a_node_that_a_level_above_divides_says_nothing_there():
    crossing = [
        {"name": "upper", "of": {"a": "x", "b": "y"}},
        {"name": "lower", "of": {"a": "n", "b": "n"}},
    ]
    tree = LabelTree(["a", "b"], [], crossing)
    assert tree.of_truth("n", "lower") == "n"
    assert tree.of_truth("n", "upper") is None


def test_read_takes_rare_labels_from_the_reference(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({"labels": ["a", "b"], "levels": []}))
    seen = {name: {"cells": 20, "predictable": name != "rare"} for name in ("a", "b", "rare", "not drawn")}
    (tmp_path / "seen.json").write_text(json.dumps({"labels": seen, "levels": []}))
    tree = LabelTree.read(tmp_path, tmp_path / "seen.json")
    assert tree.names == ["label"]
    assert [tree.kind(name) for name in ("a", "rare", "not drawn", "other")] == [
        IN_REFERENCE,
        NOT_PREDICTABLE,
        NOT_PREDICTABLE,
        NOT_IN_REFERENCE,
    ]
