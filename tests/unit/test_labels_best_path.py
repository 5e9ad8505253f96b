"""Probabilities of labels, summed up their levels, and the best path through these."""

from itertools import pairwise

import numpy as np
import pytest
from cellferry.labels.best_path import best_path, node_codes, sums_by_node
from cellferry.labels.vocabulary import LEAF_LEVEL
from example_artifacts import hierarchy_of
from simulate import simulate_probabilities

LEAVES = ["B", "CD4 T", "CD8 T", "Mono, CD14+", "Mono/CD16", "γδ T"]
LEVELS = {
    "compartment": dict(zip(LEAVES, ["lymphoid"] * 3 + ["myeloid"] * 2 + ["lymphoid"], strict=True)),
    "lineage": dict(zip(LEAVES, ["B", "T", "T", "Mono", "Mono", "T"], strict=True)),
}
HIERARCHY = hierarchy_of(LEAVES, LEVELS)


def path_of(probabilities, hierarchy=HIERARCHY):
    return best_path(np.asarray(probabilities, np.float32), hierarchy)


def test_the_coarsest_come_first_and_the_leaves_last():
    path = path_of(np.eye(6))
    assert [found.level for found in path] == ["compartment", "lineage", LEAF_LEVEL]
    assert [found.nodes for found in path] == [["lymphoid", "myeloid"], ["B", "Mono", "T"], LEAVES]
    for found, above in zip(path, [*LEVELS.values(), {leaf: leaf for leaf in LEAVES}], strict=True):
        assert {leaf: found.nodes[code] for leaf, code in zip(LEAVES, found.of_leaf, strict=True)} == above


def test_labels_that_are_not_predicted_are_no_part_of_a_level():
    hierarchy = hierarchy_of(["a", "b"], {"up": {"a": "x", "b": "y", "rare": "z"}}, rare=["rare"])
    assert node_codes(hierarchy, "up")[0] == ["x", "y"]


def test_without_levels_there_are_the_leaves():
    assert [found.level for found in path_of(np.eye(6), hierarchy_of(LEAVES))] == [LEAF_LEVEL]


def test_sums_are_sums():
    probabilities, _ = simulate_probabilities(50, n_labels=6)
    for level in [*LEVELS, LEAF_LEVEL]:
        nodes, of_leaf = node_codes(HIERARCHY, level)
        expected = [probabilities[:, of_leaf == node].sum(axis=1) for node in range(len(nodes))]
        found = sums_by_node(probabilities, of_leaf)
        np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-6)
    np.testing.assert_array_equal(found, probabilities)


def test_levels_never_contradict_each_other():
    probabilities, _ = simulate_probabilities(3000, n_labels=6, spread=0.5)
    path = path_of(probabilities)
    leaf = path[-1].codes
    for found in path:
        assert (found.of_leaf[leaf] == found.codes).all()
        sums = sums_by_node(probabilities, found.of_leaf)
        np.testing.assert_allclose(found.probability, sums[np.arange(3000), found.codes], atol=1e-6)
    # Probabilities fall from the top.
    for above, below in pairwise(path):
        assert (below.probability <= above.probability + 1e-6).all()
    # The best leaf by itself differs in some cells, or this test would hold nothing.
    assert (leaf != probabilities.argmax(axis=1)).any()


def test_from_the_top_the_best_within_the_best():
    #                B    CD4  CD8  Mono14 Mono16 γδ
    path = path_of([[0.00, 0.20, 0.19, 0.38, 0.02, 0.21]])
    assert [found.nodes[found.codes[0]] for found in path] == ["lymphoid", "T", "γδ T"]
    assert path[0].probability[0] == pytest.approx(0.6)


def test_no_cells():
    for found in path_of(np.zeros((0, 6))):
        assert found.codes.shape == found.probability.shape == (0,)


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_taken_out_leaves_the_others_where_they_were(leaf):
    dropped = HIERARCHY.drop_label(leaf)
    others = [other for other in LEAVES if other != leaf]
    assert dropped.leaves == others
    for level, above in LEVELS.items():
        nodes, of_leaf = node_codes(dropped, level)
        found = {other: nodes[code] for other, code in zip(others, of_leaf, strict=True)}
        assert found == {other: above[other] for other in others}
