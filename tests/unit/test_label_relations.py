"""Relations of two datasets' labels, from the other's labels of their cells."""

import numpy as np
import pytest
from cellferry.evaluation.label_agreement import label_calls, label_relations
from cellferry.heads.cross_labels import HELD_OUT, CrossLabels
from scipy import sparse


def relations(there, back):
    return label_relations(*(sparse.csr_matrix(np.array(shares)) for shares in (there, back)))


def test_labels_that_are_mostly_called_each_other_are_the_same():
    assert relations([[0.6, 0.4], [0.05, 0.95]], [[0.95, 0.05], [0.08, 0.92]]) == [{0: "same"}, {1: "same"}]


def test_a_share_of_half_is_enough_and_less_is_not():
    assert relations([[0.5, 0.3]] * 1 + [[0, 1.0]], [[0.5, 0.0], [0.0, 1.0]])[0] == {0: "same"}
    assert relations([[0.49, 0.3], [0, 1.0]], [[0.49, 0.0], [0.0, 1.0]])[0] == {}


def test_the_larger_part_of_a_merged_label_is_not_the_same():
    """A label of 90 % one type and 10 % another is mostly called the first, and still holds both."""
    there = [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    back = [[0.9, 0.1, 0], [0, 0, 0], [0, 0, 1]]
    assert relations(there, back) == [{0: "narrower"}, {0: "narrower"}, {2: "same"}]
    assert relations(back, there)[0] == {0: "broader", 1: "broader"}


def test_a_type_that_the_other_lacks_is_a_part_of_nothing():
    there = [[1, 0], [0.95, 0.05]]
    back = [[0.97, 0.03], [0.5, 0.5]]
    assert relations(there, back)[0] == {0: "same"}
    assert relations(there, back)[1] == {}


def test_labels_that_are_cut_in_two_ways_overlap():
    """The first label of each holds the second of the other."""
    there = [[0.6, 0.4], [0.9, 0.1]]
    back = [[0.6, 0.4], [0.9, 0.1]]
    assert relations(there, back)[0][0] == "overlapping"


def crossed(calls, *, learned=((1, 1), (1, 1))):
    """Labels x and y of datasets a and b, each with its predictions for the other's cells."""
    learned = np.array(learned, dtype=bool)
    cells = {pair: sparse.csr_matrix(np.array(of_pair)) for pair, of_pair in calls.items()}
    parts = np.full((2, 2), HELD_OUT)
    return CrossLabels(["a", "b"], ["x", "y"], np.ones((2, 2), bool), parts, learned, cells)


def told(found):
    return {(row.dataset, row.label, row.called): (row.relation, row.conflict) for row in label_calls(found)}


def test_a_name_is_in_conflict_where_its_cells_are_others():
    """Keys of calls are the dataset of the classifiers, and that of the cells."""
    swapped = [[1, 19], [20, 0]]
    rows = told(crossed({(1, 0): swapped, (0, 1): swapped}))
    assert rows == {
        ("a", "x", "y"): ("same", True),
        ("a", "x", "x"): (None, True),
        ("a", "y", "x"): ("same", True),
        ("b", "x", "y"): ("same", True),
        ("b", "x", "x"): (None, True),
        ("b", "y", "x"): ("same", True),
    }


@pytest.mark.parametrize(("cells", "expected"), [(9, "too few cells"), (10, "same")])
def test_ten_cells_are_judged(cells, expected):
    right = [[20, 0], [0, cells]]
    rows = told(crossed({(1, 0): right, (0, 1): [[20, 0], [0, 20]]}))
    assert rows["a", "y", "y" if cells == 10 else None] == (expected, False)


def test_without_an_answer_in_return_nothing_is_in_conflict():
    rows = told(crossed({(1, 0): [[0, 20], [20, 0]]}, learned=((0, 0), (1, 1))))
    assert rows["a", "x", "y"] == ("one way only", False)
    assert rows["b", "x", None] == ("reference labels nothing", False)


def test_a_label_that_is_too_rare_to_be_learned_there_is_not_said_to_lack_a_counterpart():
    """Dataset b has cells of y, but heads with x and z alone."""
    calls = {(1, 0): sparse.csr_matrix([[20, 0, 0], [18, 0, 2], [0, 0, 20]])}
    calls[0, 1] = sparse.csr_matrix([[20, 0, 0], [0, 4, 0], [0, 0, 20]])
    learned = np.array([[1, 1, 1], [1, 0, 1]], dtype=bool)
    parts = np.full((2, 3), HELD_OUT)
    found = CrossLabels(["a", "b"], ["x", "y", "z"], np.ones((2, 3), bool), parts, learned, calls)
    assert told(found)["a", "y", "x"] == ("one way only", False)
    found.present[1, 1] = False
    assert told(found)["a", "y", "x"] == ("no counterpart", False)
