"""Hierarchies of labels from columns, of several references, and from a table of parents."""

from collections import Counter
from itertools import pairwise

import pytest
from cellferry.errors import InputError
from cellferry.labels.levels import hierarchy_of_columns, hierarchy_of_parents, joined_hierarchy
from example_artifacts import hierarchy_of

COMPARTMENT = {"CD4": "lymphoid", "CD8": "lymphoid", "Mono": "myeloid"}
LINEAGE = {"CD4": "T cell", "CD8": "T cell", "Mono": "Mono"}
BLOOD = hierarchy_of(["CD4", "CD8", "Mono"], {"compartment": COMPARTMENT, "lineage": LINEAGE})


def is_tree(hierarchy):
    parents = {}
    for above, below in pairwise(hierarchy.levels):
        for label in hierarchy.nodes:
            node, parent = hierarchy.node(label, below), hierarchy.node(label, above)
            if parents.setdefault((below, node), parent) != parent:
                return False
    return True


def test_parents_of_several_levels():
    parents = {"CD4": "T cell", "CD8": "T cell", "T cell": "lymphoid", "B": "lymphoid", "Mono": "myeloid"}
    labels = ["CD4", "CD8", "B", "Mono", "platelet", "T cell"]
    found = hierarchy_of_parents(parents, labels, labels)
    assert found.levels == ["level_1", "level_2"]
    assert found.nodes == {
        "CD4": ["lymphoid", "T cell"],
        "CD8": ["lymphoid", "T cell"],
        "B": ["lymphoid", "B"],
        "Mono": ["myeloid", "Mono"],
        "platelet": ["platelet", "platelet"],
        "T cell": ["lymphoid", "T cell"],
    }
    assert is_tree(found)


def test_as_many_levels_as_predictable_labels_have():
    parents = {"rare": "below", "below": "top", "CD4": "top"}
    found = hierarchy_of_parents(parents, ["rare", "CD4", "CD8"], ["CD4", "CD8"])
    level = {"rare": "top", "CD4": "top", "CD8": "CD8"}
    assert found == hierarchy_of(["CD4", "CD8"], {"level_1": level}, rare=["rare"])
    assert hierarchy_of_parents(parents, ["B", "NK"], ["B", "NK"]) == hierarchy_of(["B", "NK"])


def test_columns():
    cells = Counter(
        {("CD4", "T cell", "lymphoid"): 5, ("CD4", None, "lymphoid"): 2, (None, "T cell", None): 9}
        | {("Mast", None, "myeloid"): 1}
    )
    expected = {"compartment": {"CD4": "lymphoid", "Mast": "myeloid"}, "lineage": {"CD4": "T cell"}}
    found = hierarchy_of_columns(["lineage", "compartment"], cells, "key")
    assert found == hierarchy_of(["CD4", "Mast"], expected)
    assert found.node("Mast", "lineage") is None


def test_several_references_are_joined_under_the_first_ones_names():
    ann_1, ann_2 = {"CD4": "lymphoid", "AT2": "epithelial"}, {"CD4": "T cell"}
    lung = hierarchy_of(["CD4", "AT2"], {"ann_1": ann_1, "ann_2": ann_2})
    labels = ["CD4", "CD8", "Mono", "AT2", "X"]
    found = joined_hierarchy({"none": hierarchy_of([]), "blood": BLOOD, "lung": lung}, labels)
    above = {
        "compartment": COMPARTMENT | {"AT2": "epithelial", "X": "X"},
        "lineage": LINEAGE | {"AT2": "AT2", "X": "X"},
    }
    assert found == hierarchy_of(sorted(labels), above)
    assert joined_hierarchy({"blood": hierarchy_of([])}, ["X"]) == hierarchy_of(["X"])


def test_what_stands_above_a_node_is_known_from_other_labels():
    labels = ["CD4", "CD8", "Mono", "Treg"]
    blood = hierarchy_of(labels, {"compartment": COMPARTMENT, "lineage": LINEAGE | {"Treg": "T cell"}})
    found = joined_hierarchy({"blood": blood}, labels)
    assert found.node("Treg", "compartment") == "lymphoid"
    assert is_tree(found)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"x": {}}, "names 1 column.* datasets.blood.levels 2"),
        (
            {"compartment": COMPARTMENT, "x": {"CD4": "helper"}},
            "datasets.lung.levels: 'CD4' is below 'helper' in 'x', and below 'T cell' in blood",
        ),
        (
            {"x": {"Treg": "myeloid"}, "y": {"Treg": "T cell"}},
            "'T cell' of 'lineage' is below 'lymphoid' of 'compartment'",
        ),
    ],
)
def test_references_that_contradict_each_other(other, said):
    labels = ["CD4", "CD8", "Mono", "Treg"]
    with pytest.raises(InputError, match=said):
        joined_hierarchy({"blood": BLOOD, "lung": hierarchy_of(labels, other)}, labels)
