"""Levels: trees of labels from columns of several references, or from a table of parents."""

from collections import Counter
from itertools import pairwise

import pytest
from cellferry.errors import InputError
from cellferry.labels.levels import joined_levels, levels_of_columns, levels_of_parents

BLOOD = [
    {"name": "compartment", "of": {"CD4": "lymphoid", "CD8": "lymphoid", "Mono": "myeloid"}},
    {"name": "lineage", "of": {"CD4": "T cell", "CD8": "T cell", "Mono": "Mono"}},
]


def is_tree(levels):
    parents = {}
    for above, below in pairwise(levels):
        for label, node in below["of"].items():
            if parents.setdefault((below["name"], node), above["of"][label]) != above["of"][label]:
                return False
    return True


def test_parents_of_several_levels():
    parents = {"CD4": "T cell", "CD8": "T cell", "T cell": "lymphoid", "B": "lymphoid", "Mono": "myeloid"}
    labels = ["CD4", "CD8", "B", "Mono", "platelet", "T cell"]
    levels = levels_of_parents(parents, labels, labels)
    assert [level["name"] for level in levels] == ["level_1", "level_2"]
    assert [levels[0]["of"][label] for label in labels] == [
        *["lymphoid"] * 3,
        "myeloid",
        "platelet",
        "lymphoid",
    ]
    assert [levels[1]["of"][label] for label in labels] == [
        "T cell",
        "T cell",
        "B",
        "Mono",
        "platelet",
        "T cell",
    ]
    assert is_tree(levels)


def test_as_many_levels_as_predictable_labels_have():
    parents = {"rare": "below", "below": "top", "CD4": "top"}
    (level,) = levels_of_parents(parents, ["rare", "CD4", "CD8"], ["CD4", "CD8"])
    assert level["of"] == {"rare": "top", "CD4": "top", "CD8": "CD8"}
    assert levels_of_parents(parents, ["B", "NK"], ["B", "NK"]) == []


def test_columns():
    cells = Counter(
        {("CD4", "T cell", "lymphoid"): 5, ("CD4", None, "lymphoid"): 2, (None, "T cell", None): 9}
    )
    assert levels_of_columns(["lineage", "compartment"], cells, "key") == [
        {"name": "compartment", "of": {"CD4": "lymphoid"}},
        {"name": "lineage", "of": {"CD4": "T cell"}},
    ]


def test_several_references_are_joined_under_the_first_ones_names():
    lung = [
        {"name": "ann_1", "of": {"CD4": "lymphoid", "AT2": "epithelial"}},
        {"name": "ann_2", "of": {"CD4": "T cell"}},
    ]
    levels = joined_levels({"none": [], "blood": BLOOD, "lung": lung}, ["CD4", "CD8", "Mono", "AT2", "X"])
    assert [level["name"] for level in levels] == ["compartment", "lineage"]
    assert levels[0]["of"] == BLOOD[0]["of"] | {"AT2": "epithelial", "X": "X"}
    assert levels[1]["of"] == BLOOD[1]["of"] | {"AT2": "AT2", "X": "X"}
    assert joined_levels({"blood": []}, ["X"]) == []


def test_what_stands_above_a_node_is_known_from_other_labels():
    level = {"name": "lineage", "of": {**BLOOD[1]["of"], "Treg": "T cell"}}
    levels = joined_levels({"blood": [BLOOD[0], level]}, ["CD4", "CD8", "Mono", "Treg"])
    assert levels[0]["of"]["Treg"] == "lymphoid"
    assert is_tree(levels)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ([{"name": "x", "of": {}}], "names 1 column.* datasets.blood.levels 2"),
        (
            [BLOOD[0], {"name": "x", "of": {"CD4": "helper"}}],
            "datasets.lung.levels: 'CD4' stands below 'helper' in 'x', and below 'T cell' in blood",
        ),
        (
            [{"name": "x", "of": {"Treg": "myeloid"}}, {"name": "y", "of": {"Treg": "T cell"}}],
            "'T cell' of 'lineage' stands below 'lymphoid' of 'compartment'",
        ),
    ],
)
def test_references_that_contradict_each_other(other, said):
    with pytest.raises(InputError, match=said):
        joined_levels({"blood": BLOOD, "lung": other}, ["CD4", "CD8", "Mono", "Treg"])
