"""Probabilities of labels, summed up their levels, and the best path through these."""

from itertools import pairwise

import numpy as np
import pytest
from cellferry.labels.hierarchy import LEAF_LEVEL, best_path, read_levels
from simulate import simulate_probabilities

LEAVES = ["B", "CD4 T", "CD8 T", "Mono, CD14+", "Mono/CD16", "γδ T"]
FOUND = [
    {
        "name": "compartment",
        "of": dict(zip(LEAVES, ["lymphoid"] * 3 + ["myeloid"] * 2 + ["lymphoid"], strict=True)),
    },
    {"name": "lineage", "of": dict(zip(LEAVES, ["B", "T", "T", "Mono", "Mono", "T"], strict=True))},
]


@pytest.fixture
def levels():
    return read_levels(FOUND, LEAVES)


def test_the_coarsest_come_first_and_the_leaves_last(levels):
    assert [level.name for level in levels] == ["compartment", "lineage", LEAF_LEVEL]
    assert [level.nodes for level in levels] == [["lymphoid", "myeloid"], ["B", "Mono", "T"], LEAVES]
    for level, found in zip(levels, [*FOUND, {"of": {leaf: leaf for leaf in LEAVES}}], strict=True):
        assert {leaf: level.nodes[level.of_leaf[code]] for code, leaf in enumerate(LEAVES)} == found["of"]


def test_labels_that_are_not_predicted_are_no_part_of_a_level():
    (level, _) = read_levels([{"name": "up", "of": {"a": "x", "b": "y", "rare": "z"}}], ["a", "b"])
    assert level.nodes == ["x", "y"]


def test_without_levels_there_are_the_leaves(levels):
    assert [level.name for level in read_levels([], LEAVES)] == [LEAF_LEVEL]


def test_sums_are_sums(levels):
    probabilities, _ = simulate_probabilities(50, n_labels=6)
    for level in levels:
        expected = np.stack(
            [probabilities[:, level.of_leaf == node].sum(axis=1) for node in range(len(level.nodes))], axis=1
        )
        np.testing.assert_allclose(level.sums(probabilities), expected, atol=1e-6)
    np.testing.assert_array_equal(levels[-1].sums(probabilities), probabilities)


def test_levels_never_contradict_each_other(levels):
    probabilities, _ = simulate_probabilities(3000, n_labels=6, spread=0.5)
    path = best_path(probabilities, levels)
    leaf = path[-1][0]
    for level, (best, probability) in zip(levels, path, strict=True):
        assert (level.of_leaf[leaf] == best).all()
        np.testing.assert_allclose(probability, level.sums(probabilities)[np.arange(3000), best], atol=1e-6)
    # Probabilities fall from the top.
    for (_, above), (_, below) in pairwise(path):
        assert (below <= above + 1e-6).all()
    # What each level by itself would say does contradict in some cells, or there were nothing to see to.
    assert (leaf != probabilities.argmax(axis=1)).any()


def test_from_the_top_the_best_within_the_best():
    levels = read_levels(FOUND, LEAVES)
    #                          B    CD4  CD8  Mono14 Mono16 γδ
    cell = np.array([[0.00, 0.20, 0.19, 0.38, 0.02, 0.21]], np.float32)
    path = [level.nodes[best[0]] for level, (best, _) in zip(levels, best_path(cell, levels), strict=True)]
    assert path == ["lymphoid", "T", "γδ T"]
    assert best_path(cell, levels)[0][1][0] == pytest.approx(0.6)


def test_no_cells(levels):
    for best, probability in best_path(np.zeros((0, 6), np.float32), levels):
        assert best.shape == probability.shape == (0,)


@pytest.mark.parametrize("leaf", range(6))
def test_a_leaf_taken_out_leaves_the_others_where_they_were(levels, leaf):
    others = LEAVES[:leaf] + LEAVES[leaf + 1 :]
    for level in levels:
        without = level.without(leaf)
        found = {other: without.nodes[code] for other, code in zip(others, without.of_leaf, strict=True)}
        assert found == {other: level.nodes[level.of_leaf[LEAVES.index(other)]] for other in others}
